"""Mixtures with known targets, and their SI-SDR, for measuring the engine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline_server.engines.base import Waveform

RATE = 48_000
SILENT_DB = -30.0
CONTINUOUS_COVERAGE = 0.85
Wave = npt.NDArray[np.float32]
"""Mono samples as float32 [samples]."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Hold one mixture, mono at 48 kHz.

    Attributes:
        name: Name of the clip.
        category: Category of the target, such as "speech".
        prompt: Text that names the target.
        target: The target.
        residual: Everything else. The mixture is the sum of both.
        spans: Where the target sounds.
    """

    name: str
    category: str
    prompt: str
    target: Wave
    residual: Wave
    spans: tuple[SampleRange, ...]

    @property
    def mixture(self) -> Wave:
        """Sum of target and residual."""
        return self.target + self.residual

    @property
    def residual_spans(self) -> tuple[SampleRange, ...]:
        """Where anything but the target sounds."""
        return active_spans(self.residual)

    @property
    def is_continuous(self) -> bool:
        """Whether the target sounds nearly everywhere and the residual does not, so that only minus spans help."""
        length = len(self.target)
        return coverage(self.spans, length) > CONTINUOUS_COVERAGE >= coverage(self.residual_spans, length)

    def source(self) -> MemorySource:
        """Return the mixture as an `AudioSource`."""
        return MemorySource(self.mixture)


class MemorySource:
    """Provide mono samples in memory as an `AudioSource` at 48 kHz."""

    sample_rate = RATE
    channels = 1

    def __init__(self, wave: Wave) -> None:
        """Wrap samples [samples]."""
        self._wave = wave[None]
        self.length_samples = len(wave)

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]."""
        return self._wave[:, start_sample:end_sample]


def read_flac(path: Path) -> Wave:
    """Decode a file to mono at 48 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        pieces = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(pieces).astype(np.float32)


def read_clips(folder: Path) -> Iterator[Clip]:
    """Yield the clips that `manifest.json` in a folder lists."""
    for item in json.loads((folder / "manifest.json").read_text()):
        target, residual = read_flac(folder / item["target"]), read_flac(folder / item["residual"])
        spans = tuple(SampleRange(round(a * RATE), min(round(b * RATE), len(target))) for a, b in item["spans"])
        yield Clip(item["id"], item["category"], item["prompt"], target, residual, spans)


def si_sdr(estimate: Wave, target: Wave) -> float:
    """Return the scale-invariant signal-to-distortion ratio in dB, at least `SILENT_DB`.

    Le Roux et al., "SDR - half-baked or well done?", 2019, after removing the mean of both.
    """
    e, t = estimate.astype(np.float64), target.astype(np.float64)
    e, t = e - e.mean(), t - t.mean()
    if not (e @ e) or not (t @ t):
        return SILENT_DB
    projection = t * (e @ t) / (t @ t)
    distortion = e - projection
    ratio = (projection @ projection) / (distortion @ distortion + 1e-20)
    return max(float(10 * np.log10(ratio + 1e-20)), SILENT_DB)


def active_spans(wave: Wave, floor_db: float = -35.0) -> tuple[SampleRange, ...]:
    """Return where frames of 20 ms are within `floor_db` of the loudest frame, with gaps under 0.2 s closed."""
    frame = RATE // 50
    count = len(wave) // frame
    level = (wave[: count * frame].reshape(count, frame) ** 2).mean(1)
    loud = np.flatnonzero(level > level.max() * 10 ** (floor_db / 10))
    spans: list[list[int]] = []
    for i in loud:
        if spans and i - spans[-1][1] < 10:
            spans[-1][1] = int(i) + 1
        else:
            spans.append([int(i), int(i) + 1])
    return tuple(SampleRange(a * frame, min(b * frame, len(wave))) for a, b in spans)


def coverage(spans: tuple[SampleRange, ...], length: int) -> float:
    """Return the share of `length` samples that spans cover."""
    return sum(s.length for s in spans) / length
