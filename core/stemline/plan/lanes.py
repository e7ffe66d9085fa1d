"""Clips of one track on lanes, so that no two of a lane overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import TypeVar

_T = TypeVar("_T")
_Time = int | Fraction


def lay_on_lanes(
    items: Iterable[_T], range_of: Callable[[_T], tuple[_Time, _Time]], *, checkerboard: bool = False
) -> list[list[_T]]:
    """The items in order of time, on as few lanes as first fit needs.

    `range_of` gives an item's start and end. With `checkerboard` no item stands on the lane of the one before it: so
    dialogue editors lay out their tracks.
    """
    lanes: list[list[_T]] = []
    ends: list[_Time] = []
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
