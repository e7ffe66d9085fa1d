"""Integrated loudness after ITU-R BS.1770, for comparing stems at one level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

from stemline.media.samples import FloatBlock

SILENT_LUFS = -70.0
_BLOCK_S = 0.4
_INTEGRATED = "lavfi.r128.I"


@dataclass(frozen=True, slots=True)
class Loudness:
    """Loudness and peak of a sound.

    Attributes:
        lufs: Gated integrated loudness, never below -70 (silence).
        peak: The largest absolute sample.
    """

    lufs: float
    peak: float

    @property
    def silent(self) -> bool:
        """Whether the sound is silent."""
        return self.lufs <= SILENT_LUFS


def measure_loudness(blocks: Iterable[FloatBlock], sample_rate: int, layout: str = "") -> Loudness:
    """Measure the integrated loudness of one sound with FFmpeg's `ebur128` filter.

    Args:
        blocks: The sound in order, each block [channels, n] of float32 at full scale 1.0. A sound shorter than the 400
            ms of a measured block is padded with silence.
        sample_rate: Samples per second.
        layout: FFmpeg's name of the channel layout, by which surround channels weigh more and the LFE is left out.
            Where it is empty all channels weigh the same.
    """
    meter: _Meter | None = None
    peak, length = 0.0, 0
    channels = 1
    for block in blocks:
        if not block.size:
            continue
        channels = block.shape[0]
        meter = meter or _Meter(sample_rate, layout or _unnamed(channels))
        peak = max(peak, float(np.abs(block).max()))
        length += block.shape[1]
        meter.add(block)
    if meter is None:
        return Loudness(SILENT_LUFS, 0.0)
    missing = round(_BLOCK_S * sample_rate) - length
    if missing > 0:
        meter.add(np.zeros((channels, missing), np.float32))
    return Loudness(max(SILENT_LUFS, meter.finish()), peak)


def _unnamed(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


class _Meter:
    """The filter `ebur128`, fed block by block."""

    def __init__(self, sample_rate: int, layout: str) -> None:
        self._rate, self._layout = sample_rate, layout
        self._graph = Graph()
        self._source = self._graph.add_abuffer(
            sample_rate=sample_rate, format="fltp", layout=layout, time_base=Fraction(1, sample_rate)
        )
        measuring = self._graph.add("ebur128", "metadata=1:framelog=quiet")
        self._sink = self._graph.add("abuffersink")
        self._source.link_to(measuring)
        measuring.link_to(self._sink)
        self._graph.configure()
        self._length = 0
        self._lufs = SILENT_LUFS

    def add(self, block: FloatBlock) -> None:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._length
        self._length += block.shape[1]
        self._source.push(frame)
        self._take_results()

    def finish(self) -> float:
        self._source.push(None)
        self._take_results()
        return self._lufs

    def _take_results(self) -> None:
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            text = frame.metadata.get(_INTEGRATED)
            if text is not None and np.isfinite(float(text)):
                self._lufs = float(text)
