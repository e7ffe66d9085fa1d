# SPDX-License-Identifier: GPL-3.0-or-later
"""Times, ranges and levels in the words of an editor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from stemline.clips import ClipRange, MediaFacts
from stemline.hosts.base import ReadClips
from stemline.timebase import format_timecode

_CHANNEL_WORDS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How the times of a clip are written: as timecode where there is a `rate`, from what the timeline's first frame is
    called (`start`)."""

    rate: Fraction | None = None
    start: Fraction = Fraction(0)
    drop_frame: bool = False

    def of(self, time: Fraction) -> str:
        return time_label(time + self.start, self.rate, drop_frame=self.drop_frame)


def next_frame(time: Fraction, rate: Fraction, by: int, slack: Fraction) -> Fraction:
    """The frame boundary that lies `by` frames on from a playhead, which stands `slack` or less beside its time."""
    if by < 0:
        return (math.ceil((time - slack) * rate) + by) / rate
    return (math.floor((time + slack) * rate) + by) / rate


def time_format_of(read: ReadClips, clip: ClipRange, facts: MediaFacts | None) -> TimeFormat:
    return TimeFormat(display_frame_rate(clip, facts), read.timeline_start, read.drop_frame)


def time_label(time: Fraction, rate: Fraction | None, *, drop_frame: bool = False) -> str:
    """Timecode where there is a frame rate, else minutes and milliseconds."""
    if rate is not None:
        return format_timecode(int(time * rate // 1), rate, drop_frame=drop_frame)
    milliseconds = round(time * 1000)
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"


def display_frame_rate(clip: ClipRange, facts: MediaFacts | None) -> Fraction | None:
    """The rate that the clip's times are shown in: the host's grid, else the media's own."""
    return clip.frame_rate or (facts.frame_rate if facts else None)


def clip_summary(clip: ClipRange, facts: MediaFacts | None, time_format: TimeFormat) -> str:
    """ "interview.mp4, A1, 01:00:12:05-01:00:27:00, 25 fps, stereo"."""
    rate, record = time_format.rate, clip.record_range
    start, end = time_format.of(record.start), time_format.of(record.end)
    parts = [clip.name]
    parts += [clip.track] if clip.track != clip.name else []
    parts.append(f"{start}-{end}")
    parts += [f"{float(rate):.5g} fps"] if rate else []
    if facts:
        parts.append(_CHANNEL_WORDS.get(facts.channels, f"{facts.channels} channels"))
        parts.append(f"{facts.sample_rate / 1000:g} kHz")
    return ", ".join(parts)


def join_names(names: Sequence[str], most: int = 3) -> str:
    """ "speech, rain, music and 9 more"."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def format_level(lufs: float, silent: bool) -> str:
    return "silent" if silent else f"{lufs:.1f} LUFS"


def format_null(dbfs: float) -> str:
    """What the sum of the files and the original differ by."""
    return "adds up exactly" if dbfs <= -240 else f"adds up to {dbfs:.0f} dBFS"
