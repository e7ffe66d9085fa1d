"""The transformer's conditions besides the noisy state: mixture, spans, pictures and text.

The published input projection takes [state | zeros | mixture latent twice]. When the checkpoint is loaded, the zeros
are dropped, the two mixture blocks are added, and projection and gate are applied to the span tokens. A frame then
costs two small products and a table look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stemline_server.engines.sam_audio.config import SamAudioConfig
from stemline_server.engines.sam_audio.dit import sinusoids

NULL_TOKEN, PLUS_TOKEN, MINUS_TOKEN, PAD_TOKEN = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """Mark frames [start_frame, end_frame) that contain the sound (`plus`) or do not contain it."""

    plus: bool
    start_frame: int
    end_frame: int


def sample_to_frame(sample: int, hop_samples: int) -> int:
    """Return the frame of a span's edge, rounded up as in the model's training."""
    return -(-sample // hop_samples)


def span_tokens(spans: Sequence[FrameSpan], frames: int) -> Tensor:
    """Return token ids [frames]: plus or minus inside spans (later spans win), null elsewhere."""
    tokens = torch.full((frames,), NULL_TOKEN, dtype=torch.long)
    for span in spans:
        tokens[max(0, span.start_frame) : max(0, span.end_frame)] = PLUS_TOKEN if span.plus else MINUS_TOKEN
    return tokens


def aligned_tokens(ids: Tensor, alignment: Tensor) -> Tensor:
    """Return token ids [B, T] from the published form.

    Args:
        ids: Token ids of each request, [B, n].
        alignment: Index of the token of each frame, [B, T].
    """
    return ids.gather(1, alignment)


class PictureProjection(nn.Module):
    """Map visual features [B, T, dvision] to a part of the transformer's input [B, T, D]."""

    def __init__(self, width: int, dim: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.project = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.gate = nn.Parameter(torch.empty(1))

    def forward(self, features: Tensor) -> Tensor:
        """Apply projection, norm and gate."""
        share: Tensor = self.norm(self.project(features)) * self.gate.tanh()
        return share

    def without_pictures(self) -> Tensor:
        """Return the part [D] of a request without pictures: the features are zero, but the bias remains."""
        share: Tensor = self.norm(self.project.bias) * self.gate.tanh()
        return share


class Conditioning(nn.Module):
    """Map state, mixture, spans and pictures to the transformer's input and text features to its memory, in float32."""

    def __init__(self, config: SamAudioConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        dim, latent = config.transformer.dim, config.audio_codec.codebook_dim
        self.state = nn.Linear(2 * latent, dim, bias=False)
        self.mixture = nn.Linear(latent, dim)
        self.span_table = nn.Parameter(torch.empty(config.num_anchors + 1, dim))
        self.pictures = PictureProjection(config.vision_encoder.dim, dim)
        self.text = nn.Linear(config.text_encoder.dim, dim)

    def context(self, mixture: Tensor, tokens: Tensor | None, pictures: Tensor | None) -> Tensor:
        """Return the part [B, T, D] of the input that stays constant during a solve.

        Args:
            mixture: Latent of the mixture, [B, T, C].
            tokens: Span tokens [B, T]. None leaves spans out, which differs from null tokens.
            pictures: Output of `pictures`, [B, T, D] or [D]. None leaves pictures out.
        """
        context: Tensor = self.mixture(mixture)
        if tokens is not None:
            context = context + self.span_table[tokens]
        return context if pictures is None else context + pictures

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        """Return the input [B, T, D] of a state [B, T, 2C] in its context."""
        x: Tensor = self.state(state) + context
        return x

    def memory(self, text: Tensor, time: Tensor) -> Tensor:
        """Return the memory [P, L, D] of text features [P, L, dtext] at times [S], where S is 1 or P."""
        words: Tensor = self.text(text)
        return words + sinusoids(time, words.shape[-1]).unsqueeze(1)
