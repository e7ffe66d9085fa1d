# SPDX-License-Identifier: GPL-3.0-or-later
"""Spectrograms to look at: level over time in bands of equal width on a logarithmic scale of frequency."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BANDS = 144
LOWEST_HZ = 40.0
QUIETEST_DB, LOUDEST_DB = -78.0, -16.0
_TILT_DB = 3.0
"""Added for each octave above 1 kHz, as sound gets weaker there: hiss and rumble are drawn alike."""
_WINDOW = 2048

SpectrogramPixels = npt.NDArray[np.uint8]


class Spectrogram:
    """Turns windows of sound into columns [BANDS] of 0 (quiet) to 255 (loud), lowest band first."""

    def __init__(self, sample_rate: int) -> None:
        highest_hz = min(20000.0, sample_rate / 2)
        self._shape = np.hanning(_WINDOW).astype(np.float32)
        edges = np.geomspace(LOWEST_HZ, highest_hz, BANDS + 1) * _WINDOW / sample_rate
        centres = np.clip(np.sqrt(edges[:-1] * edges[1:]), 0, _WINDOW // 2 - 1e-3)
        self._below = centres.astype(int)
        self._share = (centres - self._below).astype(np.float32)
        self._first = np.clip(np.ceil(edges[:-1]).astype(int), 0, _WINDOW // 2)
        self._tilt = (_TILT_DB * np.log2(np.sqrt(edges[:-1] * edges[1:]) * sample_rate / _WINDOW / 1000)).astype(
            np.float32
        )
        self._wide = edges[1:] - edges[:-1] > 1.5

    def columns(self, mono: npt.NDArray[np.float32], count: int) -> SpectrogramPixels:
        """`count` columns [count, BANDS] evenly over `mono` [n]."""
        picture = np.zeros((count, BANDS), np.uint8)
        if mono.size == 0 or count == 0:
            return picture
        padded = np.pad(mono, (_WINDOW // 2, _WINDOW // 2))
        starts = (np.arange(count) + 0.5) * len(mono) / count
        for first in range(0, count, 256):
            places = starts[first : first + 256].astype(int)
            windows = padded[places[:, None] + np.arange(_WINDOW)] * self._shape
            power = np.abs(np.fft.rfft(windows, axis=1)) ** 2 * (16 / _WINDOW**2)
            picture[first : first + 256] = self._scaled(power.astype(np.float32))
        return picture

    def _scaled(self, power: npt.NDArray[np.float32]) -> SpectrogramPixels:
        low, high = power[:, self._below], power[:, self._below + 1]
        bands = low + (high - low) * self._share
        loudest = np.maximum.reduceat(power, self._first, axis=1)
        bands = np.where(self._wide, loudest, bands)
        level = 10 * np.log10(bands + 1e-12) + self._tilt
        return np.asarray(np.clip((level - QUIETEST_DB) * 255 / (LOUDEST_DB - QUIETEST_DB), 0, 255), np.uint8)
