"""The diffusion transformer: the velocity of the state, given the conditioned input, the time and the prompt's words.

After Peebles and Xie, "Scalable Diffusion Models with Transformers" (2023), with rotary positions, gated feed-
forwards and cross attention to a text memory. What depends on time and words alone is computed once per evaluation
time (`prepare`) and shared by all windows. Heads are in the ordinary order here and rotary pairs are (i, i + half);
`checkpoint` reorders the published rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from stemline_server.engines.sam_audio.config import TransformerConfig
from stemline_server.engines.sam_audio.packed_linear import Product


@dataclass(frozen=True, slots=True)
class LayerStep:
    """One layer's share of a `Step`: three [6 -> S, 1, D] groups of (scale, shift, gate) and the words' keys and
    values.

    The norms' own weights are multiplied into the scales. S is 1 or the number of rows; keys and values are [P, H, L,
    hd].
    """

    attention: tuple[Tensor, ...]
    feed_forward: tuple[Tensor, ...]
    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class Step:
    """Everything that is the same for all windows at one evaluation time. `final` is (scale, shift) of the output
    layer.
    """

    layers: tuple[LayerStep, ...]
    final: tuple[Tensor, Tensor]
    text_mask: Tensor | None

    def rows(self, index: Tensor) -> Step:
        """The step of a batch whose rows belong to the prompts `index` [B]. For a time that all prompts share."""
        layers = tuple(
            LayerStep(
                layer.attention,
                layer.feed_forward,
                layer.keys.index_select(0, index),
                layer.values.index_select(0, index),
            )
            for layer in self.layers
        )
        mask = None if self.text_mask is None else self.text_mask.index_select(0, index)
        return Step(layers, self.final, mask)

    def by_time(self) -> list[Step]:
        """The step of each of the S times that were prepared together, with the P rows of words that are its own."""
        times = self.final[0].shape[0]
        steps = []
        for at in range(times):
            layers = tuple(
                LayerStep(
                    _row(layer.attention, at),
                    _row(layer.feed_forward, at),
                    layer.keys.tensor_split(times)[at],
                    layer.values.tensor_split(times)[at],
                )
                for layer in self.layers
            )
            scale, shift = _row(self.final, at)
            steps.append(Step(layers, (scale, shift), self.text_mask))
        return steps


def _row(parts: tuple[Tensor, ...], number: int) -> tuple[Tensor, ...]:
    return tuple(part[number : number + 1] for part in parts)


def sinusoids(time: Tensor, width: int) -> Tensor:
    """Times [S] to [S, width]: cosines, then sines, of geometrically falling frequencies, in float32."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float32, device=time.device) / half
    angles = time.float()[:, None] * torch.exp(-math.log(10000) * exponents)
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


def rotary_table(config: TransformerConfig, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [length, hd/2] of rotary positions 0..length-1, in float32."""
    pairs = torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=device) / config.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32, device=device), config.rope_theta**-pairs)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turns each pair (i, i + hd/2) of [B, H, T, hd] by its position's angle."""
    cos, sin = (part.to(x.dtype) for part in table)
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def modulated_norm(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Root-mean-square norm of [B, T, D] in float32, times `scale`, plus `shift`."""
    return torch.addcmul(shift, F.rms_norm(x, (x.shape[-1],), None, eps), scale)


class Gated(nn.Module):
    """down(silu(gate x) * up x), gate and up in one matrix. [.., in] to [.., out]."""

    def __init__(self, width_in: int, hidden: int, width_out: int) -> None:
        super().__init__()
        self.gate_up = Product(width_in, 2 * hidden)
        self.down = Product(hidden, width_out)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.down(F.silu(gate) * up)
        return out


class HeadNorm(nn.Module):
    """Root-mean-square norm over the width of one head."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


class Block(nn.Module):
    """Self attention, attention to the words, feed-forward. [B, T, D] to the same."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim, eps = config.dim, config.norm_eps
        self.heads, self.eps = config.n_heads, eps
        self.modulation = nn.Parameter(torch.empty(6, dim))
        self.attention_norm = nn.Parameter(torch.empty(dim))
        self.qkv = Product(dim, 3 * dim)
        self.q_norm, self.k_norm = HeadNorm(config.head_dim, eps), HeadNorm(config.head_dim, eps)
        self.out = Product(dim, dim)
        self.cross_q = Product(dim, dim)
        self.cross_kv = Product(dim, 2 * dim)
        self.cross_q_norm, self.cross_k_norm = HeadNorm(config.head_dim, eps), HeadNorm(config.head_dim, eps)
        self.cross_out = nn.Linear(dim, dim, bias=False)
        self.ffn_norm = nn.Parameter(torch.empty(dim))
        self.feed_forward = Gated(dim, config.ffn_hidden, dim)

    def prepare(self, modulation: Tensor, memory: Tensor) -> LayerStep:
        """`modulation` [S, 6, D] (shift, scale, gate of attention, then of feed-forward), `memory` [P, L, D]."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (modulation + self.modulation).unsqueeze(2).unbind(1)
        keys, values = (self._split(part) for part in self.cross_kv(memory).chunk(2, dim=-1))
        return LayerStep(
            (self.attention_norm * (1 + scale), shift, gate),
            (self.ffn_norm * (1 + ffn_scale), ffn_shift, ffn_gate),
            self.cross_k_norm(keys).mul_(values.shape[-1] ** -0.5).transpose(2, 3),
            self._through_out(values),
        )

    def forward(self, x: Tensor, step: LayerStep, rotary: tuple[Tensor, Tensor], masks: Masks) -> Tensor:
        scale, shift, gate = step.attention
        q, k, v = (self._split(p) for p in self.qkv(modulated_norm(x, scale, shift, self.eps)).chunk(3, dim=-1))
        q, k = rotate(self.q_norm(q), rotary), rotate(self.k_norm(k), rotary)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=masks.frames)
        x = torch.addcmul(x, gate, self.out(self._merge(heard)))
        x = x + self._read(x, step, masks.words)
        scale, shift, gate = step.feed_forward
        return torch.addcmul(x, gate, self.feed_forward(modulated_norm(x, scale, shift, self.eps)))

    def _read(self, x: Tensor, step: LayerStep, words: Tensor | None) -> Tensor:
        """Attention to the words. Their values have been through the output projection already, head by head: with a
        few words that saves one of the layer's large products.
        """
        scores = torch.matmul(self.cross_q_norm(self._split(self.cross_q(x))), step.keys)
        if words is not None:
            scores = scores.masked_fill(~words, -torch.inf)
        shares = scores.softmax(dim=-1, dtype=torch.float32).to(x.dtype)
        return torch.matmul(shares.transpose(1, 2).flatten(2), step.values)

    def _through_out(self, values: Tensor) -> Tensor:
        """Words' values [P, H, L, hd] through each head's part of the output projection: [P, H * L, D]. One product a
        head, for all prompts; a product for each prompt would copy the projection for each.
        """
        prompts, heads, words, width = values.shape
        out = self.cross_out.weight.view(-1, heads, width).permute(1, 2, 0)
        through = torch.bmm(values.transpose(0, 1).reshape(heads, prompts * words, width), out)
        return through.view(heads, prompts, words, -1).transpose(0, 1).flatten(1, 2)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)

    @staticmethod
    def _merge(x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)


