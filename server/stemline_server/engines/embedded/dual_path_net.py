"""A dual-path net that maps band energies and a query to gains: recurrent nets over time and over bands in turn.

Luo et al., "Dual-Path RNN", 2020, on groups of bands (Luo and Yu, "Music Source Separation with Band-split RNN", 2023).
It has the inputs, outputs and shortcuts of `sound_net.SoundNet`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from stemline_server.engines.embedded.sound_net import (
    BANDS,
    SPAN_CHANNELS,
    QueriedNet,
    Query,
    SoundNet,
    frame_pairs,
    pair_means,
    span_template,
    spectral_features,
    teacher_layers,
)

TRUNKS = ("gru", "dual-path")
GROUPS, WIDTH = 24, 48
_FEATURES = 3
_SHARED_BLOCKS = _QUERY_BLOCKS = 2
_MEMBERS = np.array_split(np.arange(BANDS), GROUPS)
_LARGEST = len(_MEMBERS[0])


def build_net(trunk: str, words: int, teacher_channels: int = 0) -> QueriedNet:
    """Return a net with random weights.

    Args:
        trunk: One of `TRUNKS`.
        words: Number of classes.
        teacher_channels: Number of features by other nets.

    Raises:
        ValueError: The trunk is unknown.
    """
    if trunk not in TRUNKS:
        raise ValueError(f"The trunk {trunk!r} is unknown; this version of Stemline has {' and '.join(TRUNKS)}.")
    if trunk == "gru":
        return SoundNet(words, teacher_channels=teacher_channels)
    return DualPathNet(words, teacher_channels=teacher_channels)


class GroupLinear(nn.Module):
    """Map the last axis of [..., GROUPS, inputs] to [..., GROUPS, outputs] with weights of its own for each group."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Create the layer with random weights."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(GROUPS, inputs, outputs).uniform_(-1, 1) * inputs**-0.5)
        self.bias = nn.Parameter(torch.zeros(GROUPS, outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Return the mapped values."""
        mapped: Tensor = torch.einsum("...gi,gio->...go", values, self.weight) + self.bias
        return mapped


class Path(nn.Module):
    """Add to a sequence what a bidirectional recurrent net makes of its normalised values."""

    def __init__(self, hidden: int) -> None:
        """Create the path with random weights; `hidden` is the width of the recurrent net in each direction."""
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.recurrent = nn.GRU(WIDTH, hidden, bidirectional=True, batch_first=True)
        self.leave = nn.Linear(2 * hidden, WIDTH)

    def forward(self, sequences: Tensor) -> Tensor:
        """Return sequences of the same shape, [N, steps, WIDTH]."""
        recurrent, _ = self.recurrent(self.norm(sequences))
        changed: Tensor = sequences + self.leave(recurrent)
        return changed


class DualPathBlock(nn.Module):
    """Run a recurrent net over time in each group of bands, then one over the groups at each time."""

    def __init__(self, time_hidden: int, band_hidden: int) -> None:
        """Create the block with random weights; the widths are those of the nets over time and over bands."""
        super().__init__()
        self.over_time = Path(time_hidden)
        self.over_bands = Path(band_hidden)

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape, [N, T, GROUPS, WIDTH]."""
        rows = len(values)
        values = self.over_time(values.transpose(1, 2).flatten(0, 1)).unflatten(0, (rows, GROUPS)).transpose(1, 2)
        crossed: Tensor = self.over_bands(values.flatten(0, 1)).unflatten(0, (rows, -1))
        return crossed


class DualPathNet(QueriedNet):
    """Estimate gains with two blocks that all queries share and two that each query modulates, over pairs of frames."""

    members: Tensor
    places: Tensor

    def __init__(self, words: int, time_hidden: int = 128, band_hidden: int = 64, teacher_channels: int = 0) -> None:
        """Create a net with random weights.

        Args:
            words: Number of classes.
            time_hidden: Width of the recurrent nets over time, in each direction.
            band_hidden: Width of the recurrent nets over bands, in each direction.
            teacher_channels: Number of features by other nets; see `teachers`.
        """
        super().__init__(words, _QUERY_BLOCKS * 2 * GROUPS * WIDTH)
        self.enter = GroupLinear(2 * _FEATURES * _LARGEST, WIDTH)
        self.teachers = teacher_layers(teacher_channels, GROUPS * WIDTH)
        self.marks = nn.Linear(SPAN_CHANNELS, WIDTH)
        self.shared = nn.ModuleList(DualPathBlock(time_hidden, band_hidden) for _ in range(_SHARED_BLOCKS))
        self.queried = nn.ModuleList(DualPathBlock(time_hidden, band_hidden) for _ in range(_QUERY_BLOCKS))
        self.gain = GroupLinear(WIDTH, 2 * _LARGEST)
        self.active = nn.Linear(GROUPS * WIDTH, 2)
        # Groups with fewer bands repeat their last one; `places` finds each band in the padded groups.
        padded = np.stack([np.pad(group, (0, _LARGEST - len(group)), "edge") for group in _MEMBERS])
        places = [np.arange(len(group)) + number * _LARGEST for number, group in enumerate(_MEMBERS)]
        self.register_buffer("members", torch.from_numpy(padded), persistent=False)
        self.register_buffer("places", torch.from_numpy(np.concatenate(places)), persistent=False)

    def forward(self, power: Tensor, query: Query, heard: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Estimate the gains and the activity of all queries; see `SoundNet.forward`."""
        frames = power.shape[1]
        energy, steady, onset = spectral_features(power)
        grouped = torch.stack([0.5 * energy, steady, onset], -1)[:, :, self.members].flatten(2)  # [B, T, features]
        pairs = frame_pairs(grouped).unflatten(-1, (2, GROUPS, -1)).transpose(2, 3).flatten(3)
        values = self.enter(pairs)
        if self.teachers is not None and heard is not None:
            values = values + self.teachers(pair_means(heard)).unflatten(-1, (GROUPS, WIDTH))
        for block in self.shared:
            values = block(values)
        template = span_template(energy, query)
        condition = self.condition(template, query)
        modulation = self.film(condition).unflatten(-1, (_QUERY_BLOCKS, 2, 1, GROUPS, WIDTH))
        values = values[query.mixture] + self.marks(pair_means(query.spans))[:, :, None]
        for number, block in enumerate(self.queried):
            scale, shift = modulation[:, number].unbind(1)
            values = block(values * (1 + scale) + shift)
        gain = self.gain(values).unflatten(-1, (2, _LARGEST)).transpose(2, 3).flatten(3)
        gain = gain[..., self.places].flatten(1, 2)[:, :frames]
        active = self.active(values.flatten(2)).flatten(1)[:, :frames]
        return self.gains(gain, condition, steady[query.mixture], template), active
