"""Frame rates and timecode in Resolve's spelling, made exact. Drop frame changes labels, never frame counts."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

_TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)([:;.])(\d+)")


def rate_of(label: Any) -> Fraction:
    """Return the exact frame rate of a label such as 24.0, "25", "29.97 DF" or 23.976.

    Raises ValueError for anything else.
    """
    text = str(label).upper().replace("DF", "").strip()
    value = Fraction(text)
    if value <= 0:
        raise ValueError(f"{label!r} is not a frame rate")
    whole = Fraction(round(value))
    if whole and abs(value - whole) < Fraction(1, 1000):
        return whole
    ntsc = Fraction(math.ceil(value) * 1000, 1001)
    return ntsc if abs(value - ntsc) <= ntsc / 5000 else value


def frame_of(timecode: str, rate: Fraction) -> int:
    """Return the frame that a timecode names, counted from 00:00:00:00. Raises ValueError for other text."""
    match = _TIMECODE.fullmatch(timecode.strip())
    if match is None:
        raise ValueError(f"{timecode!r} is not a timecode")
    hours, minutes, seconds, frames = (int(match.group(i)) for i in (1, 2, 3, 5))
    nominal = math.ceil(rate)
    total_minutes = hours * 60 + minutes
    count = (total_minutes * 60 + seconds) * nominal + frames
    if match.group(4) == ":":
        return count
    return count - nominal // 15 * (total_minutes - total_minutes // 10)


def nearest(value: Fraction) -> int:
    """Return the nearest whole number, halves up, as players round a position between two samples."""
    return math.floor(value + Fraction(1, 2))
