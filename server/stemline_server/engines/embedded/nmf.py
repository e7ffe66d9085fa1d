"""Semi-supervised non-negative matrix factorisation (NMF) of band magnitudes.

Magnitudes [frames, bands] are approximated by activations [frames, components] times spectra [components, bands] under
the generalised Kullback-Leibler divergence, with the multiplicative updates of Lee and Seung ("Algorithms for
Non-negative Matrix Factorization", 2001). The spectra of the background are learned where the target is absent. They
stay fixed while the spectra of the target are learned where it is present (Smaragdis, Raj and Shashanka, "Supervised
and Semi-supervised Separation of Sounds from Single-Channel Mixtures", 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from stemline_server._stft import Spectrum

Matrix = npt.NDArray[np.float32]
Tick = Callable[[], None]
"""Called at every iteration; may raise to stop."""

FRAME_SAMPLES = 4_096
HOP_SAMPLES = 1_024
BACKGROUND_COMPONENTS = 40
TARGET_COMPONENTS = 12

_SAMPLE_RATE = 48_000
_SINGLE_BINS_TO_HZ = 2_000
_RELATIVE_WIDTH = 0.03
_LEARNING_ITERATIONS = 80
_ACTIVATION_ITERATIONS = 40
_MASK_POWER = np.float32(1.5)
_TINY = np.float32(1e-8)


@cache
def band_starts() -> npt.NDArray[np.int64]:
    """Return the first bin of each band [bands]: single bins to 2 kHz, bands 3 % wide above.

    Bands need a quarter of the computation of bins and separate as well.
    """
    bins = FRAME_SAMPLES // 2 + 1
    hz_per_bin = _SAMPLE_RATE / FRAME_SAMPLES
    starts = [0]
    while (start := starts[-1]) < bins:
        wide = start * hz_per_bin >= _SINGLE_BINS_TO_HZ
        starts.append(start + (max(1, round(start * _RELATIVE_WIDTH)) if wide else 1))
    return np.array(starts[:-1])


def band_magnitudes(spectrum: Spectrum) -> Matrix:
    """Return the root of each band's energy: [frames, bins] to [frames, bands]."""
    energy = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.sqrt(np.add.reduceat(energy, band_starts(), axis=-1))


def bands_to_bins(values: Matrix) -> Matrix:
    """Give each bin its band's value: [..., bands] to [..., bins]."""
    widths = np.diff(np.append(band_starts(), FRAME_SAMPLES // 2 + 1))
    return np.repeat(values, widths, axis=-1)


@dataclass(frozen=True, slots=True)
class NmfModel:
    """Hold the learned spectra of a background and a target.

    Attributes:
        spectra: [components, bands]; rows sum to one, the first `BACKGROUND_COMPONENTS` rows are the background.
        level: Magnitudes are divided by this before factorisation.
    """

    spectra: Matrix
    level: float


def learn(background: Matrix, target: Matrix, rng: np.random.Generator, tick: Tick) -> NmfModel:
    """Learn spectra of a background and of a target on top of it.

    Args:
        background: Magnitudes [frames, bands] without the target.
        target: Magnitudes [frames, bands] that contain both.
        rng: Draws the initial values.
        tick: Called at every iteration; may raise to stop.

    Returns:
        The spectra of both.
    """
    level = float(np.mean(background) + np.mean(target)) / 2 + float(_TINY)
    spectra = _initial_spectra(rng, BACKGROUND_COMPONENTS, background.shape[1])
    _factorise(background / np.float32(level), spectra, 0, rng, tick)
    spectra = np.concatenate((spectra, _initial_spectra(rng, TARGET_COMPONENTS, background.shape[1])))
    _factorise(target / np.float32(level), spectra, BACKGROUND_COMPONENTS, rng, tick)
    return NmfModel(spectra, level)


def target_mask(magnitudes: Matrix, model: NmfModel, tick: Tick) -> Matrix:
    """Return the target's mask, 0..1, for magnitudes [frames, bands]. Frames do not depend on each other."""
    spectra = model.spectra
    scaled = magnitudes / np.float32(model.level)
    activations = np.ones((magnitudes.shape[0], spectra.shape[0]), np.float32)
    for _ in range(_ACTIVATION_ITERATIONS):
        tick()
        activations *= (scaled / (activations @ spectra + _TINY)) @ spectra.T
    background = (activations[:, :BACKGROUND_COMPONENTS] @ spectra[:BACKGROUND_COMPONENTS]) ** _MASK_POWER
    target = (activations[:, BACKGROUND_COMPONENTS:] @ spectra[BACKGROUND_COMPONENTS:]) ** _MASK_POWER
    mask: Matrix = (target / (target + background + _TINY * _TINY)).astype(np.float32, copy=False)
    return mask


def _initial_spectra(rng: np.random.Generator, components: int, bands: int) -> Matrix:
    spectra = rng.random((components, bands), np.float32) + np.float32(0.1)
    sums: Matrix = spectra.sum(axis=1, keepdims=True)
    return spectra / sums


def _factorise(magnitudes: Matrix, spectra: Matrix, fixed: int, rng: np.random.Generator, tick: Tick) -> None:
    """Fit all activations and, in place, the rows of `spectra` from `fixed` on. Rows keep the sum of one."""
    activations = rng.random((magnitudes.shape[0], spectra.shape[0]), np.float32) + np.float32(0.1)
    for _ in range(_LEARNING_ITERATIONS):
        tick()
        activations *= (magnitudes / (activations @ spectra + _TINY)) @ spectra.T
        ratio = magnitudes / (activations @ spectra + _TINY)
        learned = spectra[fixed:] * (activations[:, fixed:].T @ ratio) + _TINY
        total = learned.sum(axis=1)
        spectra[fixed:] = learned / total[:, None]
        activations[:, fixed:] *= total / (activations[:, fixed:].sum(axis=0) + _TINY)
