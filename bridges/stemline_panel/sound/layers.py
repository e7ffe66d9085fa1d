# SPDX-License-Identifier: GPL-3.0-or-later
"""The sounds that are compared: the mix, each stem and the residual, read side by side and made equally loud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource, SampleRange, StemClip
from stemline.media import AudioReader, Loudness, measure_loudness, open_audio
from stemline.timebase import round_half_up
from stemline.workflow.record import StemRecord, read_sidecar, sidecar_of
from stemline_panel.model.request import MIX
from stemline_panel.sound.opened_clip import OpenedClip

_MEASURED_S = 120
_HIGHEST_GAIN = 16.0
_CEILING = 0.97


@dataclass(frozen=True, slots=True)
class Layer:
    """One sound of a clip: the file and the sample of it that plays where the clip begins."""

    name: str
    source: MediaSource
    first_sample: int


def layers_of(opened: OpenedClip, stems: Mapping[str, StemClip]) -> tuple[Layer, ...]:
    """The mix first, then the stems in their order. `stems` may cover a part of the clip (an audition).

    Stems at another sample rate than the clip are left out: all are played at its one.
    """
    layers = [Layer(MIX, opened.clip.source, opened.played.start_sample)]
    for name, stem in stems.items():
        if stem.sample_rate != opened.facts.sample_rate:
            continue
        ahead = stem.record_range.start - opened.clip.record_range.start
        layers.append(Layer(name, MediaSource(stem.path), round_half_up((stem.file_start - ahead) * stem.sample_rate)))
    return tuple(layers)


class LayerReader:
    """Reads all layers of a clip at the same place. One thread at a time. `close` it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._stack = ExitStack()
        self._readers: dict[str, tuple[AudioReader, int]] = {}
        try:
            for layer in layers:
                self._readers[layer.name] = (self._stack.enter_context(open_audio(layer.source)), layer.first_sample)
        except BaseException:
            self._stack.close()
            raise

    def read(self, start: int, end: int) -> dict[str, npt.NDArray[np.float32]]:
        """Samples [start, end) of each layer, counted from the clip's first, as float32 [2, n] for two ears."""
        return {
            name: for_two_ears(reader.read(first + start, first + end))
            for name, (reader, first) in self._readers.items()
        }

    def loudness(self, name: str, part: SampleRange) -> Loudness:
        """Over at most two minutes of the part, evenly spread."""
        reader, first = self._readers[name]
        second = reader.sample_rate
        seconds = max(1, part.length // second)
        stride = max(1, -(-seconds // _MEASURED_S))
        places = range(part.start_sample, part.start_sample + seconds * second, stride * second)
        return measure_loudness(
            (reader.read(first + at, first + min(at + second, part.end_sample)) for at in places), second
        )

    def close(self) -> None:
        self._stack.close()


def noted_peaks(stems: Mapping[str, StemClip]) -> dict[str, float]:
    """The largest absolute sample of each sound over all of its file, as it was noted in the sidecars when the files
    were written: loudness is measured over parts alone. What no sidecar tells is left out."""
    peaks: dict[str, float] = {}
    for name, stem in stems.items():
        record = read_sidecar(sidecar_of(Path(stem.path)))
        if isinstance(record, StemRecord) and record.file is not None:
            for sound, columns in ((name, record.file.waveform), (MIX, record.file.mix_waveform)):
                if columns:
                    peaks[sound] = max(columns) / 1000
    return peaks


def for_two_ears(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[channels, n] as [2, n]: mono on both ears; of more than two channels the odd ones left, the even ones right."""
    if block.shape[0] == 2:
        return block
    if block.shape[0] == 1:
        return np.repeat(block, 2, axis=0)
    return np.stack([block[0::2].mean(axis=0), block[1::2].mean(axis=0)])


def matched_gains(levels: Mapping[str, Loudness]) -> dict[str, float]:
    """The factor for each sound that makes all equally loud as the mix, and lower together where one would clip.

    Silent ones keep 1; none is raised by more than 24 dB.
    """
    mix = levels.get(MIX)
    heard = {name: level for name, level in levels.items() if not level.silent}
    if mix is None or mix.silent:
        return dict.fromkeys(levels, 1.0)
    wanted = {name: min(_HIGHEST_GAIN, 10 ** ((mix.lufs - level.lufs) / 20)) for name, level in heard.items()}
    room = min((_CEILING / (level.peak * wanted[name]) for name, level in heard.items() if level.peak > 0), default=1.0)
    return {name: wanted.get(name, 1.0) * min(1.0, room) for name in levels}


def part_of(opened: OpenedClip, start: Fraction, end: Fraction) -> SampleRange:
    """A range of the timeline in samples from the clip's first."""
    base = opened.played.start_sample
    return SampleRange(opened.sample_at(start) - base, opened.sample_at(end) - base)
