"""Short-time Fourier transform with perfect reconstruction, for sound that is worked on in pieces.

Root-Hann windows on both sides, hops of a quarter of the frame.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Spectrum = npt.NDArray[np.complex64]
"""complex64, [..., frames, bins]."""

OVERLAP = 4
"""Hops in a frame."""


def stft(samples: npt.NDArray[np.float32], size: int) -> Spectrum:
    """Return frames [..., frames, size/2+1] of [..., n]; frame i begins at sample i * size/4. Whole frames only."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, size, axis=-1)[..., :: size // OVERLAP, :]
    return np.fft.rfft(frames * _window(size)).astype(np.complex64, copy=False)


def istft(spectrum: Spectrum, size: int) -> npt.NDArray[np.float32]:
    """Return [..., n] of frames [..., frames, size/2+1]: the inverse of `stft`, except at both ends."""
    hop = size // OVERLAP
    frames = np.fft.irfft(spectrum, size).astype(np.float32, copy=False) * (_window(size) * np.float32(2 / OVERLAP))
    count = spectrum.shape[-2]
    samples = np.zeros((*spectrum.shape[:-2], (count + OVERLAP - 1) * hop), np.float32)
    for part in range(OVERLAP):
        piece = np.ascontiguousarray(frames[..., part * hop : (part + 1) * hop])
        samples[..., part * hop : (part + count) * hop] += piece.reshape(*piece.shape[:-2], -1)
    return samples


def _window(size: int) -> npt.NDArray[np.float32]:
    return np.sin(np.pi * np.arange(size) / size).astype(np.float32)
