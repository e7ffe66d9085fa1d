"""Find where the events of a sound begin, and how loud they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

_STEP_S = 0.001
_BELOW_PEAK_DB = 20.0
_ABOVE_BEFORE_DB = 10.0
_BEFORE_STEPS = 10
_AGAIN_STEPS = 50  # a further event rises above this long before it, too
_APART_STEPS = 100


def onset(sound: FloatBlock, sample_rate: int) -> int:
    """Return the sample where the first event of a sound [channels, samples] begins; 0 where there is none.

    It is the first step of 1 ms within 20 dB of the loudest one that is 10 dB over the 10 ms before it.
    """
    return event_onsets(sound, sample_rate)[0]


def event_onsets(sound: FloatBlock, sample_rate: int) -> list[int]:
    """Return the samples where the events of a sound [channels, samples] begin, in order; [0] where there is none.

    The first is found as by `onset`. A further event lies at least 100 ms after the one before, and also rises 10 dB
    over the 50 ms before it.
    """
    step = max(1, round(_STEP_S * sample_rate))
    count = sound.shape[1] // step
    if count == 0:
        return [0]
    squares = np.square(sound[:, : count * step].astype(np.float64)).reshape(sound.shape[0], count, step)
    energies = squares.mean(axis=(0, 2)) + 1e-12
    near_peak = energies >= energies.max() * 10 ** (-_BELOW_PEAK_DB / 10)
    risen = near_peak & (energies >= _mean_before(energies, _BEFORE_STEPS) * 10 ** (_ABOVE_BEFORE_DB / 10))
    again = risen & (energies >= _mean_before(energies, _AGAIN_STEPS) * 10 ** (_ABOVE_BEFORE_DB / 10))
    found: list[int] = []
    for place in np.flatnonzero(risen).tolist():
        if not found or (place - found[-1] >= _APART_STEPS and again[place]):
            found.append(place)
    return [place * step for place in found] or [0]


def loudest_db(sound: FloatBlock, sample_rate: int) -> float:
    """Return the level in dB of the loudest 50 ms of a sound [channels, samples], in steps of 10 ms."""
    step = max(1, round(0.01 * sample_rate))
    padded = np.pad(sound, ((0, 0), (0, -sound.shape[1] % step + 5 * step))).astype(np.float64)
    energies = np.square(padded).reshape(sound.shape[0], -1, step).mean(axis=(0, 2))
    return float(10 * np.log10(np.convolve(energies, np.ones(5) / 5, "valid").max() + 1e-12))


def _mean_before(energies: npt.NDArray[np.float64], steps: int) -> npt.NDArray[np.float64]:
    """Return the mean of so many values before each; the quietest quarter of the sound lies before the first."""
    quiet = np.full(steps, np.quantile(energies, 0.25))
    sums = np.cumsum(np.concatenate(([0.0], quiet, energies)))
    before: npt.NDArray[np.float64] = (sums[steps:-1] - sums[: -steps - 1]) / steps + 1e-12
    return before
