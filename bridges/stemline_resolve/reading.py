"""`read_clips`: the chosen clips in the form of docs/host-protocol.md."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError, to_exact
from stemline_bridge.journal import Remains

from .api import CallHung
from .document import OpenTimeline, PlacedItem
from .rendering import NotRestored, Stretch, render
from .selection import choose, track_label
from .sources import NeedsRender, SourceSound, sound_of

_NOT_CARRIED = (
    "Scripts can't read a clip's volume, fades, panning or effects in Resolve. Where the originals have any, set them "
    "on the stems too."
)


class ClipId(NamedTuple):
    """The id of an item, unique in the project, so that it is found again whichever timeline is open.

    `is_part` marks a clip of which only a part was chosen: it must not be disabled.
    """

    timeline: str
    item: str
    is_part: bool

    def text(self) -> str:
        """Return the id as the protocol carries it."""
        return "/".join((self.timeline, self.item, *(["part"] if self.is_part else [])))

    @classmethod
    def parse(cls, text: str) -> ClipId:
        """Return the id of such a text."""
        timeline, item, *part = text.split("/")
        return cls(timeline, item, bool(part))


class ClipReader:
    """One answer to `read_clips`.

    Args:
        document: The timeline.
        folder: Where Resolve renders.
        remains: What earlier writes left on the timeline: their stems are ignored, and the clips they disabled
            count as enabled.
        given_up: Whether the companion no longer waits.
    """

    def __init__(self, document: OpenTimeline, folder: Path, remains: Remains, given_up: Callable[[], bool]) -> None:
        """Prepare a reading of the timeline."""
        self._document = document
        self._folder = folder
        self._remains = remains
        self._given_up = given_up
        self._clips: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        self._notes: list[str] = []

    def answer(self, selection: dict[str, Any]) -> dict[str, Any]:
        """Return the clips of the selection. Raises HostError when nothing is chosen."""
        choice = choose(self._document, selection.get("tracks") or [], self._remains.stems)
        if not choice.items:
            raise HostError(
                "No clip with sound is selected, marked or under the playhead.",
                "EDIT_NO_CLIPS",
                "Select clips, set in and out marks, or move the playhead onto a clip.",
            )
        self._notes.append(f"Clips: {choice.how}.")
        for placed in choice.items:
            self._read(placed, choice.window, bool(selection.get("include_disabled")))
        if self._clips:
            self._notes.append(_NOT_CARRIED)
        document = self._document
        return {
            "clips": self._clips,
            "skipped": self._skipped,
            "notes": self._notes,
            "timeline_start": to_exact(document.zero / document.rate),
            "drop_frame": document.drops_frames(),
        }

    def _read(self, placed: PlacedItem, window: tuple[Fraction, Fraction] | None, include_disabled: bool) -> None:
        timeline = self._document.timeline
        enabled = placed.item.GetClipEnabled() or placed.item.GetUniqueId() in self._remains.disabled
        enabled = enabled and timeline.GetIsTrackEnabled("audio", placed.track)
        if not enabled and not include_disabled:
            self._skip(placed, "CLIP_DISABLED", "The clip or its track is disabled.")
            return
        media = placed.item.GetMediaPoolItem()
        if media is None:
            self._skip(placed, "CLIP_NOT_MEDIA", "It plays no media file.")
            return
        part = _part(placed, window)
        try:
            sound, rendered = sound_of(self._document, placed, media), False
        except NeedsRender as reason:
            try:
                sound, rendered = self._rendered(placed, part), True
            except (HostError, OSError, ValueError) as failure:
                if self._given_up() or isinstance(failure, (CallHung, NotRestored)):  # no other clip can be read now
                    raise
                self._skip(placed, reason.code, f"{reason} Resolve could not render it: {failure}")
                return
            self._notes.append(f"{placed.item.GetName()} was rendered by Resolve, effects included. {reason}")
        self._add(placed, part, sound, rendered)

    def _rendered(self, placed: PlacedItem, part: tuple[Fraction, Fraction]) -> SourceSound:
        """Return the part as a sound that begins where the whole item would begin."""
        stretch = Stretch((placed.track,), part[0], part[1], (str(placed.item.GetUniqueId()),))
        rendered = render(self._document, stretch, self._folder, _file_name(placed), self._given_up)
        self._notes += [note for note in rendered.notes if note not in self._notes]
        return SourceSound(str(rendered.path), (), rendered.start)

    def _add(self, placed: PlacedItem, part: tuple[Fraction, Fraction], sound: SourceSound, rendered: bool) -> None:
        document = self._document
        start = sound.start if rendered else sound.start + (part[0] - placed.start) / document.rate
        length = (part[1] - part[0]) / document.rate
        is_part = part != (placed.start, placed.end)
        self._clips.append(
            {
                "clip_id": ClipId(document.timeline_id, str(placed.item.GetUniqueId()), is_part).text(),
                "name": str(placed.item.GetName()),
                "track": track_label(placed.track),
                "source": {"path": sound.path, "stream": 0, "channels": list(sound.channels), "mono": False},
                "source_range": {"start": to_exact(start), "end": to_exact(start + length)},
                "record_range": {
                    "start": to_exact(document.seconds(part[0])),
                    "end": to_exact(document.seconds(part[1])),
                },
                "frame_rate": to_exact(document.rate),
            }
        )

    def _skip(self, placed: PlacedItem, code: str, reason: str) -> None:
        self._skipped.append(
            {
                "clip": str(placed.item.GetName()),
                "track": track_label(placed.track),
                "record_start": to_exact(self._document.seconds(placed.start)),
                "code": code,
                "reason": reason,
            }
        )


def _part(placed: PlacedItem, window: tuple[Fraction, Fraction] | None) -> tuple[Fraction, Fraction]:
    if window is None:
        return placed.start, placed.end
    return max(placed.start, window[0]), min(placed.end, window[1])


def _file_name(placed: PlacedItem) -> str:
    """Return the item's name with only the characters that every file system takes."""
    kept = "".join(sign if sign.isalnum() else "_" for sign in str(placed.item.GetName()))
    return kept.strip("_")[:40] or "clip"
