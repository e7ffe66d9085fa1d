"""Tell tonal room tone (mains hum, fans, fridges) from noise-like room tone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

TONAL_SHARE = 0.1
"""Share of the energy in standing peaks above which room tone counts as tonal.

Measured: hum with noise 10 dB above it 0.21, eight ambiences of rain, wind, birds and insects 0.00.
"""

_POINTS = 16_384
_NEIGHBOURS = 41
_PEAK = 10.0**1.2
_STANDING = 8.0
_BAND_HZ = (40.0, 8000.0)


def tonal_share(mono: npt.NDArray[np.float32], sample_rate: int) -> float:
    """Return the share (0 to 1) of the energy between 40 Hz and 8 kHz that lies in standing spectral peaks.

    A bin is a standing peak where it is 12 dB above the median of its neighbours on average, and 9 dB above it in
    each quarter of the sound.

    Args:
        mono: One channel of samples. Sounds shorter than four windows of 16,384 samples are not judged (0).
        sample_rate: Samples per second.
    """
    if len(mono) < 4 * _POINTS:
        return 0.0
    quarters = np.array([_power(part) for part in np.array_split(mono, 4)])
    power = quarters.mean(axis=0)
    frequencies = np.fft.rfftfreq(_POINTS, 1 / sample_rate)
    band = (frequencies >= _BAND_HZ[0]) & (frequencies <= _BAND_HZ[1])
    floor = _running_median(power)
    standing = power > _PEAK * floor
    for quarter in quarters:
        standing &= quarter > _STANDING * _running_median(quarter)
    total = float(power[band].sum())
    return float(power[band & standing].sum()) / total if total > 0 else 0.0


def fold_down(pieces: tuple[FloatBlock, ...]) -> npt.NDArray[np.float32]:
    """Return the pieces [channels, samples] one after the other as one channel."""
    folded: npt.NDArray[np.float32] = np.concatenate([piece.mean(axis=0, dtype=np.float32) for piece in pieces])
    return folded


def _power(mono: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    window = np.hanning(_POINTS)
    starts = range(0, len(mono) - _POINTS + 1, _POINTS // 2)
    total = np.zeros(_POINTS // 2 + 1)
    for start in starts:
        total += np.abs(np.fft.rfft(mono[start : start + _POINTS] * window)) ** 2
    return total / len(starts)


def _running_median(power: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    padded = np.pad(power, _NEIGHBOURS // 2, mode="edge")
    median: npt.NDArray[np.float64] = np.median(np.lib.stride_tricks.sliding_window_view(padded, _NEIGHBOURS), axis=1)
    return median