@dataclass(frozen=True, slots=True)
class Masks:
    """Which frames and which words count: bool, True counts, broadcast to [B, H, T, keys]. None: all do."""

    frames: Tensor | None
    words: Tensor | None


class FrameEmbedder(nn.Module):
    """A residual block of two convolutions over frames. Its norms run over all channels and frames of a row. [B, T,
    D].
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(1, dim, eps=1e-5) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        change = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            change = conv(F.silu(norm(change)))
        return (change + x).transpose(1, 2).contiguous()


class Dit(nn.Module):
    """Conditioned input [B, T, D] to velocity [B, T, out_channels]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        self.frame_embedder = FrameEmbedder(dim)
        self.word_embedder = Gated(dim, dim, dim)
        self.time_embedder = Gated(config.frequency_embedding_dim, dim, dim)
        self.time_block = nn.Linear(dim, 6 * dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.final_norm = nn.Parameter(torch.empty(dim))
        self.final_modulation = nn.Parameter(torch.empty(2, dim))
        self.output = nn.Linear(dim, config.out_channels, bias=False)

    def embed_time(self, time: Tensor) -> Tensor:
        """Times [S] to [S, D]."""
        waves = sinusoids(time, self.config.frequency_embedding_dim).to(self.final_norm.dtype)
        embedded: Tensor = self.time_embedder(waves)
        return embedded

    def prepare(self, time: Tensor, memory: Tensor, text_mask: Tensor | None) -> Step:
        """Times [S] and the text memory of P prompts, to `text_mask` [P, L], True counts: [P, L, D] where S is 1 or P
        (a time for each prompt), or [S * P, L, D] time by time, for `Step.by_time`.
        """
        vector = self.embed_time(time)
        modulation = self.time_block(F.silu(vector)).view(len(time), 6, -1)
        words = self.word_embedder(memory.to(vector.dtype))
        shift, scale = (self.final_modulation + vector.unsqueeze(1)).unsqueeze(2).unbind(1)
        layers = tuple(cast(Block, layer).prepare(modulation, words) for layer in self.layers)
        return Step(layers, (self.final_norm * (1 + scale), shift), text_mask)

    def forward(self, x: Tensor, step: Step, frame_mask: Tensor | None = None) -> Tensor:
        """`frame_mask` [B, T], True counts; frames that do not count are computed, but not attended to."""
        rotary = rotary_table(self.config, x.shape[1], x.device)
        masks = Masks(_attention_mask(frame_mask), _attention_mask(step.text_mask))
        x = self.frame_embedder(x.to(self.final_norm.dtype))
        for layer, layer_step in zip(self.layers, step.layers, strict=True):
            x = layer(x, layer_step, rotary, masks)
        velocity: Tensor = self.output(modulated_norm(x, *step.final, self.config.norm_eps))
        return velocity


def _attention_mask(keep: Tensor | None) -> Tensor | None:
    return None if keep is None else keep[:, None, None, :]
