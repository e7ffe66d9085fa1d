"""New tracks, and stems appended to them. Every write is read back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from stemline_bridge import HostError

from .api import Remote
from .document import OpenTimeline, PlacedItem
from .fitting import Fit
from .sources import media_rate

_SOUND_ONLY = 2
_TRIES = 4
_NAMING_TRIES = 2
_TRACK_TYPES = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
_CLIP_COLOUR = "Teal"
_ADVICE = "Close any dialog in Resolve, then press Apply again: the stems are finished."


class Placing(NamedTuple):
    """A stem clip of the protocol with its clip of the media pool and its place."""

    clip: dict[str, Any]
    media: Remote
    fit: Fit


def track_type(channels: int) -> str:
    """Return Resolve's name of an audio track type."""
    return _TRACK_TYPES.get(channels, f"adaptive{channels}")


class Placer:
    """Adds tracks to one timeline and places items on them."""

    def __init__(self, document: OpenTimeline) -> None:
        """Add to the timeline of `document`."""
        self._document = document
        self._pool = document.pool()
        self._known: set[str] = set()  # ids on the track that items are placed on
        self._end_bias = 0  # frames that this Resolve adds to endFrame, as seen from the items it made

    def next_track(self) -> int:
        """Return the number that the next new track gets."""
        return len(self._document.audio_tracks()) + 1

    def add_track(self, name: str, channels: int) -> int:
        """Return the number of a new audio track at the end.

        Raises HostError when it is not there afterwards, or of another type.
        """
        timeline, number, kind = self._document.timeline, self.next_track(), track_type(channels)
        self._known.clear()
        timeline.AddTrack("audio", kind)
        if len(self._document.audio_tracks()) != number:
            raise HostError("Resolve did not add a track.", "HOST_FAILED", _ADVICE)
        made = str(timeline.GetTrackSubType("audio", number))
        if made.lower() != kind:
            raise HostError(f"Resolve made a {made} track instead of a {kind} one.", "HOST_FAILED", _ADVICE)
        for _ in range(_NAMING_TRIES):
            timeline.SetTrackName("audio", number, name)
            if timeline.GetTrackName("audio", number) == name:
                break
        self._unlock(number)
        return number

    def use_track(self, number: int) -> None:
        """Place the next items on a track that is there."""
        self._known = {str(item.GetUniqueId()) for item in self._document.listed(number)}

    def place(self, placing: Placing, track: int) -> PlacedItem:
        """Return the placed item, read back at its frame and with its length. Raises HostError."""
        wanted, rate = placing.fit, media_rate(self._document, placing.media)
        start = wanted.media_start
        end = start + wanted.media_frames + self._end_bias
        for _ in range(_TRIES):
            made = self._append(placing.media, (start, end), wanted.first, track)
            longer = (made.end - made.start) - wanted.frames
            if not longer and self._plays_from(made, wanted, rate):
                self._end_bias = end - start - wanted.media_frames
                made.item.SetClipColor(_CLIP_COLOUR)
                self._known.add(str(made.item.GetUniqueId()))
                return made
            self.delete([made.item])
            if longer:
                step = math.ceil(abs(longer) * rate / self._document.rate)
                end -= step if longer > 0 else -step
            else:  # this Resolve counts startFrame from the file's timecode
                zero = int(str(placing.media.GetClipProperty("Start") or "0"))
                start, end = start + zero, end + zero
        raise HostError(f"Resolve placed {placing.clip['name']} with another length.", "HOST_FAILED", _ADVICE)

    def delete(self, items: Sequence[Remote]) -> None:
        """Delete items of Stemline's from the timeline."""
        delete_items(self._document, items)

    def _unlock(self, number: int) -> None:
        timeline = self._document.timeline
        if timeline.GetIsTrackLocked("audio", number):
            timeline.SetTrackLock("audio", number, False)
            if timeline.GetIsTrackLocked("audio", number):
                raise HostError(f"The new track A{number} is locked.", "HOST_FAILED", "Unlock it and try again.")

    def _append(self, media: Remote, frames: tuple[int, int], first: int, track: int) -> PlacedItem:
        """Return the one new item on the track. Resolve may return items that do not exist, so the track is asked."""
        now = self._document.project.GetCurrentTimeline()  # Resolve appends to that one, whichever it is
        if now is None or now.GetUniqueId() != self._document.timeline_id:
            raise _another_timeline("")
        returned = self._pool.AppendToTimeline(
            [
                {
                    "mediaPoolItem": media,
                    "startFrame": frames[0],
                    "endFrame": frames[1],
                    "mediaType": _SOUND_ONLY,
                    "trackIndex": track,
                    "recordFrame": first,
                }
            ]
        )
        fresh = self._fresh(track)
        if len(fresh) == 1 and self._document.position(fresh[0], "GetStart") == first:
            return PlacedItem(fresh[0], track, Fraction(first), self._document.position(fresh[0], "GetEnd"))
        if fresh:
            self.delete(fresh)
        _take_from_elsewhere(self._document, media, first, returned or [])
        raise HostError(f"Resolve did not place {media.GetName()} on track A{track}.", "HOST_FAILED", _ADVICE)

    def _fresh(self, track: int) -> list[Remote]:
        """Return the items on the track that were not placed before. Usually only the last must be asked."""
        items = [item for item in self._document.timeline.GetItemListInTrack("audio", track) or [] if item is not None]
        if len(items) == len(self._known) + 1 and str(items[-1].GetUniqueId()) not in self._known:
            return items[-1:]
        return [item for item in items if str(item.GetUniqueId()) not in self._known]

    def _plays_from(self, made: PlacedItem, wanted: Fit, rate: Fraction) -> bool:
        left = self._document.position(made.item, "GetLeftOffset")
        return abs(left - wanted.media_start * self._document.rate / rate) < 1


