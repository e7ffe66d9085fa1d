"""Which clips are chosen: the selected, else those between the in and out marks, else those under the playhead.

Stems of earlier results are left out, unless there is nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from typing import NamedTuple

from .api import Remote
from .document import OpenTimeline, PlacedItem


class Choice(NamedTuple):
    """The chosen clips.

    `window` is the chosen part of the timeline in its frames, half-open; None: whole clips. `how` says in words what
    was taken.
    """

    items: list[PlacedItem]
    window: tuple[Fraction, Fraction] | None
    how: str


def choose(document: OpenTimeline, tracks: Sequence[str], stems: Collection[str] = ()) -> Choice:
    """Return the chosen clips.

    Args:
        document: The timeline.
        tracks: Names of audio tracks. With any, every clip on them is chosen, between the marks where there are
            some.
        stems: Ids of items that Stemline placed.
    """
    choice = _choose(document, tracks)
    originals = [placed for placed in choice.items if _id(placed.item) not in stems] if stems else choice.items
    return choice._replace(items=originals or choice.items)


def _choose(document: OpenTimeline, tracks: Sequence[str]) -> Choice:
    everything = [placed for track in document.audio_tracks() for placed in document.items(track)]
    if tracks:
        everything = [placed for placed in everything if track_label(placed.track) in tracks]
    else:
        chosen = _selected(document, everything)
        if chosen:
            return Choice(chosen, None, "the selected clips")
    window = marked(document)
    if window is not None:
        inside = [placed for placed in everything if placed.start < window[1] and window[0] < placed.end]
        return Choice(inside, window, "everything between the in and out marks")
    if tracks:
        return Choice(everything, None, "the clips of " + ", ".join(tracks))
    return Choice(_under_playhead(document, everything), None, "the clips under the playhead")


def track_label(track: int) -> str:
    """Return the label of an audio track in Resolve's track header, whatever its name."""
    return f"A{track}"


def marked(document: OpenTimeline) -> tuple[Fraction, Fraction] | None:
    """Return the range between the timeline's marks, or None.

    Resolve gives them relative to the timeline's start, the out mark as a frame that is included.
    """
    if "GetMarkInOut" not in document.timeline:
        return None
    marks = document.timeline.GetMarkInOut() or {}
    for kind in ("audio", "video"):
        values = marks.get(kind) or {}
        if "in" in values and "out" in values:
            return Fraction(values["in"] + document.zero), Fraction(values["out"] + document.zero + 1)
    return None


def _selected(document: OpenTimeline, everything: list[PlacedItem]) -> list[PlacedItem]:
    """Return the sound of the selected clips: of a picture, its linked sound."""
    if "GetSelectedClips" not in document.timeline:
        return []
    return _sound_of(document.timeline.GetSelectedClips() or [], everything)


def _under_playhead(document: OpenTimeline, everything: list[PlacedItem]) -> list[PlacedItem]:
    """Return every sound under the playhead, and the linked sound of the picture there, even if slipped away."""
    frame = document.playhead()
    picture = document.timeline.GetCurrentVideoItem()
    linked = {_id(placed.item) for placed in _sound_of([picture] if picture is not None else [], everything)}
    return [
        placed
        for placed in everything
        if (placed.start < frame + 1 and frame < placed.end) or _id(placed.item) in linked
    ]


def _sound_of(items: Sequence[Remote], everything: list[PlacedItem]) -> list[PlacedItem]:
    wanted = set()
    for item in items:
        if item is not None:
            wanted.add(_id(item))
            wanted |= {_id(other) for other in item.GetLinkedItems() or []}
    return [placed for placed in everything if _id(placed.item) in wanted]


def _id(item: Remote) -> str:
    return str(item.GetUniqueId())
