"""Spectra in bands that widen with frequency: a quarter of the numbers, and no less well separated."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from stemline_server._stft import Spectrum

FRAME_SAMPLES = 4_096
HOP_SAMPLES = 1_024
_SAMPLE_RATE = 48_000
_SINGLE_BINS_TO_HZ = 2_000
_RELATIVE_WIDTH = 0.03


@cache
def band_starts() -> npt.NDArray[np.int64]:
    """The first bin of each band: single bins to 2 kHz, from there 3 % wide."""
    bins = FRAME_SAMPLES // 2 + 1
    hz_per_bin = _SAMPLE_RATE / FRAME_SAMPLES
    starts = [0]
    while (start := starts[-1]) < bins:
        wide = start * hz_per_bin >= _SINGLE_BINS_TO_HZ
        starts.append(start + (max(1, round(start * _RELATIVE_WIDTH)) if wide else 1))
    return np.array(starts[:-1])


def magnitudes(spectrum: Spectrum) -> npt.NDArray[np.float32]:
    """[frames, bins] to [frames, bands]: the root of each band's energy."""
    energy = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.sqrt(np.add.reduceat(energy, band_starts(), axis=-1))


def to_bins(of_bands: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """[..., bands] to [..., bins]: each bin takes its band's value."""
    widths = np.diff(np.append(band_starts(), FRAME_SAMPLES // 2 + 1))
    return np.repeat(of_bands, widths, axis=-1)
