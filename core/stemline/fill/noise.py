"""Noise with the spectrum, the level and the stereo image of a short piece of room tone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

_POINTS = 2048
_HOP = _POINTS // 2


def shaped_noise(pieces: tuple[FloatBlock, ...], seed: int) -> Iterator[FloatBlock]:
    """Yield Gaussian noise [channels, 1024] with the averaged cross-spectra of the pieces, without end.

    The matrix of cross-spectra of each frequency is factored, so that channels keep their level and their coherence.
    """
    factors = _factors(pieces)
    channels = factors.shape[1]
    window = np.sin(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
    random = np.random.Generator(np.random.Philox(seed))
    overlap = np.zeros((channels, _HOP))
    while True:
        white = random.standard_normal((2, _HOP + 1, channels)) / np.sqrt(2)
        spectrum = np.einsum("fij,fj->if", factors, white[0] + 1j * white[1])
        frame = np.fft.irfft(spectrum, _POINTS, axis=1) * window
        yield (overlap + frame[:, :_HOP]).astype(np.float32)
        overlap = frame[:, _HOP:]


def _factors(pieces: tuple[FloatBlock, ...]) -> npt.NDArray[np.complex128]:
    """Return one square factor [frequency, channel, channel] of the averaged cross-spectra for each frequency."""
    window = np.sin(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
    channels = pieces[0].shape[0]
    total = np.zeros((_HOP + 1, channels, channels), dtype=np.complex128)
    count = 0
    for piece in pieces:
        sound = np.pad(piece, ((0, 0), (0, max(0, _POINTS - piece.shape[1])))).astype(np.float64)
        share = min(1.0, piece.shape[1] / _POINTS)  # a padded window holds only this much sound
        for start in range(0, sound.shape[1] - _POINTS + 1, _HOP):
            spectrum = np.fft.rfft(sound[:, start : start + _POINTS] * window, axis=1)
            total += np.einsum("if,jf->fij", spectrum, spectrum.conj()) / share
            count += 1
    total /= max(count, 1)
    # The window's mean square is 1/2, and two overlapping frames add up to 1: each frame carries twice its power.
    values, vectors = np.linalg.eigh(total * 2)
    factors: npt.NDArray[np.complex128] = vectors * np.sqrt(np.maximum(values, 0))[:, np.newaxis, :]
    return factors
