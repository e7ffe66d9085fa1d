"""Find where the sound at a given point begins and ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.media.samples import FloatBlock

STEP_S = 0.01
_NEAR_S = 0.15
_GAP_S = 0.12
_PAD_S = 0.02
_ABOVE_FLOOR_DB = 6.0
_BELOW_PEAK_DB = 24.0
_QUIETEST_DB = -80.0
_FLOOR_PERCENT = 15


def find_event_bounds(block: FloatBlock, sample_rate: int, at_sample: int) -> SampleRange | None:
    """Return the extent of the sound at `at_sample` within `block` [channels, n]; None in the background.

    The level in steps of 10 ms is followed both ways from the loudest step near the point, while it stays above the
    background (its 15th percentile, plus 6 dB) and above 24 dB below that step. Pauses of up to 120 ms are bridged.
    """
    step = max(1, round(STEP_S * sample_rate))
    levels = _levels(block, step)
    if not levels.size:
        return None
    near = round(_NEAR_S / STEP_S)
    point = min(len(levels) - 1, max(0, at_sample // step))
    first = max(0, point - near)
    top = first + int(np.argmax(levels[first : point + near + 1]))
    floor = float(np.percentile(levels, _FLOOR_PERCENT))
    threshold = max(floor + _ABOVE_FLOOR_DB, float(levels[top]) - _BELOW_PEAK_DB, _QUIETEST_DB)
    if levels[top] <= threshold:
        return None
    heard = levels > threshold
    gap, pad = round(_GAP_S / STEP_S), round(_PAD_S / STEP_S)
    onset = top - _reach(heard[: top + 1][::-1], gap) - pad
    offset = top + _reach(heard[top:], gap) + pad
    return SampleRange(max(0, onset * step), min(block.shape[1], (offset + 1) * step))


def _levels(block: FloatBlock, step: int) -> npt.NDArray[np.float64]:
    """Return the level of each step in dBFS, the powers of the channels averaged."""
    whole = block.shape[1] // step
    power = (
        np.square(block[:, : whole * step].astype(np.float64)).reshape(block.shape[0], whole, step).mean(axis=(0, 2))
    )
    return np.asarray(10 * np.log10(power + 1e-12), np.float64)


def _reach(heard: npt.NDArray[np.bool_], gap: int) -> int:
    """Return the index of the last step above the threshold before a pause longer than `gap` steps."""
    last = 0
    for index, is_heard in enumerate(heard):
        if is_heard:
            last = index
        elif index - last > gap:
            break
    return last
