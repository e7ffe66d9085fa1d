# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of a clip, which are compared at one playhead: the mix, each stem and the residual."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.clips import MediaSource, SampleRange, StemClip
from stemline.media import AudioReader, Loudness, PcmCache, measure_loudness, open_audio
from stemline.paths import cache_dir
from stemline.timebase import round_half_up
from stemline.workflow.record import StemRecord
from stemline.workflow.sidecars import read_sidecar, sidecar_of
from stemline_panel.model.request import MIX
from stemline_panel.sound.live_sound import LiveSound
from stemline_panel.sound.opened_clip import OpenedClip

_MEASURED_S = 120
_MAX_GAIN = 16.0
_CEILING = 0.97


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its name, its file, and the sample of the file that plays at the start of the clip.

    The layer of a stem that is being separated has its sound in `live`, at the samples of the clip's media.
    """

    name: str
    source: MediaSource
    first_sample: int
    live: LiveSound | None = None


def layers_of(opened: OpenedClip, stems: Mapping[str, StemClip]) -> tuple[Layer, ...]:
    """Return the mix and then the stems in their order. `stems` may cover a part of the clip (an audition).

    Stems at another sample rate than the clip are left out, because all layers play at one rate.
    """
    layers = [Layer(MIX, opened.clip.source, opened.played.start_sample)]
    for name, stem in stems.items():
        if stem.sample_rate != opened.facts.sample_rate:
            continue
        ahead = stem.record_range.start - opened.clip.record_range.start
        layers.append(Layer(name, MediaSource(stem.path), round_half_up((stem.file_start - ahead) * stem.sample_rate)))
    return tuple(layers)


DecodingListener = Callable[[float], None]
"""(share that is decoded). Called from the thread that decodes."""

_listeners: list[DecodingListener] = []


def listen_to_decoding(listener: DecodingListener) -> Callable[[], None]:
    """Have `listener` called while a sound is decoded into the cache as a whole. Return what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def open_sound(source: MediaSource) -> AudioReader:
    """Open the sound of a source, and report where all of it has to be decoded first. Raises MediaError."""

    def report(done: int, whole: int) -> None:
        for listener in tuple(_listeners):
            listener(done / whole)

    return open_audio(source, cache=PcmCache(cache_dir() / "pcm", progress=report))


@contextmanager
def open_layer(layer: Layer) -> Iterator[AudioReader | LiveSound]:
    """Open the sound of a layer. A live one stays open afterwards. Raises MediaError."""
    if layer.live is not None:
        yield layer.live
        return
    with open_sound(layer.source) as reader:
        yield reader


class LayerReader:
    """Reads all layers of a clip at the same position. Use it from one thread at a time, and close it."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Open the files of all layers. Raises MediaError."""
        self._readers: dict[str, tuple[AudioReader | LiveSound, int]] = {}
        with ExitStack() as opened:
            for layer in layers:
                self._readers[layer.name] = (opened.enter_context(open_layer(layer)), layer.first_sample)
            self._stack = opened.pop_all()

    def read(self, start: int, end: int) -> dict[str, npt.NDArray[np.float32]]:
        """Return samples [start, end) of each layer, counted from the clip's first, as float32 [2, n]."""
        return {
            name: to_stereo(reader.read(first + start, first + end)) for name, (reader, first) in self._readers.items()
        }

    def loudness(self, name: str, part: SampleRange) -> Loudness:
        """Measure a layer over `part`, or over two minutes spread evenly over it if it is longer."""
        reader, first = self._readers[name]
        if isinstance(reader, LiveSound):
            raise ValueError(f"{name} is not finished")
        second = reader.sample_rate
        seconds = max(1, part.length // second)
        stride = max(1, -(-seconds // _MEASURED_S))
        places = range(part.start_sample, part.start_sample + seconds * second, stride * second)
        return measure_loudness(
            (reader.read(first + at, first + min(at + second, part.end_sample)) for at in places),
            second,
            reader.layout,
        )

    def close(self) -> None:
        """Close all files."""
        self._stack.close()


def sidecar_peaks(stems: Mapping[str, StemClip]) -> dict[str, float]:
    """Return the largest absolute sample of each layer from the sidecars, over the whole file.

    Loudness is measured over parts only, so that a peak can lie outside them. Layers without a sidecar are left out.
    """
    peaks: dict[str, float] = {}
    for name, stem in stems.items():
        record = read_sidecar(sidecar_of(Path(stem.path)))
        if isinstance(record, StemRecord) and record.file is not None:
            for layer, columns in ((name, record.file.waveform), (MIX, record.file.mix_waveform)):
                if columns:
                    peaks[layer] = max(columns) / 1000
    return peaks


def to_stereo(block: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return [channels, n] as [2, n]: mono on both sides; of more channels the odd ones left, the even ones right."""
    if block.shape[0] == 2:
        return block
    if block.shape[0] == 1:
        return np.repeat(block, 2, axis=0)
    return np.stack([block[0::2].mean(axis=0), block[1::2].mean(axis=0)])


def matched_gains(levels: Mapping[str, Loudness]) -> dict[str, float]:
    """Return the gain of each layer that gives it the loudness of the mix, lowered together if one would clip.

    Silent layers get 1. No gain is above 24 dB.
    """
    mix = levels.get(MIX)
    audible = {name: level for name, level in levels.items() if not level.silent}
    if mix is None or mix.silent:
        return dict.fromkeys(levels, 1.0)
    wanted = {name: min(_MAX_GAIN, 10 ** ((mix.lufs - level.lufs) / 20)) for name, level in audible.items()}
    headroom = [_CEILING / (level.peak * wanted[name]) for name, level in audible.items() if level.peak > 0]
    common = min([1.0, *headroom])
    return {name: wanted.get(name, 1.0) * common for name in levels}


def part_of(opened: OpenedClip, start: Fraction, end: Fraction) -> SampleRange:
    """Return a range of the timeline in samples from the clip's first."""
    base = opened.played.start_sample
    return SampleRange(opened.sample_at(start) - base, opened.sample_at(end) - base)


def covered_part(opened: OpenedClip, stems: Mapping[str, StemClip]) -> SampleRange:
    """Return the part that the stems cover: the whole clip, or that of an audition."""
    if not stems:
        return SampleRange(0, opened.played.length)
    record = next(iter(stems.values())).record_range
    return part_of(opened, record.start, record.end)
