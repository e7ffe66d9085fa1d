"""Exact time: frame rates, the grids of frames and samples, and timecode.

Positions are integers with a rate, or `Fraction` seconds. Floats occur only where a file states its rate, and are
converted here once.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from stemline.errors import UsageError
from stemline_bridge import timeline
from stemline_bridge.timeline import timecode_frame

round_half_up = timeline.round_half_up

_SNAP_TOLERANCE = Fraction(1, 1000)
_TIMECODE = re.compile(r"^(\d{1,3}):([0-5]?\d):([0-5]?\d)([:;.])(\d{1,3})$")


def snap_rate(rate: float | Fraction | str) -> Fraction:
    """Return the exact rate for an approximate one: a whole number or n*1000/1001 within a thousandth of it.

    23.976, 23.976023976 and the float32 23.976024627685547 all give 24000/1001.

    Raises:
        UsageError: `rate` is not a positive finite number.
    """
    try:
        exact = Fraction(rate)
    except (ValueError, OverflowError, ZeroDivisionError, TypeError) as error:
        raise UsageError(f"{rate!r} is not a frame rate.", advice="Give a number such as 25 or 30000/1001.") from error
    if exact <= 0:
        raise UsageError(
            f"A frame rate must be above zero, not {rate}.", advice="Give a number such as 25 or 30000/1001."
        )
    if exact.denominator in (1, 1001):
        return exact
    whole = Fraction(round(exact))
    if whole and abs(exact - whole) < _SNAP_TOLERANCE:
        return whole
    ntsc = Fraction(math.ceil(exact) * 1000, 1001)
    if abs(exact - ntsc) <= max(_SNAP_TOLERANCE, ntsc / 5000):  # 23.98 and 29.97 are two-digit labels of the NTSC rates
        return ntsc
    return exact.limit_denominator(1_000_000)


@dataclass(frozen=True, slots=True)
class Grid:
    """The common grid of frames and samples: every `frames` frames are exactly `samples` samples."""

    frames: int
    samples: int


def grid_of(frame_rate: Fraction, sample_rate: int) -> Grid:
    """Return the common grid of two rates from a shared zero. 30000/1001 at 48000 gives 5 frames = 8008 samples."""
    samples_per_frame = Fraction(sample_rate) / frame_rate
    return Grid(frames=samples_per_frame.denominator, samples=samples_per_frame.numerator)


def floor_to(value: int, step: int) -> int:
    """Return the largest multiple of `step` that is not above `value`."""
    return value // step * step


def ceil_to(value: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step


def is_drop_rate(rate: Fraction) -> bool:
    """Return whether drop-frame labels exist at this rate (29.97, 59.94 and their multiples)."""
    return rate.denominator == 1001 and rate.numerator % 30000 == 0


def parse_timecode(text: str, rate: Fraction) -> int:
    """Return the frame of a timecode label, counted from 00:00:00:00.

    `;` or `.` before the frames marks drop-frame numbering (SMPTE ST 12-1): two labels, four at 59.94, are skipped each
    minute but every tenth.

    Raises:
        UsageError: The text is not a timecode at this rate.
    """
    match = _TIMECODE.match(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a timecode.", advice="Write HH:MM:SS:FF, or HH:MM:SS;FF for drop frame.")
    hours, minutes, seconds, frames = (int(match[i]) for i in (1, 2, 3, 5))
    nominal = math.ceil(rate)
    if frames >= nominal:
        raise UsageError(f"{text!r} has frame {frames}, but there are {nominal} frames in a second.")
    if match[4] == ":":
        return timecode_frame(hours, minutes, seconds, frames, rate, drop_frame=False)
    if not is_drop_rate(rate):
        raise UsageError(
            f"{text!r} is drop frame, which does not exist at {float(rate):g} frames per second.",
            advice="Write it with ':'.",
        )
    if frames < nominal // 15 and seconds == 0 and minutes % 10:
        raise UsageError(f"{text!r} is a label that drop frame skips.")
    return timecode_frame(hours, minutes, seconds, frames, rate, drop_frame=True)


def format_timecode(frame: int, rate: Fraction, *, drop_frame: bool = False) -> str:
    """Return the label of a frame. Hours go past 24, so that no two positions share a label."""
    nominal = math.ceil(rate)
    sign, frame = ("-", -frame) if frame < 0 else ("", frame)
    if drop_frame and is_drop_rate(rate):
        dropped = nominal // 15
        per_minute = nominal * 60 - dropped
        per_ten = per_minute * 10 + dropped
        tens, rest = divmod(frame, per_ten)
        minutes = 0 if rest < nominal * 60 else 1 + (rest - nominal * 60) // per_minute
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, nominal)
    separator = ";" if drop_frame and is_drop_rate(rate) else ":"
    width = max(2, len(str(nominal - 1)))
    return f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{separator}{frames:0{width}d}"
