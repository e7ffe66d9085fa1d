# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectrograms for display: level over time in bands of equal width on a logarithmic frequency scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BANDS = 144
LOWEST_HZ = 40.0
QUIETEST_DB, LOUDEST_DB = -78.0, -16.0
_TILT_DB = 3.0
"""Added per octave above 1 kHz, because sound gets weaker there: hiss and rumble look alike."""
_WINDOW = 2048
_COLUMNS_AT_ONCE = 256

SpectrogramPixels = npt.NDArray[np.uint8]


class Spectrogram:
    """Turns sound into columns [BANDS] of 0 (quiet) to 255 (loud), lowest band first."""

    def __init__(self, sample_rate: int) -> None:
        """Prepare the bands for a sample rate in Hz."""
        highest_hz = min(20000.0, sample_rate / 2)
        self._window = np.hanning(_WINDOW).astype(np.float32)
        edges = np.geomspace(LOWEST_HZ, highest_hz, BANDS + 1) * _WINDOW / sample_rate
        middles = np.sqrt(edges[:-1] * edges[1:])
        centres = np.clip(middles, 0, _WINDOW // 2 - 1e-3)
        self._below = centres.astype(int)
        self._share = (centres - self._below).astype(np.float32)
        self._first = np.clip(np.ceil(edges[:-1]).astype(int), 0, _WINDOW // 2)
        self._tilt = (_TILT_DB * np.log2(middles * sample_rate / _WINDOW / 1000)).astype(np.float32)
        self._wide = edges[1:] - edges[:-1] > 1.5

    def columns(self, mono: npt.NDArray[np.float32], count: int) -> SpectrogramPixels:
        """Return `count` columns [count, BANDS], spread evenly over `mono` [n]."""
        pixels = np.zeros((count, BANDS), np.uint8)
        if mono.size == 0 or count == 0:
            return pixels
        padded = np.pad(mono, (_WINDOW // 2, _WINDOW // 2))
        starts = (np.arange(count) + 0.5) * len(mono) / count
        for first in range(0, count, _COLUMNS_AT_ONCE):
            places = starts[first : first + _COLUMNS_AT_ONCE].astype(int)
            windows = padded[places[:, None] + np.arange(_WINDOW)] * self._window
            power = np.abs(np.fft.rfft(windows, axis=1)) ** 2 * (16 / _WINDOW**2)
            pixels[first : first + _COLUMNS_AT_ONCE] = self._scaled(power.astype(np.float32))
        return pixels

    def _scaled(self, power: npt.NDArray[np.float32]) -> SpectrogramPixels:
        """Return power [columns, bins] as pixels: narrow bands interpolate two bins, wide ones take the loudest."""
        low, high = power[:, self._below], power[:, self._below + 1]
        bands = low + (high - low) * self._share
        loudest = np.maximum.reduceat(power, self._first, axis=1)
        bands = np.where(self._wide, loudest, bands)
        level = 10 * np.log10(bands + 1e-12) + self._tilt
        return np.asarray(np.clip((level - QUIETEST_DB) * 255 / (LOUDEST_DB - QUIETEST_DB), 0, 255), np.uint8)


def frequency_at(height: float, highest_hz: float) -> float:
    """Return the frequency in Hz at a height of the spectrogram, from 0 (lowest) to 1 (highest)."""
    return float(LOWEST_HZ * (highest_hz / LOWEST_HZ) ** height)


def level_of(pixel: int, hertz: float) -> str:
    """Return the level of a pixel at a frequency as text: dBFS of a sine wave that would be as strong."""
    level = QUIETEST_DB + pixel * (LOUDEST_DB - QUIETEST_DB) / 255 - _TILT_DB * np.log2(hertz / 1000)
    if pixel in (0, 255):
        return f"{'below' if pixel == 0 else 'above'} {level:.0f} dBFS"
    return f"{level:.0f} dBFS"
