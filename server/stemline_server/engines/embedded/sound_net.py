"""The recurrent net that maps band energies and a query to one gain for each band and frame.

Frames are 20 ms apart; bands are groups of 25 Hz bins up to 16 kHz. Callers analyse with windows of 40 ms at a sample
rate that has these bins (32 or 48 kHz). This is the only module of the engine that imports torch when it is imported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

BINS = 641
SPAN_CHANNELS = 4
LINEAR_BINS = 64
TEACHER_WIDTH = 60
"""Channels to which the features by other nets are reduced."""


def band_edges() -> list[int]:
    """Return the first bin of every band and the end: single bins to 1.6 kHz, wider bands above."""
    upper = np.round(LINEAR_BINS * (BINS / LINEAR_BINS) ** (np.arange(85) / 84)).astype(int)
    edges = list(range(LINEAR_BINS))
    for edge in upper:
        edges.append(max(int(edge), edges[-1] + 1) if edges else 0)
    return [*dict.fromkeys(e for e in edges if e < BINS), BINS]


EDGES = band_edges()
BANDS = len(EDGES) - 1


BAND_OF_BIN = torch.bucketize(torch.arange(BINS), torch.tensor(EDGES[1:-1]), right=True)
_WIDE_BAND_MEMBERS = torch.nn.functional.one_hot(BAND_OF_BIN, BANDS).float()[LINEAR_BINS:, LINEAR_BINS:].contiguous()


def sum_bands(bins: Tensor) -> Tensor:
    """Sum the bins of each band: [..., BINS] to [..., BANDS]."""
    members = _WIDE_BAND_MEMBERS.to(bins.device)
    return torch.cat([bins[..., :LINEAR_BINS], bins[..., LINEAR_BINS:] @ members], -1)


@dataclass(frozen=True, slots=True)
class Query:
    """Hold Q queries about B mixtures.

    Attributes:
        mixture: Row of each query's mixture, [Q].
        word: Number of each query's class, [Q].
        spans: Marked as the sound, marked as not the sound, and whether there are marks of either kind (constant over
            time), [Q, T, 4].
    """

    mixture: Tensor
    word: Tensor
    spans: Tensor


def log_energy(power: Tensor) -> Tensor:
    """Return log10 of the band power [B, T, BANDS] relative to the mean of its mixture."""
    mean = power.mean((1, 2), keepdim=True) + 1e-12
    return torch.log10(power / mean + 1e-6)


def span_template(energy: Tensor, query: Query) -> Tensor:
    """Return the difference of each band's mean log energy inside and outside of the marked spans, [Q, BANDS].

    Minus spans, if there are any, are the outside. Queries without spans get zeros.
    """
    plus, minus, has_plus, has_minus = query.spans.unbind(-1)
    inside = torch.where(has_plus > 0, plus, 1 - minus)
    outside = torch.where(has_minus > 0, minus, 1 - plus) * torch.clamp(has_plus + has_minus, 0, 1)
    rows = energy[query.mixture]

    def mean(weight: Tensor) -> Tensor:
        return torch.einsum("qtb,qt->qb", rows, weight) / (weight.sum(1, keepdim=True) + 1e-3)

    known = ((inside.sum(1) > 0.5) & (outside.sum(1) > 0.5)).float()
    return (mean(inside) - mean(outside)) * known[:, None]


class QueriedNet(nn.Module):
    """Hold the parts that all trunks share: the features of a mixture, the embedding of a query and two shortcuts.

    The shortcuts speed up training: the present energy of a band, and how much louder it is in the marked spans.
    Queries modulate the trunk by feature-wise scales and shifts (Perez et al., "FiLM: Visual Reasoning with a General
    Conditioning Layer", 2018). The attributes have the names of the stored weights.
    """

    def __init__(self, words: int, modulation: int) -> None:
        """Create the parts with random weights.

        Args:
            words: Number of classes.
            modulation: Number of scales and shifts of a query.
        """
        super().__init__()
        self.word = nn.Embedding(words, 96)
        self.template = nn.Sequential(nn.Linear(BANDS, 96), nn.Tanh())
        self.film = nn.Sequential(nn.Linear(192, 192), nn.GELU(), nn.Linear(192, modulation))
        self.now = nn.Linear(192, BANDS)
        self.lean = nn.Parameter(torch.full((BANDS,), 0.5))

    def condition(self, template: Tensor, query: Query) -> Tensor:
        """Return the embedding of each query and its span template [Q, BANDS], [Q, 192]."""
        return torch.cat([self.word(query.word), self.template(template)], -1)

    def gains(self, gain: Tensor, condition: Tensor, steady: Tensor, template: Tensor) -> Tensor:
        """Return gains 0..1 from the trunk's logits and the shortcuts, all [Q, T, BANDS] but the span template."""
        logits: Tensor = gain + self.now(condition)[:, None] * steady + (self.lean * template)[:, None]
        return torch.sigmoid(logits)


class SoundNet(QueriedNet):
    """Estimate gains with a recurrent trunk shared by all queries and a smaller recurrent net for every query.

    Both nets step over pairs of frames, for speed; there is a gain for every frame.
    """

    def __init__(self, words: int, trunk: int = 160, query: int = 112, teacher_channels: int = 0) -> None:
        """Create a net with random weights.

        Args:
            words: Number of classes.
            trunk: Width of the shared recurrent net.
            query: Width of each query's recurrent net.
            teacher_channels: Number of features by other nets; see `teachers`.
        """
        super().__init__(words, 2 * 2 * trunk)
        self.enter = nn.Sequential(nn.Linear(2 * 3 * BANDS, 224), nn.GELU())
        self.teachers = teacher_layers(teacher_channels, 224)
        self.trunk = nn.GRU(224, trunk, bidirectional=True, batch_first=True)
        self.mix = nn.Linear(2 * trunk + SPAN_CHANNELS, 128)
        self.listen = nn.GRU(128, query, bidirectional=True, batch_first=True)
        self.gain = nn.Linear(2 * query + 128, 2 * BANDS)
        self.active = nn.Linear(2 * query + 128, 2)

    def forward(self, power: Tensor, query: Query, heard: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Estimate the gains and the activity of all queries.

        Args:
            power: Band power of the mixtures, [B, T, BANDS].
            query: The queries.
            heard: Features by other nets, [B, T, teacher channels]; None for a net without them.

        Returns:
            Gains [Q, T, BANDS] in 0..1 and logits [Q, T] of the sound being active in a frame.
        """
        frames = power.shape[1]
        energy, steady, onset = spectral_features(power)
        entered = self.enter[0](frame_pairs(torch.cat([0.5 * energy, steady, onset], -1)))
        if self.teachers is not None and heard is not None:
            entered = entered + self.teachers(pair_means(heard))
        shared, _ = self.trunk(self.enter[1](entered))
        template = span_template(energy, query)
        condition = self.condition(template, query)
        scale, shift = self.film(condition)[:, None].chunk(2, -1)
        tuned = shared[query.mixture] * (1 + scale) + shift
        mixed = nn.functional.gelu(self.mix(torch.cat([tuned, pair_means(query.spans)], -1)))
        recurrent, _ = self.listen(mixed)
        both = torch.cat([recurrent, mixed], -1)
        gain = self.gain(both).unflatten(-1, (2, BANDS)).flatten(1, 2)[:, :frames]
        active = self.active(both).flatten(1)[:, :frames]
        return self.gains(gain, condition, steady[query.mixture], template), active


def teacher_layers(channels: int, width: int) -> nn.Sequential | None:
    """Return layers from features by other nets to `width` inputs of a trunk; None without such features.

    The last layer starts at zero: a net that goes on from weights without such features begins with their results.
    """
    if not channels:
        return None
    last = nn.Linear(TEACHER_WIDTH, width, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Linear(channels, TEACHER_WIDTH), nn.GELU(), last)


def spectral_features(power: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return log energy, its deviation from the mean over time, and its change, [B, T, BANDS] each."""
    energy = log_energy(power)
    return energy, energy - energy.mean(1, keepdim=True), torch.diff(energy, dim=1, prepend=energy[:, :1])


def pair_means(frames: Tensor) -> Tensor:
    """Return the means of pairs of frames: [N, T, F] to [N, (T + 1) // 2, F]."""
    pairs: Tensor = frame_pairs(frames).unflatten(-1, (2, frames.shape[2]))
    return pairs.mean(-2)


def frame_pairs(frames: Tensor) -> Tensor:
    """Join pairs of frames: [N, T, F] to [N, (T + 1) // 2, 2 F]. The last frame of an odd number is repeated."""
    if frames.shape[1] % 2:
        frames = torch.cat([frames, frames[:, -1:]], 1)
    return frames.reshape(len(frames), -1, 2 * frames.shape[2])
