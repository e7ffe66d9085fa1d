"""Finds what is new in marked frames: semi-supervised non-negative matrix factorisation.

Magnitudes [frames, bands] are written as activations [frames, parts] times spectra [parts, bands] under the generalised
Kullback-Leibler divergence, by the multiplicative updates of Lee and Seung (2001). Spectra of the background are
learned where the sound is not; where it is, they are held and spectra of the target learned beside them (Smaragdis,
Raj and Shashanka, 2007).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Tick = Callable[[], None]
"""Called at every iteration; may raise to stop."""

BACKGROUND_PARTS = 40
TARGET_PARTS = 12
_LEARNING_ITERATIONS = 80
_ACTIVATING_ITERATIONS = 40
_MASK_POWER = np.float32(1.5)
_TINY = np.float32(1e-8)


@dataclass(frozen=True, slots=True)
class Spectra:
    """Rows of `parts` [parts, bands] sum to one, the first `BACKGROUND_PARTS` are background; `level` scales input."""

    parts: Matrix
    level: float


def learn(background: Matrix, marked: Matrix, rng: np.random.Generator, tick: Tick) -> Spectra:
    """From magnitudes without the target and with it, both [frames, bands]."""
    level = float(np.mean(background) + np.mean(marked)) / 2 + float(_TINY)
    parts = _start(rng, BACKGROUND_PARTS, background.shape[1])
    _factorise(background / np.float32(level), parts, 0, rng, tick)
    parts = np.concatenate((parts, _start(rng, TARGET_PARTS, background.shape[1])))
    _factorise(marked / np.float32(level), parts, BACKGROUND_PARTS, rng, tick)
    return Spectra(parts, level)


def target_share(magnitudes: Matrix, spectra: Spectra, tick: Tick) -> Matrix:
    """How much of each band of each frame is the target, 0..1. Every frame is found by itself."""
    parts = spectra.parts
    scaled = magnitudes / np.float32(spectra.level)
    active = np.ones((magnitudes.shape[0], parts.shape[0]), np.float32)
    for _ in range(_ACTIVATING_ITERATIONS):
        tick()
        active *= (scaled / (active @ parts + _TINY)) @ parts.T
    background = (active[:, :BACKGROUND_PARTS] @ parts[:BACKGROUND_PARTS]) ** _MASK_POWER
    target = (active[:, BACKGROUND_PARTS:] @ parts[BACKGROUND_PARTS:]) ** _MASK_POWER
    share: Matrix = (target / (target + background + _TINY * _TINY)).astype(np.float32, copy=False)
    return share


def _start(rng: np.random.Generator, parts: int, bands: int) -> Matrix:
    spectra = rng.random((parts, bands), np.float32) + np.float32(0.1)
    sums: Matrix = spectra.sum(axis=1, keepdims=True)
    return spectra / sums


def _factorise(magnitudes: Matrix, parts: Matrix, held: int, rng: np.random.Generator, tick: Tick) -> None:
    """Fits all activations and, in place, the spectra from row `held` on. Rows of `parts` keep the sum of one."""
    active = rng.random((magnitudes.shape[0], parts.shape[0]), np.float32) + np.float32(0.1)
    for _ in range(_LEARNING_ITERATIONS):
        tick()
        active *= (magnitudes / (active @ parts + _TINY)) @ parts.T
        ratio = magnitudes / (active @ parts + _TINY)
        learned = parts[held:] * (active[:, held:].T @ ratio) + _TINY
        total = learned.sum(axis=1)
        parts[held:] = learned / total[:, None]
        active[:, held:] *= total / (active[:, held:].sum(axis=0) + _TINY)
