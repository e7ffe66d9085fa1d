"""Taking a write back: its items, tracks and marker go, and the clips it disabled are enabled again."""

from __future__ import annotations

from collections.abc import Collection, Container, Sequence

from stemline_bridge import HostError
from stemline_bridge.journal import WRITING, Entry, PlacedFacts

from .api import Remote
from .document import OpenTimeline, PlacedItem
from .earlier import EarlierStem, changed_note, enable, forget, is_unchanged, put_back, stems_on
from .media_bin import same_path
from .placing import delete_items
from .reading import ClipId


def take_back(
    document: OpenTimeline, entry: Entry, others: Sequence[Entry], clips: Collection[str] | None = None
) -> list[str]:
    """Undo a write and return notes on what stayed and why. No notes: the timeline is as it was.

    Stems that the user trimmed, slipped or moved away from their clips stay, and their clips stay disabled.

    Args:
        document: The timeline.
        entry: The write.
        others: Writes into the same timeline that were not taken back. They may play the same files on tracks of
            the same name, and keep their originals disabled.
        clips: Ids of the items whose stems to take back; None: the whole write.

    Raises:
        HostError: Stems stay. Then no clip is enabled, so that no sound doubles, and the next try finds all it
            needs.
    """
    changed = _changed(document, entry, clips)
    held = _Owned(entry, {item for other in others for item in other.items}, changed, clips)
    gone = {item.item_id for item in entry.placed if _is_of(item, clips)} - set(changed)
    emptied = [track for track in reversed(document.audio_tracks()) if _take_stems(document, track, held)]
    notes = [changed_note(document, stem) for stem in changed.values()]
    if entry.state == WRITING:
        notes += put_back(document, entry, others)
    stems = entry.items.union(*(other.items for other in others))
    for track in reversed(document.audio_tracks()):
        name = document.track_name(track)
        there = [_id(placed) for placed in document.items(track)]
        if track in emptied and not stems.issuperset(there):
            notes.append(f"Track {name} stays: there are other clips on it.")
        elif not there and held.is_own_track(track, name):
            notes += _delete_track(document, track, name)
    busy = {ClipId.parse(stem.facts.clip).item for stem in changed.values() if stem.facts.clip}
    free = {item_id for item_id in entry.disabled if item_id not in busy and (clips is None or item_id in clips)}
    notes += enable(document, entry, others, free)
    if clips is not None:
        entry.drop_items(gone)
        entry.drop_disabled(free)
    if (clips is None and not notes) or (clips is not None and not entry.items):
        forget(document, entry)
    return notes


def _changed(document: OpenTimeline, entry: Entry, clips: Collection[str] | None) -> dict[str, EarlierStem]:
    """Return the stems of a finished write that the user changed, by their ids."""
    return {
        stem.facts.item_id: stem
        for stem in stems_on(document, [entry])
        if _is_of(stem.facts, clips) and not is_unchanged(document, stem)
    }


def _is_of(item: PlacedFacts, clips: Collection[str] | None) -> bool:
    return clips is None or (item.clip != "" and ClipId.parse(item.clip).item in clips)


def removable(document: OpenTimeline, entries: Sequence[Entry]) -> list[str]:
    """Return the results of which something can be taken back: a stem, or a clip they keep disabled.

    Results of timelines other than `document` count as removable.
    """
    there: dict[str, Remote] = {}
    if any(entry.timeline_id == document.timeline_id for entry in entries):
        items = (item for track in document.audio_tracks() for item in document.listed(track))
        there = {str(item.GetUniqueId()): item for item in items}

    def stands(entry: Entry) -> bool:
        disabled = (there[item_id] for item_id in entry.disabled if item_id in there)
        return not entry.items.isdisjoint(there) or any(not item.GetClipEnabled() for item in disabled)

    return [entry.result for entry in entries if entry.timeline_id != document.timeline_id or stands(entry)]


class _Owned:
    """What of a timeline belongs to an entry, of the items `clips` alone where there are some.

    `of_others` are ids of items that other writes placed, and `changed` of items that the user changed.
    """

    def __init__(
        self, entry: Entry, of_others: set[str], changed: Container[str], clips: Collection[str] | None
    ) -> None:
        self._entry = entry
        self._of_others = of_others
        self._items = {item.item_id for item in entry.placed if _is_of(item, clips) and item.item_id not in changed}
        self._paths = {same_path(path) for path in entry.paths}

    def is_own_track(self, track: int, name: str) -> bool:
        """Return whether the entry added a track, even one interrupted before it was named."""
        entry = self._entry
        unnamed = entry.state == WRITING and track in entry.track_places and name == f"Audio {track}"
        return unnamed or name in entry.track_names

    def placed(self, placed: PlacedItem, on_our_track: bool) -> bool:
        """Return whether the entry placed an item: by its id, or by its file where the write was interrupted."""
        item_id = _id(placed)
        if item_id in self._items:
            return True
        if self._entry.state != WRITING or not on_our_track or item_id in self._of_others:
            return False
        media = placed.item.GetMediaPoolItem()
        return media is not None and same_path(str(media.GetClipProperty("File Path"))) in self._paths


def _take_stems(document: OpenTimeline, track: int, held: _Owned) -> bool:
    """Delete the stems from a track. Returns False where there were none. Raises HostError when they stay."""
    timeline, name = document.timeline, document.track_name(track)
    is_own_track = held.is_own_track(track, name)
    placed = [one for one in document.items(track) if held.placed(one, is_own_track)]
    if not placed:
        return False
    if is_own_track and timeline.GetIsTrackLocked("audio", track):
        timeline.SetTrackLock("audio", track, False)
    delete_items(document, [one.item for one in placed])
    if any(held.placed(one, is_own_track) for one in document.items(track)):
        raise HostError(
            f"Stems could not be deleted from track {name}.", "HOST_FAILED", "Unlock it, then choose Take back again."
        )
    return True


def _delete_track(document: OpenTimeline, track: int, name: str) -> list[str]:
    count = len(document.audio_tracks())
    document.timeline.DeleteTrack("audio", track)
    gone = len(document.audio_tracks()) == count - 1
    return [] if gone else [f"The empty track {name} could not be deleted."]


def _id(placed: PlacedItem) -> str:
    return str(placed.item.GetUniqueId())
