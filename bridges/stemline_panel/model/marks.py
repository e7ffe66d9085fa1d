# SPDX-License-Identifier: GPL-3.0-or-later
"""Marked marks of the timeline: where a sound is (+) and where it is not (-)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from stemline.clips import TimeRange
from stemline.prompts import merge_ranges

SHORTEST_MARK = Fraction(1, 50)
_GRID = 1000


class Sign(StrEnum):
    PLUS = "+"
    MINUS = "-"


@dataclass(frozen=True, slots=True)
class Mark:
    """A marked time; `number` stays the same while it is dragged."""

    number: int
    sign: Sign
    range: TimeRange


class MarkSet:
    """The marks of one prompt, with undo. Times are exact seconds of the host's timeline."""

    def __init__(self) -> None:
        self._marks: dict[int, Mark] = {}
        self._past: list[dict[int, Mark]] = []
        self._count = 0

    def __iter__(self) -> Iterator[Mark]:
        return iter(sorted(self._marks.values(), key=lambda mark: mark.range))

    def __len__(self) -> int:
        return len(self._marks)

    def add(self, sign: Sign, start: Fraction, end: Fraction) -> Mark:
        """A mark from the earlier to the later of two times, at least 20 ms long."""
        self._remember()
        self._count += 1
        mark = Mark(self._count, sign, _tidy(start, end))
        self._marks[mark.number] = mark
        return mark

    def move(self, number: int, start: Fraction, end: Fraction) -> None:
        if number in self._marks:
            self._remember()
            self._marks[number] = replace(self._marks[number], range=_tidy(start, end))

    def turn(self, number: int) -> None:
        """Makes + of - and - of +."""
        if number in self._marks:
            self._remember()
            mark = self._marks[number]
            self._marks[number] = replace(mark, sign=Sign.MINUS if mark.sign is Sign.PLUS else Sign.PLUS)

    def remove(self, number: int) -> None:
        if number in self._marks:
            self._remember()
            del self._marks[number]

    def clear(self) -> None:
        if self._marks:
            self._remember()
            self._marks = {}

    def undo(self) -> bool:
        """Takes the last change back; False when there was none."""
        if not self._past:
            return False
        self._marks = self._past.pop()
        return True

    def at(self, time: Fraction) -> Mark | None:
        """The shortest mark that covers a time."""
        covering = [mark for mark in self._marks.values() if mark.range.start <= time < mark.range.end]
        return min(covering, key=lambda mark: mark.range.duration, default=None)

    def ranges(self, sign: Sign) -> tuple[TimeRange, ...]:
        """The times of one sign, disjoint and in order."""
        return merge_ranges([mark.range for mark in self._marks.values() if mark.sign is sign])

    def _remember(self) -> None:
        self._past = [*self._past[-99:], dict(self._marks)]


def _tidy(start: Fraction, end: Fraction) -> TimeRange:
    """Milliseconds are as exact as a hand can mark."""
    first, last = sorted((Fraction(round(start * _GRID), _GRID), Fraction(round(end * _GRID), _GRID)))
    return TimeRange(first, max(last, first + SHORTEST_MARK))