def _take_from_elsewhere(document: OpenTimeline, media: Remote, first: int, returned: Sequence[Remote | None]) -> None:
    """Delete what went into another timeline that was opened at that moment, and raise HostError.

    Where the timeline is still open, do nothing. A copy of the timeline may hold the same stem at the same place from
    before: that one already has a colour.
    """
    now = document.now_open()
    if now.timeline_id == document.timeline_id:
        return
    ids = {str(item.GetUniqueId()) for item in returned if item is not None} - {""}

    def strays() -> list[PlacedItem]:
        found = [placed for track in now.audio_tracks() for placed in now.items(track)]
        return [placed for placed in found if str(placed.item.GetUniqueId()) in ids or is_like_it(placed)]

    def is_like_it(placed: PlacedItem) -> bool:
        held = placed.item.GetMediaPoolItem() if placed.start == first else None
        is_it = held is not None and held.GetUniqueId() == media.GetUniqueId()
        return is_it and placed.item.GetClipColor() != _CLIP_COLOUR

    delete_items(now, [placed.item for placed in strays()])
    left = strays()
    if left:
        raise _another_timeline(f" {media.GetName()} is in it now, on A{left[0].track}; delete it by hand.")
    raise _another_timeline("")


def _another_timeline(more: str) -> HostError:
    return HostError(
        f"Another timeline was opened while the stems were written.{more}",
        "EDIT_UNREADABLE",
        "Press Apply again and open no other timeline until it has ended: the stems are finished.",
    )


def delete_items(document: OpenTimeline, items: Sequence[Remote]) -> None:
    """Delete `items` on the Edit page, the only one where it works, and return to the user's page."""
    resolve = document.resolve
    page = resolve.GetCurrentPage()
    if page != "edit":
        resolve.OpenPage("edit")
    try:
        document.timeline.DeleteClips(list(items), False)
    finally:
        if page not in ("edit", None):
            resolve.OpenPage(page)
