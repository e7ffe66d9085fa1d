# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks on the timeline: where the target sounds (+) and where it doesn't (-)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from stemline.clips import TimeRange
from stemline.prompts import merge_ranges

SHORTEST_MARK = Fraction(1, 50)
_GRID_HZ = 1000


class Sign(StrEnum):
    """Whether the target sounds in a mark."""

    PLUS = "+"
    MINUS = "-"

    @property
    def opposite(self) -> Sign:
        """The other sign."""
        return Sign.MINUS if self is Sign.PLUS else Sign.PLUS


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked time range; `number` identifies it while it is dragged."""

    number: int
    sign: Sign
    range: TimeRange


class MarkSet:
    """The marks of one prompt. Times are exact seconds of the host's timeline."""

    def __init__(self) -> None:
        """Start without marks."""
        self._marks: dict[int, Mark] = {}
        self._count = 0

    def __iter__(self) -> Iterator[Mark]:
        """Iterate over the marks in the order of their times."""
        return iter(sorted(self._marks.values(), key=lambda mark: mark.range))

    def __len__(self) -> int:
        """Return the number of marks."""
        return len(self._marks)

    def add(self, sign: Sign, start: Fraction, end: Fraction) -> Mark:
        """Add a mark from the earlier to the later of two times, at least 20 ms long, and return it."""
        self._count += 1
        mark = Mark(self._count, sign, _on_grid(start, end))
        self._marks[mark.number] = mark
        return mark

    def move(self, number: int, start: Fraction, end: Fraction) -> None:
        """Give a mark another range."""
        if number in self._marks:
            self._marks[number] = replace(self._marks[number], range=_on_grid(start, end))

    def flip(self, number: int) -> None:
        """Change the sign of a mark."""
        if number in self._marks:
            mark = self._marks[number]
            self._marks[number] = replace(mark, sign=mark.sign.opposite)

    def remove(self, number: int) -> None:
        """Delete a mark."""
        self._marks.pop(number, None)

    def clear(self) -> None:
        """Delete all marks."""
        self._marks = {}

    def restore(self, marks: Iterable[Mark]) -> None:
        """Replace all marks by those of an earlier state."""
        self._marks = {mark.number: mark for mark in marks}
        self._count = max([self._count, *self._marks])

    def at(self, time: Fraction) -> Mark | None:
        """Return the shortest mark that covers a time, or None."""
        covering = [mark for mark in self._marks.values() if mark.range.start <= time < mark.range.end]
        return min(covering, key=lambda mark: mark.range.duration, default=None)

    def ranges(self, sign: Sign) -> tuple[TimeRange, ...]:
        """Return the times of one sign, merged where they overlap, in order."""
        return merge_ranges([mark.range for mark in self._marks.values() if mark.sign is sign])


def _on_grid(start: Fraction, end: Fraction) -> TimeRange:
    """Round to milliseconds, which is finer than anybody can mark by hand."""
    first, last = sorted((Fraction(round(start * _GRID_HZ), _GRID_HZ), Fraction(round(end * _GRID_HZ), _GRID_HZ)))
    return TimeRange(first, max(last, first + SHORTEST_MARK))
