# SPDX-License-Identifier: GPL-3.0-or-later
"""Text for people: times, levels and lists, and its translation outside Qt objects, which have `tr()`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from PyQt5.QtCore import QCoreApplication

from stemline.clips import ClipRange, MediaFacts
from stemline.hosts.base import ReadClips
from stemline.timebase import format_timecode
from stemline.workflow.results import Estimate

_SURE_FROM = 0.5
_HOUR_MIN = 60
_LOSSLESS_DBFS = -120.0


def translate(context: str, text: str) -> str:
    """Return `text` in the language of the application's translators, or `text` itself without one.

    `context` is the name of the class or module that shows the text. Both are literals, so that `pylupdate5` finds
    them.
    """
    return QCoreApplication.translate(context, text)


@dataclass(frozen=True, slots=True)
class TimeFormat:
    """How the times of a clip are written.

    With a `rate` they are timecode, else hours, minutes, seconds and milliseconds. `start` is the time that the
    timeline gives its first frame.
    """

    rate: Fraction | None = None
    start: Fraction = Fraction(0)
    drop_frame: bool = False

    def of(self, time: Fraction) -> str:
        """Return a time of the timeline (seconds) as text."""
        return time_label(time + self.start, self.rate, drop_frame=self.drop_frame)


def next_frame(time: Fraction, rate: Fraction, by: int, slack: Fraction) -> Fraction:
    """Return the frame boundary `by` frames from a playhead, in seconds.

    `slack` is the largest distance between the playhead, which is rounded to a sample, and the time it represents.
    """
    if by < 0:
        return (math.ceil((time - slack) * rate) + by) / rate
    return (math.floor((time + slack) * rate) + by) / rate


def time_format_of(read: ReadClips, clip: ClipRange, facts: MediaFacts | None) -> TimeFormat:
    """Return the time format of a clip in its timeline."""
    return TimeFormat(display_frame_rate(clip, facts), read.timeline_start, read.drop_frame)


def time_label(time: Fraction, rate: Fraction | None, *, drop_frame: bool = False) -> str:
    """Return a time as timecode if there is a frame rate, else as `h:mm:ss.mmm`."""
    if rate is not None:
        return format_timecode(int(time * rate // 1), rate, drop_frame=drop_frame)
    milliseconds = round(time * 1000)
    sign, milliseconds = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{milliseconds:03d}"


def display_frame_rate(clip: ClipRange, facts: MediaFacts | None) -> Fraction | None:
    """Return the frame rate for the clip's times: the timeline's, else the media's, else None."""
    return clip.frame_rate or (facts.frame_rate if facts else None)


def clip_summary(clip: ClipRange, facts: MediaFacts | None, time_format: TimeFormat) -> str:
    """Return one line such as "interview.mp4, A1, 01:00:12:05-01:00:27:00, 25 fps, stereo, 48 kHz"."""
    rate, record = time_format.rate, clip.record_range
    parts = [clip.name]
    parts += [clip.track] if clip.track != clip.name else []
    parts.append(f"{time_format.of(record.start)}-{time_format.of(record.end)}")
    parts += [translate("ClipBar", "{rate} fps").format(rate=f"{float(rate):.5g}")] if rate else []
    if facts:
        parts += [_channels_text(facts.channels), f"{facts.sample_rate / 1000:g} kHz"]
    return ", ".join(parts)


def join_names(names: Sequence[str], most: int = 3) -> str:
    """Return names joined by commas; of more than `most` + 1 the first `most` and the number of the others."""
    if len(names) <= most + 1:
        return ", ".join(names)
    text = translate("formatting", "{names} and {count} more")
    return text.format(names=", ".join(names[:most]), count=len(names) - most)


def format_level(lufs: float, silent: bool) -> str:
    """Return a loudness in LUFS as text."""
    return translate("formatting", "silent") if silent else f"{lufs:.1f} LUFS"


def format_hertz(hertz: float) -> str:
    """Return a frequency as text."""
    return f"{hertz / 1000:.1f} kHz" if hertz >= 1000 else f"{hertz:.0f} Hz"


def format_amount(gain_db: float) -> str:
    """Return a gain in dB as text, such as "Off", "0 dB" or "+3 dB"."""
    if gain_db == -math.inf:
        return translate("formatting", "Off")
    sign = "\u2212" if gain_db < 0 else "+" if gain_db > 0 else ""
    return translate("formatting", "{gain} dB").format(gain=f"{sign}{abs(gain_db):g}")


def estimate_text(needs: Estimate) -> str:
    """Return in one sentence how long a run takes and what it writes."""
    size, free = format_bytes(needs.output_bytes), format_bytes(needs.free_bytes)
    disk = translate("formatting", "{size} on the disk ({free} free)").format(size=size, free=free)
    if needs.total_s is None:
        return translate("formatting", "Takes {disk}; the time is not known yet.").format(disk=disk)
    minutes = max(1, round(needs.total_s / 60))
    time = translate("formatting", "{minutes} min").format(minutes=minutes)
    if minutes >= _HOUR_MIN:
        time = translate("formatting", "{hours} h {minutes} min").format(
            hours=minutes // _HOUR_MIN, minutes=minutes % _HOUR_MIN
        )
    return translate("formatting", "Takes about {time} and {disk}.").format(time=time, disk=disk)


def format_bytes(size: int) -> str:
    """Return a size as text, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def format_null(dbfs: float) -> tuple[str, str]:
    """Return (text, tooltip) on how far the stems and the residual together differ from the original."""
    if dbfs > _LOSSLESS_DBFS:
        text = translate("ResultsView", "Differs by {level:.0f} dBFS").format(level=dbfs)
    else:
        text = translate("ResultsView", "Nothing lost")
    if dbfs <= -240:
        return text, translate("ResultsView", "The stems and the residual add up to the original exactly.")
    tip = translate("ResultsView", "The stems and the residual add up to the original within {level:.0f} dBFS.")
    return text, tip.format(level=dbfs)


def format_confidence(confidence: float) -> str:
    """Return "sure" or "unsure" for an engine's confidence (0..1), which is not a probability."""
    return translate("ResultsView", "sure") if confidence >= _SURE_FROM else translate("ResultsView", "unsure")


def _channels_text(channels: int) -> str:
    known = {1: translate("ClipBar", "mono"), 2: translate("ClipBar", "stereo"), 6: "5.1", 8: "7.1"}
    return known.get(channels) or translate("ClipBar", "{count} channels").format(count=channels)
