"""Exact times as the protocol writes them, timecode in frames, and clips packed into lanes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TypeVar

_Item = TypeVar("_Item")


def to_exact(seconds: Fraction | int) -> str:
    """Return seconds as the text "num/den": Fraction(1, 2) gives "1/2"."""
    value = Fraction(seconds)
    return f"{value.numerator}/{value.denominator}"


def from_exact(text: str) -> Fraction:
    """Return the seconds of the text "num/den". Raises ValueError for anything else."""
    numerator, denominator = text.split("/")
    return Fraction(int(numerator), int(denominator))


def round_half_up(value: Fraction) -> int:
    """Return the nearest whole number, halves up, as players round a position between two samples."""
    return math.floor(value + Fraction(1, 2))


def timecode_frame(hours: int, minutes: int, seconds: int, frames: int, rate: Fraction, *, drop_frame: bool) -> int:
    """Return the frame of a timecode label, counted from 00:00:00:00.

    Drop-frame numbering (SMPTE ST 12-1) skips two labels, four at 59.94, each minute but every tenth.
    """
    nominal, total_minutes = math.ceil(rate), hours * 60 + minutes
    count = (total_minutes * 60 + seconds) * nominal + frames
    return count - nominal // 15 * (total_minutes - total_minutes // 10) if drop_frame else count


def pack_lanes(
    items: Iterable[_Item],
    range_of: Callable[[_Item], tuple[Fraction | int, Fraction | int]],
    *,
    checkerboard: bool = False,
) -> list[list[_Item]]:
    """Return the items in order of time, on as few lanes as first fit needs, so that none of a lane overlap.

    Args:
        items: What is to be packed.
        range_of: Returns an item's start and end (half-open).
        checkerboard: Put neighbours on different lanes, as dialogue editors lay out their tracks.
    """
    lanes: list[list[_Item]] = []
    ends: list[Fraction | int] = []
    last = -1
    for item in sorted(items, key=range_of):
        start, end = range_of(item)
        free = (n for n, busy_until in enumerate(ends) if busy_until <= start and not (checkerboard and n == last))
        last = next(free, len(lanes))
        if last == len(lanes):
            lanes.append([])
            ends.append(end)
        lanes[last].append(item)
        ends[last] = end
    return lanes
