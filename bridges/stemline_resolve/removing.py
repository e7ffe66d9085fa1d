"""Taking back what was written: our items, our tracks, our marker; and what was disabled is enabled again."""

from __future__ import annotations

from collections.abc import Sequence

from stemline_bridge import HostError

from .api import Remote
from .document import Document, Placed
from .journal import REMOVED, WRITING, Entry
from .media_bin import same_path
from .placing import delete_items


def take_back(document: Document, entry: Entry, others: Sequence[Entry]) -> list[str]:
    """Notes say what stayed and why. An empty list: the timeline is as it was. Raises HostError when stems of it stay:
    then nothing is enabled, so that no sound doubles, and the next try finds all it needs.

    `others` are writes into the same timeline that were not taken back: they may play the same files on tracks of the
    same name, and keep their originals disabled.
    """
    held = _Held(entry, {item for other in others for item in other.items})
    emptied = [track for track in reversed(document.audio_tracks()) if _take_stems(document, track, held)]
    notes = []
    for track in reversed(document.audio_tracks()):
        name = document.track_name(track)
        left = any(True for _ in document.items(track))
        if left and track in emptied:
            notes.append(f"Track {name} stays: there are other clips on it.")
        elif not left and held.is_ours(track, name):
            notes += _delete_track(document, track, name)
    notes += _enable(document, entry, others)
    if entry.marker:
        document.timeline.DeleteMarkerByCustomData(entry.marker)
    if not notes:
        entry.end(REMOVED)
    return notes


def standing(document: Document, entries: Sequence[Entry]) -> list[str]:
    """The results of which something can be taken back: a stem, or a clip that they keep disabled. Those of other
    timelines than `document` are taken to be such."""
    there: dict[str, Remote] = {}
    if any(entry.timeline_id == document.timeline_id for entry in entries):
        items = (item for track in document.audio_tracks() for item in document.listed(track))
        there = {str(item.GetUniqueId()): item for item in items}

    def stands(entry: Entry) -> bool:
        disabled = (there[item_id] for item_id in entry.disabled if item_id in there)
        return not entry.items.isdisjoint(there) or any(not item.GetClipEnabled() for item in disabled)

    return [entry.result for entry in entries if entry.timeline_id != document.timeline_id or stands(entry)]


class _Held:
    """What of a timeline belongs to an entry. `of_others` are ids of items that other writes placed."""

    def __init__(self, entry: Entry, of_others: set[str]) -> None:
        self._entry = entry
        self._of_others = of_others
        self._paths = {same_path(path) for path in entry.paths}

    def is_ours(self, track: int, name: str) -> bool:
        """Also a track that was interrupted before it had its name."""
        entry = self._entry
        unnamed = entry.state == WRITING and track in entry.track_places and name == f"Audio {track}"
        return unnamed or name in entry.track_names

    def placed(self, placed: Placed, on_our_track: bool) -> bool:
        """By its id; or, where the write was interrupted before that was known, by its file."""
        item_id = _id(placed)
        if item_id in self._entry.items:
            return True
        if self._entry.state != WRITING or not on_our_track or item_id in self._of_others:
            return False
        media = placed.item.GetMediaPoolItem()
        return media is not None and same_path(str(media.GetClipProperty("File Path"))) in self._paths


def _take_stems(document: Document, track: int, held: _Held) -> bool:
    """Deletes the stems from a track. False where there were none. Raises HostError when they stay."""
    timeline, name = document.timeline, document.track_name(track)
    is_ours = held.is_ours(track, name)
    placed = [one for one in document.items(track) if held.placed(one, is_ours)]
    if not placed:
        return False
    if is_ours and timeline.GetIsTrackLocked("audio", track):
        timeline.SetTrackLock("audio", track, False)
    delete_items(document, [one.item for one in placed])
    if any(held.placed(one, is_ours) for one in document.items(track)):
        raise HostError(
            f"Stems could not be deleted from track {name}.", "HOST_UNSUPPORTED", "Unlock it, then Remove again."
        )
    return True


def _delete_track(document: Document, track: int, name: str) -> list[str]:
    count = len(document.audio_tracks())
    document.timeline.DeleteTrack("audio", track)
    gone = len(document.audio_tracks()) == count - 1
    return [] if gone else [f"The empty track {name} could not be deleted."]


def _enable(document: Document, entry: Entry, others: Sequence[Entry]) -> list[str]:
    """Enables what this write disabled. Where stems of another still play in its place, that one is to enable it."""
    notes = []
    if not entry.disabled:
        return []
    there = {_id(placed): placed for track in document.audio_tracks() for placed in document.items(track)}
    live = [other for other in others if not other.items.isdisjoint(there)]
    for item_id in entry.disabled:
        heir = next((other for other in live if item_id in other.replaced), None)
        placed = there.get(item_id)
        if heir is not None:
            heir.add_disabled(item_id)
        elif placed is not None:
            placed.item.SetClipEnabled(True)
            if not placed.item.GetClipEnabled():
                notes.append(f"{placed.item.GetName()} on A{placed.track} could not be enabled again.")
    return notes


def _id(placed: Placed) -> str:
    return str(placed.item.GetUniqueId())
