"""What the transformer is told besides the noisy state: the mixture, spans, pictures, and the words.

The published input projection takes [state | zeros | mixture latent twice]. The zeros are dropped and the two mixture
blocks added up when the checkpoint is loaded, and the span tokens are taken through their projection and gate there,
so that here each frame costs two small products and a table look-up.
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
    """Frames [start, end) in which the sound is (`plus`) or is not."""

    plus: bool
    start_frame: int
    end_frame: int


def sample_to_frame(sample: int, hop_samples: int) -> int:
    """A span's edge on the frame grid: upwards, as the model was trained."""
    return -(-sample // hop_samples)


def span_tokens(spans: Sequence[FrameSpan], frames: int) -> Tensor:
    """Token ids [frames]: plus or minus inside spans (later ones win), null elsewhere."""
    tokens = torch.full((frames,), NULL_TOKEN, dtype=torch.long)
    for span in spans:
        tokens[max(0, span.start_frame) : max(0, span.end_frame)] = PLUS_TOKEN if span.plus else MINUS_TOKEN
    return tokens


def aligned_tokens(ids: Tensor, alignment: Tensor) -> Tensor:
    """The published form of the same: ids [B, n] of a request's tokens, and which of them [B, T] stands at each
    frame.
    """
    return ids.gather(1, alignment)


class Pictures(nn.Module):
    """Visual features [B, T, dvision] to their share of the input [B, T, D]: projection, norm, gate."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-5)
        self.gate = nn.Parameter(torch.empty(1))

    def forward(self, features: Tensor) -> Tensor:
        share: Tensor = self.norm(self.project(features)) * self.gate.tanh()
        return share

    def none(self) -> Tensor:
        """The share [D] of a request with no picture: the features are zeros, the projection's bias still speaks."""
        share: Tensor = self.norm(self.project.bias) * self.gate.tanh()
        return share


class Conditioning(nn.Module):
    """State, mixture, spans and pictures to the transformer's input; text features to its memory. Kept in float32."""

    def __init__(self, config: SamAudioConfig) -> None:
        super().__init__()
        dim, latent = config.transformer.dim, config.audio_codec.codebook_dim
        self.state = nn.Linear(2 * latent, dim, bias=False)
        self.mixture = nn.Linear(latent, dim)
        self.span_table = nn.Parameter(torch.empty(config.num_anchors + 1, dim))
        self.pictures = Pictures(config.vision_encoder.dim, dim)
        self.text = nn.Linear(config.text_encoder.dim, dim)

    def context(self, mixture: Tensor, tokens: Tensor | None, pictures: Tensor | None) -> Tensor:
        """The part [B, T, D] that does not change while the state is solved.

        `mixture` [B, T, C] latent; `tokens` [B, T] (None leaves spans out, which is not the same as null tokens);
        `pictures` [B, T, D] or [D], as `Pictures` gives them (None leaves them out).
        """
        context: Tensor = self.mixture(mixture)
        if tokens is not None:
            context = context + self.span_table[tokens]
        return context if pictures is None else context + pictures

    def forward(self, state: Tensor, context: Tensor) -> Tensor:
        """State [B, T, 2C] and its context to the input [B, T, D]."""
        x: Tensor = self.state(state) + context
        return x

    def memory(self, text: Tensor, time: Tensor) -> Tensor:
        """Text features [P, L, dtext] at times [S] (S is 1 or P) to the memory [P, L, D]."""
        words: Tensor = self.text(text)
        return words + sinusoids(time, words.shape[-1]).unsqueeze(1)
