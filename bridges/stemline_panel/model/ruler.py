# SPDX-License-Identifier: GPL-3.0-or-later
"""The ticks of the time ruler, which fall on whole seconds, or on frames that divide a second evenly."""

from __future__ import annotations

import math
from fractions import Fraction

from stemline.timebase import is_drop_rate
from stemline_panel.model.formatting import TimeFormat

_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200)
_PARTS_S = tuple(Fraction(1, parts) for parts in (100, 50, 20, 10, 5, 2))


def tick_times(low: float, high: float, spacing: float, time_format: TimeFormat) -> tuple[float, list[float]]:
    """Return (step, times) of the ticks between two times of the timeline, all in seconds.

    `spacing` is the smallest distance between two ticks. With a frame rate the ticks are frames, and every whole second
    of the timecode that a coarser ruler shows is also a tick of a finer one.
    """
    if time_format.rate is None:
        return _plain_ticks(low, high, spacing, float(time_format.start))
    step = _step_frames(Fraction(spacing) * time_format.rate, math.ceil(time_format.rate))
    frames = _Timecode(time_format.rate, drop_frame=time_format.drop_frame).ticks(
        low + float(time_format.start), high + float(time_format.start), step
    )
    times = [float(frame / time_format.rate - time_format.start) for frame in frames]
    return float(step / time_format.rate), [time for time in times if low <= time <= high]


def _plain_ticks(low: float, high: float, spacing: float, start: float) -> tuple[float, list[float]]:
    steps = (*_PARTS_S, *map(Fraction, _SECONDS))
    step = float(next((step for step in steps if step >= spacing), steps[-1]))
    first, last = math.ceil((low + start) / step - 1e-9), math.floor((high + start) / step + 1e-9)
    return step, [index * step - start for index in range(first, last + 1)]


def _step_frames(wanted: Fraction, second: int) -> int:
    """Return the smallest step of at least `wanted` frames that divides a second (in frames) or is whole seconds."""
    parts = [frames for frames in range(1, second) if second % frames == 0]
    steps = [*parts, *(seconds * second for seconds in _SECONDS)]
    return next((step for step in steps if step >= wanted), steps[-1])


class _Timecode:
    """Frame numbers of timecode labels."""

    def __init__(self, rate: Fraction, *, drop_frame: bool) -> None:
        self._rate = rate
        self._second = math.ceil(rate)
        self._dropped = self._second // 15 if drop_frame and is_drop_rate(rate) else 0

    def ticks(self, low: float, high: float, step: int) -> list[int]:
        """Return the frames of the labels at multiples of `step` frames, a little beyond [low, high] seconds."""
        seconds = max(1, step // self._second)
        within = range(0, self._second, step) if step < self._second else (0,)
        scale = 1.0 if self._dropped else float(self._rate) / self._second
        first, last = math.floor(low * scale / seconds) - 1, math.ceil(high * scale / seconds) + 1
        return [self._frame(index * seconds, part) for index in range(first, last + 1) for part in within]

    def _frame(self, second: int, part: int) -> int:
        """Return the frame of a label; of a label that drop-frame timecode leaves out, the next one's."""
        minute = second // 60
        if self._dropped and second % 60 == 0 and minute % 10:
            part = max(part, self._dropped)
        return second * self._second + part - self._dropped * (minute - minute // 10)
