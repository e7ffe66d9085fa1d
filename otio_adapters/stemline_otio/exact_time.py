"""OpenTimelineIO's floating-point times as exact numbers, and back.

Inside this host a time is a count of ticks of 1/705,600,000 s, the unit that Facebook's "flicks" (2018) made known. One
frame at 24, 25, 30, 48, 50, 60, 100 or 120 frames per second and at their 1000/1001 rates, and one sample at the usual
sample rates, is a whole number of them, so nearly all sums are sums of integers. Any other time is a
Fraction of them: slower, and as exact.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import opentimelineio as otio

from stemline.clips import TimeRange
from stemline.errors import EditError, UsageError
from stemline.timebase import is_drop_rate, parse_timecode, snap_rate

TICKS_PER_SECOND = 705_600_000
Ticks = int | Fraction
_DAY_S = 86_400
_WHOLE_TOLERANCE = 1e-6
_MOST_FRAMES_PER_SECOND = 1000
_MAX_DENOMINATOR = 1_000_000
_MOST_FRAMES = 1e15  # twelve days of nanoseconds


class Span(NamedTuple):
    """Half-open range of ticks."""

    start: Ticks
    end: Ticks

    @property
    def duration(self) -> Ticks:
        """Return the length in ticks."""
        return self.end - self.start

    def overlaps(self, other: Span) -> bool:
        """Return whether two ranges have a tick in common."""
        return self.start < other.end and other.start < self.end

    def seconds(self) -> TimeRange:
        """Return the range in exact seconds."""
        return TimeRange(to_seconds(self.start), to_seconds(self.end))


@lru_cache(maxsize=256)
def exact_rate(rate: float) -> Fraction:
    """Return the exact rate for the float in a file. Raises EditError for zero, negative and not-a-number."""
    try:
        return snap_rate(rate)
    except UsageError as error:
        raise EditError(f"The edit holds a time with the impossible rate {rate}.", advice="Export it again.") from error


def is_rate(rate: float) -> bool:
    """Return whether a number can be a rate."""
    try:
        return exact_rate(rate) > 0
    except EditError:
        return False


def frame_rate_of(rate: float) -> Fraction | None:
    """Return the exact rate of a time that counts frames, None where the rate is so high that it counts samples."""
    exact = exact_rate(rate)
    return exact if exact <= _MOST_FRAMES_PER_SECOND else None


@lru_cache(maxsize=256)
def frame_ticks(rate: float) -> Ticks:
    """Return the length of one frame (or sample) at a rate as a file spells it."""
    length = TICKS_PER_SECOND / exact_rate(rate)
    return length.numerator if length.denominator == 1 else length


def ticks_of(time: otio.opentime.RationalTime) -> Ticks:
    """Return a time in ticks. Raises EditError for a time that cannot be.

    The number of frames is made exact first and then multiplied by the exact frame, so that absolute timecode loses
    nothing.
    """
    value: float = time.value
    frame = frame_ticks(time.rate)
    if not -_MOST_FRAMES < value < _MOST_FRAMES:
        raise EditError(f"The edit holds an impossible time: frame {value:g}.", advice="Export it again.")
    if value.is_integer():
        return int(value) * frame
    whole = round(value)
    if abs(value - whole) < _WHOLE_TOLERANCE:
        return whole * frame
    return Fraction(value).limit_denominator(_MAX_DENOMINATOR) * frame


def span_of(time_range: otio.opentime.TimeRange) -> Span:
    """Return a range in ticks. Raises EditError for a negative duration, and as `ticks_of` does."""
    start = ticks_of(time_range.start_time)
    duration = ticks_of(time_range.duration)
    if duration < 0:
        raise EditError("The edit holds a negative duration.", advice="Export it again.")
    return Span(start, start + duration)


def known_span(time_range: otio.opentime.TimeRange | None) -> Span | None:
    """Return a range, None where there is none or it holds a time that cannot be: Kdenlive writes the rate 0."""
    try:
        return span_of(time_range) if time_range is not None else None
    except EditError:
        return None


def known_start(time_range: otio.opentime.TimeRange | None) -> Ticks | None:
    """Return where a range begins, None where that is unknown. Zero is zero at any rate."""
    if time_range is None:
        return None
    if time_range.start_time.value == 0:
        return 0
    try:
        return ticks_of(time_range.start_time)
    except EditError:
        return None


def to_ticks(seconds: Fraction) -> Ticks:
    """Return exact seconds in ticks."""
    whole, rest = divmod(seconds.numerator * TICKS_PER_SECOND, seconds.denominator)
    return whole if not rest else seconds * TICKS_PER_SECOND


def samples_to_ticks(samples: int, sample_rate: int) -> Ticks:
    """Return a number of samples in ticks."""
    whole, rest = divmod(samples * TICKS_PER_SECOND, sample_rate)
    return whole if not rest else Fraction(samples * TICKS_PER_SECOND, sample_rate)


def to_seconds(ticks: Ticks) -> Fraction:
    """Return ticks in exact seconds."""
    return Fraction(ticks, TICKS_PER_SECOND)


def nearest_frame(ticks: Ticks, frame: Ticks) -> Ticks:
    """Round a time to the nearest whole frame, halves up."""
    return (2 * ticks + frame) // (2 * frame) * frame


@lru_cache(maxsize=256)
def day_of(rate: float, *, drop_frame: bool) -> Ticks:
    """Return the length of a day as timecode labels count it: other than 86,400 s where the rate is not whole."""
    exact = exact_rate(rate)
    if drop_frame and is_drop_rate(exact):
        return parse_timecode("24:00:00;00", exact) * frame_ticks(rate)
    frame_rate = frame_rate_of(rate)
    return _DAY_S * (math.ceil(frame_rate) * frame_ticks(rate) if frame_rate else TICKS_PER_SECOND)


def zero_at(time: Ticks, zero: Ticks, length: Ticks, day: Ticks) -> Ticks | None:
    """Return the clip time of a media's first sample if the media holds `time`, else None.

    `zero` is where the media's timecode begins. Timecode starts over at midnight, in the edit or in the file, so a
    `day` is added or taken where that fits.
    """
    return next((at for at in (zero, zero - day, zero + day) if at <= time < at + length), None)


def rational_time(ticks: Ticks, rate: float) -> otio.opentime.RationalTime:
    """Return `ticks` at a rate as the file spells it (23.976 stays 23.976).

    A player that takes such a rate literally then treats the stem as it treats the original.
    """
    frame = frame_ticks(rate)
    value = ticks / frame if isinstance(ticks, int) and isinstance(frame, int) else float(Fraction(ticks) / frame)
    return otio.opentime.RationalTime(value, rate)


def rational_range(span: Span, rate: float) -> otio.opentime.TimeRange:
    """Return a range at a rate as the file spells it."""
    return otio.opentime.TimeRange(rational_time(span.start, rate), rational_time(span.duration, rate))
