"""How loud a sound is to people: integrated loudness after ITU-R BS.1770, for comparing stems at one level."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

SILENT_LUFS = -70.0
_OFFSET = -0.691
_BLOCK_S = 0.4
_RELATIVE_GATE = -10.0


@dataclass(frozen=True, slots=True)
class Loudness:
    """`lufs` is gated loudness, never below -70 (silence); `peak` the largest absolute sample."""

    lufs: float
    peak: float

    @property
    def silent(self) -> bool:
        return self.lufs <= SILENT_LUFS


def measure_loudness(blocks: Iterable[FloatBlock], sample_rate: int) -> Loudness:
    """The loudness of blocks [channels, n] of one sound, all channels weighted 1.

    Each is cut into stretches of 400 ms, gated at -70 LUFS and 10 LU below the mean. The K weighting is applied to the
    spectrum of a stretch, which agrees with the filters of the recommendation to a few hundredths for steady sound.
    A sound shorter than a stretch is one, filled up with silence.
    """
    size = round(_BLOCK_S * sample_rate)
    weights = _k_weighting(size, sample_rate)
    powers: list[npt.NDArray[np.float64]] = []
    peak = 0.0
    for block in blocks:
        if block.size:
            peak = max(peak, float(np.abs(block).max()))
        if block.size and not powers and block.shape[1] < size:
            block = np.pad(block, ((0, 0), (0, size - block.shape[1])))  # noqa: PLW2901 - the same, as one stretch
        whole = block.shape[1] // size
        if whole:
            stretches = block[:, : whole * size].reshape(block.shape[0], whole, size)
            power = np.abs(np.fft.rfft(stretches, axis=2)) ** 2 @ weights
            powers.append(power.sum(axis=0))
    return Loudness(_gated(np.concatenate(powers) if powers else np.zeros(0)), peak)


def _gated(powers: npt.NDArray[np.float64]) -> float:
    heard = powers[powers > _power(SILENT_LUFS)]
    if not heard.size:
        return SILENT_LUFS
    heard = heard[heard > heard.mean() * 10 ** (_RELATIVE_GATE / 10)]
    return max(SILENT_LUFS, float(_OFFSET + 10 * np.log10(heard.mean())))


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


def _k_weighting(size: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """What turns the squared spectrum of `size` samples into mean power: Parseval's factor times |H|^2 of the shelf
    and the high-pass of BS.1770-4, whose analogue prototypes are given here so that every rate is served.
    """
    s = 2j * np.pi * np.fft.rfftfreq(size, 1 / sample_rate)
    shelf_w, shelf_q, gain_db = 2 * np.pi * 1681.974450955533, 0.7071752369554196, 3.999843853973347
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    below = s**2 + s * shelf_w / shelf_q + shelf_w**2
    shelf = (high * s**2 + band * s * shelf_w / shelf_q + shelf_w**2) / below
    cut_w, cut_q = 2 * np.pi * 38.13547087602444, 0.5003270373238773
    cut = s**2 / (s**2 + s * cut_w / cut_q + cut_w**2)
    weights = np.abs(shelf * cut) ** 2 * 2 / size**2
    if size % 2 == 0:
        weights[-1] /= 2
    return np.asarray(weights, np.float64)
