"""Exact times as the protocol writes them, and clips packed into lanes."""

from __future__ import annotations

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
