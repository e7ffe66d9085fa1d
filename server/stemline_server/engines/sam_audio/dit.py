"""The diffusion transformer (DiT), which computes the velocity of the state.

The structure follows Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, with rotary positions, gated
feed-forward layers and cross attention to a text memory. `Dit.prepare` computes everything that depends only on time
and text once for each evaluation time; all windows share it. Heads are in the usual order and rotary pairs are
(i, i + half): `weight_conversion` reorders the published rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline_server.engines.sam_audio.config import TransformerConfig
from stemline_server.engines.sam_audio.packed_linear import PackedLinear


@dataclass(frozen=True, slots=True)
class LayerConditions:
    """Hold one layer's part of `TimeConditions`.

    Attributes:
        attention: Scale, shift and gate of the attention, each [S, 1, D], where S is 1 or the number of rows. The
            scale includes the weight of the norm.
        feed_forward: The same of the feed-forward layer.
        keys: Keys of the text, [P, H, hd, L].
        values: Values of the text after the output projection, [P, H * L, D].
    """

    attention: tuple[Tensor, ...]
    feed_forward: tuple[Tensor, ...]
    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class TimeConditions:
    """Hold everything that all windows share at one evaluation time.

    Attributes:
        layers: Conditions of each layer.
        final: Scale and shift of the output layer.
        text_mask: Which tokens of the text count, [P, L]; None if all do.
    """

    layers: tuple[LayerConditions, ...]
    final: tuple[Tensor, Tensor]
    text_mask: Tensor | None

    def rows(self, index: Tensor) -> TimeConditions:
        """Return the conditions of a batch whose rows belong to the prompts `index` [B], for a time that all share."""
        layers = tuple(
            LayerConditions(
                layer.attention,
                layer.feed_forward,
                layer.keys.index_select(0, index),
                layer.values.index_select(0, index),
            )
            for layer in self.layers
        )
        mask = None if self.text_mask is None else self.text_mask.index_select(0, index)
        return TimeConditions(layers, self.final, mask)

    def by_time(self) -> list[TimeConditions]:
        """Return the conditions of each of the S times that were prepared together, with its P rows of text."""
        times = self.final[0].shape[0]
        conditions = []
        for at in range(times):
            layers = tuple(
                LayerConditions(
                    _row(layer.attention, at),
                    _row(layer.feed_forward, at),
                    layer.keys.tensor_split(times)[at],
                    layer.values.tensor_split(times)[at],
                )
                for layer in self.layers
            )
            scale, shift = _row(self.final, at)
            conditions.append(TimeConditions(layers, (scale, shift), self.text_mask))
        return conditions


def _row(parts: tuple[Tensor, ...], number: int) -> tuple[Tensor, ...]:
    return tuple(part[number : number + 1] for part in parts)


def sinusoids(time: Tensor, width: int) -> Tensor:
    """Return cosines and then sines of geometrically falling frequencies at times [S], float32 [S, width]."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=time.device) / half
    angles = time.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def rotary_table(config: TransformerConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines, float32 [length, hd/2], of rotary positions 0..length-1.

    Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
    """
    pairs = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device) / config.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), config.rope_theta**-pairs)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate each pair (i, i + hd/2) of [B, H, T, hd] by the angle of its position."""
    cos, sin = (part.to(x.dtype) for part in table)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Normalise [B, T, D] by its root mean square in float32, multiply by `scale` and add `shift`."""
    return torch.addcmul(shift, F.rms_norm(x, (x.shape[-1],), None, eps), scale)


class GatedFeedForward(nn.Module):
    """Compute down(silu(gate x) * up x), [..., in] to [..., out]; gate and up share one matrix."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.gate_up = PackedLinear(width_in, 2 * hidden)
        self.down = PackedLinear(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to `x`."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class HeadNorm(nn.Module):
    """Normalise by the root mean square over the width of a head."""

    def __init__(self, width: int, eps: float) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to `x`."""
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class TransformerBlock(nn.Module):
    """Apply self attention, cross attention to the text and a feed-forward layer to [B, T, D]."""

    def __init__(self, config: TransformerConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        dim, eps = config.dim, config.norm_eps
        self.heads, self.eps = config.n_heads, eps
        self.modulation = nn.Parameter(torch.empty(6, dim))
        self.attention_norm = nn.Parameter(torch.empty(dim))
        self.qkv = PackedLinear(dim, 3 * dim)
        self.q_norm, self.k_norm = HeadNorm(config.head_dim, eps), HeadNorm(config.head_dim, eps)
        self.out = PackedLinear(dim, dim)
        self.cross_q = PackedLinear(dim, dim)
        self.cross_kv = PackedLinear(dim, 2 * dim)
        self.cross_q_norm, self.cross_k_norm = HeadNorm(config.head_dim, eps), HeadNorm(config.head_dim, eps)
        self.cross_out = nn.Linear(dim, dim, bias=False)
        self.ffn_norm = nn.Parameter(torch.empty(dim))
        self.feed_forward = GatedFeedForward(dim, config.ffn_hidden, dim)

    def prepare(self, modulation: Tensor, memory: Tensor) -> LayerConditions:
        """Compute the layer's conditions at one or several times.

        Args:
            modulation: Shift, scale and gate of the attention, then of the feed-forward layer, [S, 6, D].
            memory: Memory of the text, [P, L, D].
        """
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (modulation + self.modulation).unsqueeze(2).unbind(1)
        keys, values = (self._split(part) for part in self.cross_kv(memory).chunk(2, dim=-1))
        return LayerConditions(
            (self.attention_norm * (1 + scale), shift, gate),
            (self.ffn_norm * (1 + ffn_scale), ffn_shift, ffn_gate),
            self.cross_k_norm(keys).mul_(values.shape[-1] ** -0.5).transpose(2, 3),
            self._project_values(values),
        )

    def forward(self, x: Tensor, conditions: LayerConditions, rotary: tuple[Tensor, Tensor], masks: Masks) -> Tensor:
        """Apply the block to frames [B, T, D]."""
        scale, shift, gate = conditions.attention
        q, k, v = (self._split(p) for p in self.qkv(modulated_norm(x, scale, shift, self.eps)).chunk(3, dim=-1))
        q, k = rotate(self.q_norm(q), rotary), rotate(self.k_norm(k), rotary)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=masks.frames)
        x = torch.addcmul(x, gate, self.out(self._merge(attended)))
        x = x + self._attend_to_text(x, conditions, masks.words)
        scale, shift, gate = conditions.feed_forward
        return torch.addcmul(x, gate, self.feed_forward(modulated_norm(x, scale, shift, self.eps)))

    def _attend_to_text(self, x: Tensor, conditions: LayerConditions, words: Tensor | None) -> Tensor:
        """Return the attention to the text, [B, T, D].

        The values have already passed the output projection, head by head. With few tokens, that saves one of the
        layer's large products.
        """
        scores = torch.matmul(self.cross_q_norm(self._split(self.cross_q(x))), conditions.keys)
        if words is not None:
            scores = scores.masked_fill(~words, -torch.inf)
        weights = scores.softmax(dim=-1, dtype=torch.float32).to(x.dtype)
        return torch.matmul(weights.transpose(1, 2).flatten(2), conditions.values)

    def _project_values(self, values: Tensor) -> Tensor:
        """Project the text's values [P, H, L, hd] with each head's part of the output projection to [P, H * L, D].

        One product per head serves all prompts. A product per prompt would copy the projection for each.
        """
        prompts, heads, words, width = values.shape
        out = self.cross_out.weight.view(-1, heads, width).permute(1, 2, 0)
        projected = torch.bmm(values.transpose(0, 1).reshape(heads, prompts * words, width), out)
        return projected.view(heads, prompts, words, -1).transpose(0, 1).flatten(1, 2)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _merge(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


@dataclass(frozen=True, slots=True)
class Masks:
    """Hold which frames and text tokens are attended to, as bool [B, 1, 1, keys]; None for all."""

    frames: Tensor | None
    words: Tensor | None


class FrameEmbedder(nn.Module):
    """Apply a residual block of two convolutions over frames, [B, T, D]; norms cover all frames of a row."""

    def __init__(self, dim: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, dim, eps=1e-5) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to `x`."""
        x = x.transpose(1, 2)
        change = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            change = conv(F.silu(norm(change)))
        return (change + x).transpose(1, 2).contiguous()


class Dit(nn.Module):
    """Map a conditioned input [B, T, D] to a velocity [B, T, out_channels]."""

    def __init__(self, config: TransformerConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        dim = config.dim
        self.config = config
        self.frame_embedder = FrameEmbedder(dim)
        self.word_embedder = GatedFeedForward(dim, dim, dim)
        self.time_embedder = GatedFeedForward(config.frequency_embedding_dim, dim, dim)
        self.time_block = nn.Linear(dim, 6 * dim)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.final_norm = nn.Parameter(torch.empty(dim))
        self.final_modulation = nn.Parameter(torch.empty(2, dim))
        self.output = nn.Linear(dim, config.out_channels, bias=False)

    def embed_time(self, time: Tensor) -> Tensor:
        """Return the embeddings [S, D] of times [S]."""
        waves = sinusoids(time, self.config.frequency_embedding_dim).to(self.final_norm.dtype)
        embedded: Tensor = self.time_embedder(waves)
        return embedded

    def prepare(self, time: Tensor, memory: Tensor, text_mask: Tensor | None) -> TimeConditions:
        """Compute everything that depends only on time and text.

        Args:
            time: Times [S].
            memory: Memory of the text of P prompts: [P, L, D] if S is 1 or P (one time for each prompt), or
                [S * P, L, D] in order of time, for `TimeConditions.by_time`.
            text_mask: Which tokens count, [P, L]; None if all do.
        """
        vector = self.embed_time(time)
        modulation = self.time_block(F.silu(vector)).view(len(time), 6, -1)
        words = self.word_embedder(memory.to(vector.dtype))
        shift, scale = (self.final_modulation + vector.unsqueeze(1)).unsqueeze(2).unbind(1)
        layers = tuple(cast(TransformerBlock, layer).prepare(modulation, words) for layer in self.layers)
        return TimeConditions(layers, (self.final_norm * (1 + scale), shift), text_mask)

    def forward(self, x: Tensor, conditions: TimeConditions, frame_mask: Tensor | None = None) -> Tensor:
        """Compute the velocity.

        Args:
            x: Conditioned input [B, T, D].
            conditions: Output of `prepare` for the rows of `x`.
            frame_mask: Which frames are attended to, [B, T]; None for all. Other frames are computed as well.
        """
        rotary = rotary_table(self.config, x.shape[1], x.device)
        masks = Masks(_attention_mask(frame_mask), _attention_mask(conditions.text_mask))
        x = self.frame_embedder(x.to(self.final_norm.dtype))
        for layer, layer_conditions in zip(self.layers, conditions.layers, strict=True):
            x = layer(x, layer_conditions, rotary, masks)
        velocity: Tensor = self.output(modulated_norm(x, *conditions.final, self.config.norm_eps))
        return velocity


def _attention_mask(keep: Tensor | None) -> Tensor | None:
    return None if keep is None else keep[:, None, None, :]
