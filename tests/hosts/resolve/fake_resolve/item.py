"""An item on a track. Positions are exact: frames of the timeline, seconds of the media."""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pool import PoolItem
    from .timeline import Timeline, Track

CLIP_COLOURS = (
    "Orange", "Apricot", "Yellow", "Lime", "Olive", "Green", "Teal", "Navy", "Blue", "Purple", "Violet", "Pink", "Tan",
    "Beige", "Brown", "Chocolate",
)  # fmt: skip
_numbers = itertools.count(1)


class Item:
    """`source` is where its sound begins, in seconds from the media's first sample. A `ghost` was returned by a call
    but is nowhere; a `phantom` is gone at the next save."""

    KIND = "TimelineItem"

    def __init__(
        self, timeline: Timeline, track: Track, media: PoolItem | None, start: Fraction, frames: Fraction
    ) -> None:
        self.timeline, self.track, self.media = timeline, track, media
        self.start, self.frames = start, frames
        self.source = Fraction(0)
        self.speed: Fraction | None = Fraction(1)
        self.kind = "clip"
        self.name = media.name if media else "no media"
        self.enabled = True
        self.ghost = False
        self.phantom = False
        self.colour = ""
        self.channels: list[int] | None = None
        self.linked: list[Item] = []
        self.uid = f"item-{next(_numbers)}"

    @property
    def end(self) -> Fraction:
        return self.start + self.frames

    def GetName(self) -> str:
        return self.name

    def GetUniqueId(self) -> str:
        return "" if self.ghost else self.uid

    def GetStart(self, subframe: bool = False) -> float:
        return _frames(self.start, subframe)

    def GetEnd(self, subframe: bool = False) -> float:
        return _frames(self.end, subframe)

    def GetDuration(self, subframe: bool = False) -> float:
        return _frames(self.frames, subframe)

    def GetLeftOffset(self, subframe: bool = False) -> float:
        """Quirk 7: in frames of the timeline."""
        return _frames(self.source * self.timeline.rate, subframe)

    def GetSourceStartFrame(self) -> int:
        """Quirk 7: in frames of the media, from midnight; may be one off."""
        assert self.media is not None
        frame = math.floor(self.source * self.media.rate) + self.media.start_frame
        return frame + (0 if self.media.rate == self.timeline.rate else 1)

    def GetSourceEndFrame(self) -> int:
        """Quirk 7: the frame after the last where the rates are equal, else the last."""
        assert self.media is not None
        end = math.floor((self.source + self._taken()) * self.media.rate) + self.media.start_frame
        return end if self.media.rate == self.timeline.rate else end - 1

    def GetSourceStartTime(self) -> float:
        if self.speed is None or self.media is None:  # quirk 8
            return 0.0
        return float(self.source + self.media.start_frame / self.media.rate)

    def GetSourceEndTime(self) -> float:
        if self.speed is None or self.media is None:
            return 0.0
        return float(self.source + self._taken() + self.media.start_frame / self.media.rate)

    def _taken(self) -> Fraction:
        return self.frames / self.timeline.rate * (self.speed or 1)

    def GetProperty(self, key: str | None = None) -> Any:
        """Quirk 16: a transition has none; quirk 8: nothing about speed."""
        held = {} if self.kind == "transition" else {"Opacity": 100.0}
        return held if key is None else held.get(key)

    def GetMediaPoolItem(self) -> PoolItem | None:
        return self.media if self.kind == "clip" else None

    def GetLinkedItems(self) -> list[Item]:
        return self.linked

    def GetSourceAudioChannelMapping(self) -> str:
        if self.media is None:
            return ""
        mapping = dict(self.media.mapping)
        if self.channels is not None:
            mapping["track_mapping"] = {"1": {"channel_idx": self.channels, "mute": False, "type": "Mono"}}
        return json.dumps(mapping)

    def GetClipEnabled(self) -> bool:
        return self.enabled

    def SetClipEnabled(self, on: bool) -> bool:
        if not self.track.locked:
            self.enabled = on
        return True  # quirk 13

    def SetClipColor(self, colour: str) -> bool:
        """Quirk 10."""
        if colour not in CLIP_COLOURS:
            return False
        self.colour = colour
        return True

    def GetClipColor(self) -> str:
        return self.colour

    def facts(self) -> dict[str, Any]:
        return {
            "id": self.uid,
            "name": self.name,
            "start": str(self.start),
            "frames": str(self.frames),
            "enabled": self.enabled,
            "colour": self.colour,
            "path": self.media.path if self.media else "",
        }


def _frames(value: Fraction, subframe: bool) -> float:
    return float(value) if subframe else math.floor(value)
