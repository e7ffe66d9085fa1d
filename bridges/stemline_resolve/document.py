"""The open project and timeline in Resolve, its frame rate and timecode, and the positions of items on it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from stemline_bridge import HostError
from stemline_bridge.timeline import timecode_frame

from .api import Api, Remote

_TIMECODE = re.compile(r"(\d+):(\d\d):(\d\d)([:;.])(\d+)")
_OPEN_FIRST = "Open a project and a timeline in Resolve, then try again."


class PlacedItem(NamedTuple):
    """An item on an audio track with its position.

    `start` and `end` are frames of the timeline as Resolve counts them (from its start timecode), with the exact
    fraction where they lie between frames.
    """

    item: Remote
    track: int
    start: Fraction
    end: Fraction


class OpenTimeline:
    """One timeline of the open project. `rate` is its frame rate, `zero` the number of its first frame."""

    def __init__(self, api: Api, resolve: Remote, manager: Remote, project: Remote, timeline: Remote) -> None:
        """Read the rate and the start of the timeline."""
        self.resolve, self.manager, self.project, self.timeline = resolve, manager, project, timeline
        self._api = api
        self.rate = _frame_rate(timeline, project)
        self.zero = int(timeline.GetStartFrame())
        self.timeline_id = str(timeline.GetUniqueId())
        self._has_subframes = _version(resolve) >= (20,)

    def refreshed(self) -> OpenTimeline:
        """Return the same timeline through Resolve's present objects, since a hung call ends a connection.

        Raises HostError where another timeline is open.
        """
        now = self.now_open()
        if now.timeline_id != self.timeline_id:
            raise HostError("Another timeline is open in DaVinci Resolve now.", "EDIT_UNREADABLE", _OPEN_FIRST)
        return now

    def now_open(self) -> OpenTimeline:
        """Return whichever timeline is open now. Raises HostError where there is none."""
        return open_document(self._api)

    def pool(self) -> Remote:
        """Return the media pool. Raises HostError."""
        pool: Remote | None = self.project.GetMediaPool()
        if pool is None:
            raise HostError("The project's media pool cannot be reached.", "HOST_GONE", _OPEN_FIRST)
        return pool

    def seconds(self, frame: Fraction) -> Fraction:
        """Return the seconds from the timeline's start to `frame`."""
        return (frame - self.zero) / self.rate

    def frame(self, seconds: Fraction) -> Fraction:
        """Return the frame at `seconds` from the timeline's start."""
        return seconds * self.rate + self.zero

    def drops_frames(self) -> bool:
        """Return whether the timeline has drop-frame timecode."""
        return ";" in str(self.timeline.GetStartTimecode())

    def audio_tracks(self) -> range:
        """Return the numbers of the audio tracks."""
        return range(1, int(self.timeline.GetTrackCount("audio") or 0) + 1)

    def track_name(self, track: int) -> str:
        """Return the name of an audio track."""
        return str(self.timeline.GetTrackName("audio", track) or f"Audio {track}")

    def items(self, track: int) -> Iterator[PlacedItem]:
        """Yield the clips on an audio track. Resolve lists transitions like clips; they are left out."""
        for item in self.listed(track):
            if not is_transition(item):
                yield PlacedItem(item, track, self.position(item, "GetStart"), self.position(item, "GetEnd"))

    def items_by_id(self) -> dict[str, PlacedItem]:
        """Return the clips on all audio tracks by their ids."""
        return {str(placed.item.GetUniqueId()): placed for track in self.audio_tracks() for placed in self.items(track)}

    def listed(self, track: int) -> list[Remote]:
        """Return everything that Resolve lists on an audio track."""
        return [item for item in self.timeline.GetItemListInTrack("audio", track) or [] if item is not None]

    def position(self, item: Remote, name: str) -> Fraction:
        """Return `GetStart`, `GetEnd` or `GetLeftOffset` of an item in frames.

        The value has the fraction of a frame where this Resolve gives it.
        """
        value = getattr(item, name)(True) if self._has_subframes else getattr(item, name)()
        frames = Fraction(value or 0)
        whole = round(frames)
        return Fraction(whole) if abs(frames - whole) < Fraction(1, 10_000) else frames.limit_denominator(1_000_000)

    def playhead(self) -> int:
        """Return the frame under the playhead."""
        start = frame_of(str(self.timeline.GetStartTimecode()), self.rate)
        return self.zero + frame_of(str(self.timeline.GetCurrentTimecode()), self.rate) - start


def _frame_rate(*settings: Remote) -> Fraction:
    """Return the timeline's own rate, else the project's. Raises HostError."""
    for holder in settings:
        try:
            return rate_of(holder.GetSetting("timelineFrameRate"))
        except ValueError:
            continue
    raise HostError("Resolve gives no frame rate for the timeline.", "HOST_UNSUPPORTED", "Set it in its settings.")


def rate_of(label: Any) -> Fraction:
    """Return the exact frame rate of a label such as 24.0, "25", "29.97 DF" or 23.976.

    Raises ValueError for anything else.
    """
    text = str(label).upper().replace("DF", "").strip()
    value = Fraction(text)
    if value <= 0:
        raise ValueError(f"{label!r} is not a frame rate")
    whole = Fraction(round(value))
    if whole and abs(value - whole) < Fraction(1, 1000):
        return whole
    ntsc = Fraction(math.ceil(value) * 1000, 1001)
    return ntsc if abs(value - ntsc) <= ntsc / 5000 else value


def frame_of(timecode: str, rate: Fraction) -> int:
    """Return the frame that a timecode in Resolve's spelling names. Raises ValueError for other text."""
    match = _TIMECODE.fullmatch(timecode.strip())
    if match is None:
        raise ValueError(f"{timecode!r} is not a timecode")
    hours, minutes, seconds, frames = (int(match.group(i)) for i in (1, 2, 3, 5))
    return timecode_frame(hours, minutes, seconds, frames, rate, drop_frame=match.group(4) != ":")


def open_document(api: Api) -> OpenTimeline:
    """Return the open timeline. Raises HostError with what to open."""
    resolve = api.resolve()
    manager = resolve.GetProjectManager()
    project = manager.GetCurrentProject() if manager is not None else None
    if project is None:
        raise HostError("No project is open in DaVinci Resolve.", "EDIT_UNREADABLE", _OPEN_FIRST)
    timeline = project.GetCurrentTimeline()
    if timeline is None:
        raise HostError("No timeline is open in DaVinci Resolve.", "EDIT_UNREADABLE", _OPEN_FIRST)
    return OpenTimeline(api, resolve, manager, project, timeline)


def _version(resolve: Remote) -> tuple[int, ...]:
    """Return (major, minor, patch)."""
    return tuple(int(part) for part in (resolve.GetVersion() or [0])[:3])


def is_transition(item: Remote) -> bool:
    """Return whether a listed item is a transition."""
    return item.GetMediaPoolItem() is None and not item.GetProperty()
