"""The net: band energies and a query (a class, marked spans) to one gain per band and frame. torch lives here.

Frames are 20 ms apart, bands are groups of 25 Hz bins up to 16 kHz; a caller analyses with 40 ms windows at any rate
that has those bins (32 or 48 kHz).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

BINS = 641
SPAN_CHANNELS = 4
LINEAR_BINS = 64


def band_edges() -> list[int]:
    """First bin of every band, and the end: single bins to 1.6 kHz, then bands that widen with frequency."""
    upper = np.round(LINEAR_BINS * (BINS / LINEAR_BINS) ** (np.arange(85) / 84)).astype(int)
    edges = list(range(LINEAR_BINS))
    for edge in upper:
        edges.append(max(int(edge), edges[-1] + 1) if edges else 0)
    return [*dict.fromkeys(e for e in edges if e < BINS), BINS]


EDGES = band_edges()
BANDS = len(EDGES) - 1


BAND_OF_BIN = torch.bucketize(torch.arange(BINS), torch.tensor(EDGES[1:-1]), right=True)
WIDE_MEMBERS = torch.nn.functional.one_hot(BAND_OF_BIN, BANDS).float()[LINEAR_BINS:, LINEAR_BINS:].contiguous()


def sum_bands(bins: Tensor) -> Tensor:
    """[..., BINS] to [..., BANDS]: sums of the bins of each band."""
    return torch.cat([bins[..., :LINEAR_BINS], bins[..., LINEAR_BINS:] @ WIDE_MEMBERS], -1)


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of each mixture: Q queries of B mixtures.

    `mixture` [Q] the row of each query's mixture, `word` [Q] its class, `spans` [Q, T, 4]: marked as the sound, marked
    as not the sound, and whether any of either is marked (constant over time).
    """

    mixture: Tensor
    word: Tensor
    spans: Tensor


def log_energy(power: Tensor) -> Tensor:
    """[B, T, BANDS] band power to log10 of it, relative to the mean of the mixture."""
    mean = power.mean((1, 2), keepdim=True) + 1e-12
    return torch.log10(power / mean + 1e-6)


def span_template(energy: Tensor, query: Query) -> Tensor:
    """[Q, BANDS]: how much louder each band is inside the marked spans than outside (or outside the minus ones)."""
    plus, minus, has_plus, has_minus = query.spans.unbind(-1)
    inside = torch.where(has_plus > 0, plus, 1 - minus)
    outside = torch.where(has_minus > 0, minus, 1 - plus) * torch.clamp(has_plus + has_minus, 0, 1)
    rows = energy[query.mixture]

    def mean(weight: Tensor) -> Tensor:
        return torch.einsum("qtb,qt->qb", rows, weight) / (weight.sum(1, keepdim=True) + 1e-3)

    known = ((inside.sum(1) > 0.5) & (outside.sum(1) > 0.5)).float()
    return (mean(inside) - mean(outside)) * known[:, None]


class SoundNet(nn.Module):
    """A recurrent trunk over the mixture, shared by all its queries, then a smaller recurrent net for every query.

    Both step over pairs of frames, for speed; gains come out for every frame. Two short cuts help it learn fast: what a
    band does just now, and how much louder it is where the sound is marked.
    """

    def __init__(self, words: int, trunk: int = 160, query: int = 112) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(2 * 3 * BANDS, 224), nn.GELU())
        self.trunk = nn.GRU(224, trunk, bidirectional=True, batch_first=True)
        self.word = nn.Embedding(words, 96)
        self.template = nn.Sequential(nn.Linear(BANDS, 96), nn.Tanh())
        self.film = nn.Sequential(nn.Linear(192, 192), nn.GELU(), nn.Linear(192, 2 * 2 * trunk))
        self.mix = nn.Linear(2 * trunk + SPAN_CHANNELS, 128)
        self.listen = nn.GRU(128, query, bidirectional=True, batch_first=True)
        self.gain = nn.Linear(2 * query + 128, 2 * BANDS)
        self.active = nn.Linear(2 * query + 128, 2)
        self.now = nn.Linear(192, BANDS)
        self.lean = nn.Parameter(torch.full((BANDS,), 0.5))

    def forward(self, power: Tensor, query: Query) -> tuple[Tensor, Tensor]:
        """power [B, T, BANDS] to gains [Q, T, BANDS] in 0..1 and logits of activity [Q, T]."""
        frames = power.shape[1]
        energy = log_energy(power)
        steady = energy - energy.mean(1, keepdim=True)
        onset = torch.diff(energy, dim=1, prepend=energy[:, :1])
        shared, _ = self.trunk(self.enter(in_pairs(torch.cat([0.5 * energy, steady, onset], -1))))
        template = span_template(energy, query)
        asked = torch.cat([self.word(query.word), self.template(template)], -1)
        scale, shift = self.film(asked)[:, None].chunk(2, -1)
        tuned = shared[query.mixture] * (1 + scale) + shift
        marks = in_pairs(query.spans).unflatten(-1, (2, SPAN_CHANNELS)).mean(-2)
        mixed = nn.functional.gelu(self.mix(torch.cat([tuned, marks], -1)))
        heard, _ = self.listen(mixed)
        both = torch.cat([heard, mixed], -1)
        gain = self.gain(both).unflatten(-1, (2, BANDS)).flatten(1, 2)[:, :frames]
        gain = gain + self.now(asked)[:, None] * steady[query.mixture] + (self.lean * template)[:, None]
        return torch.sigmoid(gain), self.active(both).flatten(1)[:, :frames]


def in_pairs(frames: Tensor) -> Tensor:
    """[N, T, F] to [N, (T + 1) // 2, 2 F]; an odd last frame is doubled."""
    if frames.shape[1] % 2:
        frames = torch.cat([frames, frames[:, -1:]], 1)
    return frames.reshape(len(frames), -1, 2 * frames.shape[2])
