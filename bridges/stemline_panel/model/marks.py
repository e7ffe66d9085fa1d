# SPDX-License-Identifier: GPL-3.0-or-later
"""Marked spans of the timeline: where a sound is (+) and where it is not (-)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction

from stemline.clips import TimeRange
from stemline.prompts import merge_ranges

SHORTEST = Fraction(1, 50)
_GRID = 1000


class Sign(StrEnum):
    PLUS = "+"
    MINUS = "-"


@dataclass(frozen=True, slots=True)
class Span:
    """A marked time; `number` stays the same while it is dragged."""

    number: int
    sign: Sign
    range: TimeRange


class SpanSet:
    """The spans of one prompt, with undo. Times are exact seconds of the host's timeline."""

    def __init__(self) -> None:
        self._spans: dict[int, Span] = {}
        self._past: list[dict[int, Span]] = []
        self._count = 0

    def __iter__(self) -> Iterator[Span]:
        return iter(sorted(self._spans.values(), key=lambda span: span.range))

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, sign: Sign, start: Fraction, end: Fraction) -> Span:
        """A span from the earlier to the later of two times, at least 20 ms long."""
        self._remember()
        self._count += 1
        span = Span(self._count, sign, _tidy(start, end))
        self._spans[span.number] = span
        return span

    def move(self, number: int, start: Fraction, end: Fraction) -> None:
        if number in self._spans:
            self._remember()
            self._spans[number] = replace(self._spans[number], range=_tidy(start, end))

    def turn(self, number: int) -> None:
        """Makes + of - and - of +."""
        if number in self._spans:
            self._remember()
            span = self._spans[number]
            self._spans[number] = replace(span, sign=Sign.MINUS if span.sign is Sign.PLUS else Sign.PLUS)

    def remove(self, number: int) -> None:
        if number in self._spans:
            self._remember()
            del self._spans[number]

    def clear(self) -> None:
        if self._spans:
            self._remember()
            self._spans = {}

    def undo(self) -> bool:
        """Takes the last change back; False when there was none."""
        if not self._past:
            return False
        self._spans = self._past.pop()
        return True

    def at(self, time: Fraction) -> Span | None:
        """The shortest span that covers a time."""
        covering = [span for span in self._spans.values() if span.range.start <= time < span.range.end]
        return min(covering, key=lambda span: span.range.duration, default=None)

    def ranges(self, sign: Sign) -> tuple[TimeRange, ...]:
        """The times of one sign, disjoint and in order."""
        return merge_ranges([span.range for span in self._spans.values() if span.sign is sign])

    def _remember(self) -> None:
        self._past = [*self._past[-99:], dict(self._spans)]


def _tidy(start: Fraction, end: Fraction) -> TimeRange:
    """Milliseconds are as exact as a hand can mark."""
    first, last = sorted((Fraction(round(start * _GRID), _GRID), Fraction(round(end * _GRID), _GRID)))
    return TimeRange(first, max(last, first + SHORTEST))
