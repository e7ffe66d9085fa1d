"""Stems of earlier writes: which are there as they were placed, and how they make room for new stems of their clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from stemline_bridge import HostError, from_exact, to_exact
from stemline_bridge.journal import REMOVED, WRITTEN, Entry, PlacedFacts

from .document import OpenTimeline, PlacedItem
from .fitting import Fit
from .media_bin import import_files
from .placing import Placer, Placing, delete_items, track_type
from .reading import ClipId


class EarlierStem(NamedTuple):
    """A stem that a write placed and that is on the timeline."""

    entry: Entry
    facts: PlacedFacts
    placed: PlacedItem


def place_of(placing: Placing, placed: PlacedItem, left: Fraction, original: PlacedItem | None) -> dict[str, str]:
    """Return where a stem was placed, for `is_unchanged` and `put_back`. `left` is its left offset in frames."""
    return {
        "start": to_exact(placed.start),
        "end": to_exact(placed.end),
        "left": to_exact(left),
        "after_clip": to_exact(placed.start - original.start) if original is not None else "",
        "media_start": str(placing.fit.media_start),
        "media_frames": str(placing.fit.media_frames),
    }


def stems_on(document: OpenTimeline, entries: Iterable[Entry]) -> list[EarlierStem]:
    """Return the stems of finished writes that are on the timeline."""
    there = document.items_by_id()
    return [
        EarlierStem(entry, facts, there[facts.item_id])
        for entry in entries
        if entry.state == WRITTEN
        for facts in entry.placed
        if facts.item_id in there
    ]


def is_unchanged(document: OpenTimeline, stem: EarlierStem) -> bool:
    """Return whether a stem plays what it was placed for: not trimmed or slipped, and moved only with its clip."""
    place, placed = stem.facts.place, stem.placed
    if not place:
        return True
    start, end = from_exact(place["start"]), from_exact(place["end"])
    left = document.position(placed.item, "GetLeftOffset")
    if placed.end - placed.start != end - start or left != from_exact(place["left"]):
        return False
    original = document.items_by_id().get(ClipId.parse(stem.facts.clip).item) if stem.facts.clip else None
    with_clip = original is not None and place["after_clip"] != ""
    return placed.start == start or (
        with_clip and original is not None and placed.start - original.start == from_exact(place["after_clip"])
    )


def make_room(
    document: OpenTimeline, entry: Entry, tracks: Sequence[dict[str, Any]], others: Sequence[Entry]
) -> list[str]:
    """Delete the earlier stems of the clips of `tracks`, recorded in `entry` so that they can be put back.

    Returns notes on those that stay, because the user changed them. Raises HostError if they cannot be deleted.
    """
    ranges: dict[str, list[tuple[Fraction, Fraction]]] = {}
    for clip in (clip for track in tracks for clip in track["clips"]):
        start, end = (document.frame(from_exact(clip["record_range"][side])) for side in ("start", "end"))
        ranges.setdefault(ClipId.parse(clip["clip_id"]).item, []).append((start, end))
    found = [
        stem
        for stem in stems_on(document, others)
        if stem.facts.clip
        and any(
            stem.placed.start < end and start < stem.placed.end
            for start, end in ranges.get(ClipId.parse(stem.facts.clip).item, ())
        )
    ]
    unchanged = [stem for stem in found if is_unchanged(document, stem)]
    notes = [changed_note(document, stem) for stem in found if stem not in unchanged]
    if not unchanged:
        return notes
    for track in sorted({stem.placed.track for stem in unchanged}):
        if document.timeline.GetIsTrackLocked("audio", track):
            name = document.track_name(track)
            raise HostError(f"Track {name} is locked.", "HOST_BUSY", "Unlock it and press Apply again.")
    entry.add_displaced([_displaced(document, stem) for stem in unchanged])
    delete_items(document, [stem.placed.item for stem in unchanged])
    if not {stem.facts.item_id for stem in unchanged}.isdisjoint(document.items_by_id()):
        raise HostError("The earlier stems could not be replaced.", "HOST_FAILED", "Close any dialog in Resolve.")
    return notes


def changed_note(document: OpenTimeline, stem: EarlierStem) -> str:
    """Return the note on a stem that stays because the user changed it."""
    name = document.track_name(stem.placed.track)
    return f"{stem.placed.item.GetName()} on track {name} was changed since it was placed, so it stays."


def _displaced(document: OpenTimeline, stem: EarlierStem) -> dict[str, Any]:
    track, item = stem.placed.track, stem.placed.item
    return {
        "result": stem.entry.result,
        "id": stem.facts.item_id,
        "name": str(item.GetName()),
        "path": stem.facts.path,
        "track": document.track_name(track),
        "kind": str(document.timeline.GetTrackSubType("audio", track)),
        "first": int(stem.placed.start),
        "frames": int(stem.placed.end - stem.placed.start),
        "media_start": int(stem.facts.place["media_start"]),
        "media_frames": int(stem.facts.place["media_frames"]),
        "enabled": bool(item.GetClipEnabled()),
    }


def put_back(document: OpenTimeline, entry: Entry, others: Sequence[Entry]) -> list[str]:
    """Place the stems again that a failed write deleted, and return notes on those that could not be placed."""
    there, notes = document.items_by_id(), []
    lost = [facts for facts in entry.displaced if facts["id"] not in there]
    for facts in lost:
        owner = next((other for other in others if other.result == facts["result"]), None)
        if owner is None or facts["id"] not in owner.items:
            continue
        try:
            made = _place_again(document, facts)
        except HostError as failure:
            notes.append(f"{facts['name']} could not be put back on track {facts['track']}: {failure}")
            continue
        owner.rename_item(facts["id"], str(made.item.GetUniqueId()))
        if not facts["enabled"]:
            made.item.SetClipEnabled(False)
    return notes


def _place_again(document: OpenTimeline, facts: dict[str, Any]) -> PlacedItem:
    placer, name = Placer(document), facts["track"]
    number = next((n for n in document.audio_tracks() if document.track_name(n) == name), None)
    if number is None:
        kinds = {track_type(channels): channels for channels in range(1, 25)}
        number = placer.add_track(name, kinds.get(facts["kind"].lower(), 2))
    else:
        placer.use_track(number)
    media = import_files(document, [facts["path"]])[facts["path"]]
    wanted = Fit(
        facts["path"], facts["first"], facts["frames"], facts["media_start"], facts["media_frames"], piece=None
    )
    return placer.place(Placing({"name": facts["name"]}, media, wanted), number)


def hand_over(document: OpenTimeline, entry: Entry, others: Sequence[Entry]) -> list[str]:
    """Take the stems that `entry` replaced out of the records of their writes.

    The clips that these disabled are now disabled by `entry`, or enabled again where it does not replace them. A write
    without any stems left counts as taken back.
    """
    notes: list[str] = []
    for other in others:
        ids = {str(facts["id"]) for facts in entry.displaced if facts["result"] == other.result}
        clips = {ClipId.parse(item.clip).item for item in other.placed if item.item_id in ids}
        if not ids:
            continue
        other.drop_items(ids)
        clips -= {ClipId.parse(item.clip).item for item in other.placed if item.clip}
        notes += enable(document, other, [entry, *(one for one in others if one is not other)], clips)
        other.drop_disabled(clips)
        if not other.items:
            forget(document, other)
    return notes


def forget(document: OpenTimeline, entry: Entry) -> None:
    """Remove the marker of a write without stems, and count it as taken back."""
    if entry.marker:
        document.timeline.DeleteMarkerByCustomData(entry.marker)
    entry.end(REMOVED)


def enable(document: OpenTimeline, entry: Entry, others: Sequence[Entry], clips: set[str] | None = None) -> list[str]:
    """Enable what a write disabled, of the items `clips` (None: of all), and return notes on what stays disabled.

    Where stems of another write still play in a clip's place, that write is to enable it.
    """
    notes: list[str] = []
    wanted = [item_id for item_id in entry.disabled if clips is None or item_id in clips]
    if not wanted:
        return notes
    there = document.items_by_id()
    live = [other for other in others if not other.items.isdisjoint(there)]
    for item_id in wanted:
        heir = next((other for other in live if item_id in other.replaced), None)
        placed = there.get(item_id)
        if heir is not None:
            heir.add_disabled(item_id)
        elif placed is not None:
            placed.item.SetClipEnabled(True)
            if not placed.item.GetClipEnabled():
                notes.append(f"{placed.item.GetName()} on A{placed.track} could not be enabled again.")
    return notes
