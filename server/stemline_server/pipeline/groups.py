"""Groups the channels that a fold-down preserves.

A panned source correlates across channels. A lav and a boom, or the front and the surround of a film mix, hardly do,
and their mean would only add noise to each; sound in antiphase on two channels would cancel in it. Correlation is taken
in bands that all count alike, and in each band moment by moment too, because a voice in antiphase may be behind music
that is in phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt

from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.pipeline.carry import frame_samples

LEAST_CORRELATION = 0.2
"""Mean over the bands. Measured: speech centred over wide music 0.26 to 0.65, unrelated channels below 0.05."""
MOST_ANTIPHASE = 0.12
"""Share of moments that correlate below -0.5. Measured: 0.2 to 0.6 with one sound in antiphase, else below 0.1."""
_ANTIPHASE = -0.5
_BANDS = 8
_LOWEST_BIN = 8
_FRAMES_READ = 64

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ChannelGroups:
    """Channels that share an estimate.

    Attributes:
        groups: Channels of each estimate.
        silent: Channels of zeros.
        alike: Groups whose channels hold the same samples from beginning to end.
    """

    groups: tuple[tuple[int, ...], ...]
    silent: tuple[int, ...]
    alike: frozenset[tuple[int, ...]] = frozenset()


def one_each(audio: AudioSource, control: Control) -> ChannelGroups:
    """Return every channel with sound as a group."""
    sounding = np.zeros(audio.channels, bool)
    step = _FRAMES_READ * frame_samples(audio.sample_rate)
    for start in range(0, audio.length_samples, step):
        control.step(0, 1)
        sounding |= audio.read(start, min(start + step, audio.length_samples)).any(axis=1)
        if sounding.all():
            break
    return _grouped([{int(channel)} for channel in np.flatnonzero(sounding)], audio.channels)


def correlated(audio: AudioSource, control: Control) -> ChannelGroups:
    """Return groups of channels, joined wherever two of them correlate and neither cancels part of the other."""
    if audio.channels == 1:
        return one_each(audio, control)
    likeness = _Likeness(audio.channels)
    size = frame_samples(audio.sample_rate)
    for start in range(0, audio.length_samples, _FRAMES_READ * size):
        control.step(0, 1)
        likeness.add(audio.read(start, min(start + _FRAMES_READ * size, audio.length_samples)), size)
    linked = likeness.linked()
    groups: list[set[int]] = []
    for channel in np.flatnonzero(likeness.sounding).tolist():
        joined = [group for group in groups if any(linked[channel, other] for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append({channel}.union(*joined))
    found = _grouped(groups, audio.channels)
    alike = frozenset(group for group in found.groups if likeness.alike(group))
    return ChannelGroups(found.groups, found.silent, alike)


def _grouped(groups: list[set[int]], channels: int) -> ChannelGroups:
    silent = set(range(channels)).difference(*groups)
    return ChannelGroups(tuple(tuple(sorted(group)) for group in sorted(groups, key=min)), tuple(sorted(silent)))


class _Likeness:
    """Sums over time, for every pair of channels and every band: [channels, channels, bands]."""

    def __init__(self, channels: int) -> None:
        self.sounding = np.zeros(channels, bool)
        self._different: set[tuple[int, int]] = set()
        self._together = np.zeros((channels, channels, _BANDS))
        self._level = np.zeros((channels, channels, _BANDS))
        self._antiphase = np.zeros((channels, channels, _BANDS))

    def add(self, block: Waveform, size: int) -> None:
        """Add [channels, n] in frames of `size` samples; the last is filled up with silence."""
        self.sounding |= block.any(axis=1)
        for pair in {*combinations(range(len(block)), 2)} - self._different:
            if not np.array_equal(block[pair[0]], block[pair[1]]):
                self._different.add(pair)
        frames = np.pad(block, ((0, 0), (0, -block.shape[1] % size))).reshape(block.shape[0], -1, size)
        spectrum = np.fft.rfft(frames * np.hanning(size).astype(np.float32))
        edges = np.geomspace(min(_LOWEST_BIN, size // 32), size // 2, _BANDS + 1).round().astype(int)
        for band, (low, high) in enumerate(pairwise(edges)):
            part = spectrum[:, :, low:high]
            cross = np.einsum("anb,cnb->acn", part, part.conj()).real.astype(np.float64)
            energy = np.einsum("aan->an", cross)
            level = np.sqrt(energy[:, None] * energy[None, :])
            self._together[..., band] += cross.sum(axis=-1)
            self._level[..., band] += level.sum(axis=-1)
            self._antiphase[..., band] += (level * (cross < _ANTIPHASE * level)).sum(axis=-1)

    def alike(self, group: tuple[int, ...]) -> bool:
        """Return whether all these channels, in rising order, hold the same samples."""
        return self._different.isdisjoint(combinations(group, 2))

    def linked(self) -> npt.NDArray[np.bool_]:
        """Return [channels, channels]: whether a fold-down preserves what the two channels have."""
        tiny = np.finfo(np.float64).tiny
        energy = np.einsum("aab->ab", self._together)
        norm = np.sqrt(energy[:, None] * energy[None, :])
        correlation: Matrix = (self._together / np.maximum(norm, tiny)).mean(axis=-1)
        antiphase: Matrix = (self._antiphase / np.maximum(self._level, tiny)).mean(axis=-1)
        return (correlation >= LEAST_CORRELATION) & (antiphase <= MOST_ANTIPHASE)
