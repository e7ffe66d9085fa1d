"""Where a stem's strip goes: sample-true under its original as the original is now."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from . import compat
from .link import from_exact
from .reading import Pick
from .strips import place_of


@dataclass(frozen=True)
class Spot:
    """Frames (half-open), the frame where the file would begin, and how much later than that it does begin."""

    left: int
    right: int
    content_start: int
    sound_offset_s: float
    cut: bool


def spot_of(stem: dict[str, Any], pick: Pick, original: Any, rate: Fraction) -> Spot | None:
    """None where the original no longer plays any of what the stem file holds.

    Blender truncates positions to whole samples, so the file is laid half a sample early: whatever the rounding of
    Blender's own numbers, the sample that plays is the one meant.
    """
    sample_rate = stem["sample_rate"]
    held = stem["file_range"]
    length_s = Fraction(held["end_sample"] - held["start_sample"], sample_rate)
    left, right = compat.left(original), compat.right(original)
    if pick.render_reason:
        into_media = (left - compat.content_start(original) - pick.sound_start) / rate
    else:
        into_media = place_of(original, rate).source_start
    into_file = into_media - Fraction(held["start_sample"], sample_rate)
    begins, ends = left - into_file * rate, left + (length_s - into_file) * rate
    first, end = max(left, math.ceil(begins)), min(right, math.floor(ends))
    if first >= end:
        return None
    frames = round(into_file * rate)
    remainder_s = into_file - frames / rate + Fraction(1, 2 * sample_rate)
    return Spot(first, end, left - frames, -float(remainder_s), (first, end) != (left, right))


def differs(stem: dict[str, Any], original: Any, rate: Fraction) -> bool:
    """Whether the original has been moved or trimmed since it was read."""
    then = stem["record_range"]
    now = (compat.left(original) / rate, compat.right(original) / rate)
    return now != (from_exact(then["start"]), from_exact(then["end"]))
