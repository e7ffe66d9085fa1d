"""A timeline and its tracks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from .item import Item

if TYPE_CHECKING:
    from .project import Project

MARKER_COLOURS = (
    "Blue", "Cyan", "Green", "Yellow", "Red", "Pink", "Purple", "Fuchsia", "Rose", "Lavender", "Sky", "Mint", "Lemon",
    "Sand", "Cocoa", "Cream",
)  # fmt: skip
_numbers = itertools.count(1)


class Track:
    def __init__(self, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        self.enabled = True
        self.locked = False
        self.items: list[Item] = []


class Timeline:
    KIND = "Timeline"

    def __init__(self, project: Project, name: str, label: Any, rate: Fraction, zero: int) -> None:
        self.project, self.name, self.label, self.rate, self.zero = project, name, label, rate, zero
        self.audio: list[Track] = []
        self.video: list[Track] = []
        self.marks: dict[str, dict[str, int]] = {}
        self.markers: dict[int, dict[str, Any]] = {}
        self.selected: list[Item] = []
        self.playhead = zero
        self.locks_new_tracks = False
        self.uid = f"timeline-{next(_numbers)}"

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return self.uid

    def GetSetting(self, name: str) -> Any:
        return self.label if name == "timelineFrameRate" else ""

    def GetStartFrame(self) -> int:
        return self.zero

    def GetEndFrame(self) -> int:
        return max([self.zero, *(math.floor(item.end) for track in self.audio for item in track.items)])

    def GetStartTimecode(self) -> str:
        return self._timecode(self.zero)

    def GetCurrentTimecode(self) -> str:
        return self._timecode(self.playhead)

    def _timecode(self, frame: int) -> str:
        nominal, drop = math.ceil(self.rate), "DF" in str(self.label)
        if drop:
            dropped = nominal // 15
            tens, rest = divmod(frame, nominal * 600 - 9 * dropped)
            minutes = 0 if rest < nominal * 60 else 1 + (rest - nominal * 60) // (nominal * 60 - dropped)
            frame += dropped * (9 * tens + minutes)
        seconds, frames = divmod(frame, nominal)
        sign = ";" if drop else ":"
        return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{sign}{frames:02d}"

    # -- tracks --------------------------------------------------------------------------------------------------------

    def _tracks(self, kind: str) -> list[Track]:
        return {"audio": self.audio, "video": self.video}.get(kind, [])

    def _track(self, kind: str, number: int) -> Track | None:
        tracks = self._tracks(kind)
        return tracks[number - 1] if 1 <= number <= len(tracks) else None

    def GetTrackCount(self, kind: str) -> int:
        return len(self._tracks(kind))

    def AddTrack(self, kind: str, options: Any = None) -> bool:
        """Quirk 9: mono unless another type is named."""
        tracks = self._tracks(kind)
        named = options.get("audioType", "mono") if isinstance(options, dict) else options
        track = Track(named or "mono", f"{kind.capitalize()} {len(tracks) + 1}")
        track.locked = self.locks_new_tracks
        tracks.append(track)
        return True

    def DeleteTrack(self, kind: str, number: int) -> bool:
        if self._track(kind, number) is None:
            return False
        del self._tracks(kind)[number - 1]
        return True

    def GetTrackName(self, kind: str, number: int) -> str:
        track = self._track(kind, number)
        return track.name if track else ""

    def SetTrackName(self, kind: str, number: int, name: str) -> bool:
        track = self._track(kind, number)
        if track:
            track.name = name
        return track is not None

    def GetTrackSubType(self, kind: str, number: int) -> str:
        track = self._track(kind, number)
        return track.kind if track else ""

    def GetIsTrackEnabled(self, kind: str, number: int) -> bool:
        track = self._track(kind, number)
        return track is not None and track.enabled

    def SetTrackEnable(self, kind: str, number: int, on: bool) -> bool:
        track = self._track(kind, number)
        if track:
            track.enabled = on
        return True

    def GetIsTrackLocked(self, kind: str, number: int) -> bool:
        track = self._track(kind, number)
        return track is not None and track.locked

    def SetTrackLock(self, kind: str, number: int, on: bool) -> bool:
        track = self._track(kind, number)
        if track:
            track.locked = on
        return True

    # -- items ---------------------------------------------------------------------------------------------------------

    def GetItemListInTrack(self, kind: str, number: int) -> list[Item]:
        track = self._track(kind, number)
        return list(track.items) if track else []

    def GetSelectedClips(self) -> list[Item]:
        return list(self.selected)

    def GetCurrentVideoItem(self) -> Item | None:
        for track in reversed(self.video):
            for item in track.items:
                if item.start <= self.playhead < item.end:
                    return item
        return None

    def DeleteClips(self, items: Sequence[Item], ripple: bool = False) -> bool:
        """Quirk 11: on the Edit page only, and never linked sound."""
        if self.project.fake.page != "edit":
            return False
        pictures = {other for item in items for other in item.linked if item.track in self.video}
        for item in items:
            if item not in pictures and item in item.track.items and not item.track.locked:
                item.track.items.remove(item)
        return True

    # -- marks ---------------------------------------------------------------------------------------------------------

    def GetMarkInOut(self) -> dict[str, dict[str, int]]:
        return {kind: dict(marks) for kind, marks in self.marks.items()}

    def SetMarkInOut(self, first: int, last: int, kind: str = "all") -> bool:
        for one in ("video", "audio") if kind == "all" else (kind,):
            self.marks[one] = {"in": first, "out": last}
        return True

    def ClearMarkInOut(self, kind: str = "all") -> bool:
        for one in ("video", "audio") if kind == "all" else (kind,):
            self.marks.pop(one, None)
        return True

    def AddMarker(self, frame: float, colour: str, name: str, note: str, duration: float, data: str = "") -> bool:
        """Relative to the start; one on a frame."""
        if colour not in MARKER_COLOURS or int(frame) in self.markers or frame < 0:
            return False
        self.markers[int(frame)] = {
            "color": colour,
            "name": name,
            "note": note,
            "duration": duration,
            "customData": data,
        }
        return True

    def GetMarkerByCustomData(self, data: str) -> dict[str, Any]:
        return next((dict(marker) for marker in self.markers.values() if marker["customData"] == data), {})

    def DeleteMarkerByCustomData(self, data: str) -> bool:
        frame = next((frame for frame, marker in self.markers.items() if marker["customData"] == data), None)
        if frame is not None:
            del self.markers[frame]
        return frame is not None

    def DuplicateTimeline(self, name: str | None = None) -> Timeline:
        copy = Timeline(self.project, name or f"{self.name} copy", self.label, self.rate, self.zero)
        self.project.timelines.append(copy)
        self.project.current = copy
        return copy

    def facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tracks": [
                {
                    "name": track.name,
                    "kind": track.kind,
                    "enabled": track.enabled,
                    "locked": track.locked,
                    "items": [item.facts() for item in track.items],
                }
                for track in self.audio
            ],
            "pictures": [item.facts() for track in self.video for item in track.items],
            "marks": self.marks,
            "markers": {str(frame): marker for frame, marker in self.markers.items()},
        }
