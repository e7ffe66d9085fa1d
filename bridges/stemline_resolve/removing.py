"""Taking back what was written: our items, our tracks, our marker; and what was disabled is enabled again."""

from __future__ import annotations

from .document import Document, Placed
from .journal import REMOVED, WRITING, Entry
from .placing import delete_items


def take_back(document: Document, entry: Entry, of_others: set[str]) -> list[str]:
    """Notes say what stayed and why. An empty list: the timeline is as it was. Raises Problem.

    `of_others` are ids of items that other writes placed: they may play the same files on tracks of the same name.
    """
    notes = []
    for track in reversed(document.audio_tracks()):
        name = document.track_name(track)
        is_ours = name in entry.track_names or _is_unnamed(entry, track, name)
        placed = [one for one in document.items(track) if _is_placed_by(entry, one, is_ours, of_others)]
        if placed:
            delete_items(document, [one.item for one in placed])
        elif not is_ours:
            continue
        left = list(document.items(track))
        if any(_is_placed_by(entry, one, is_ours, of_others) for one in left):
            notes.append(f"Stems could not be deleted from track {name}; delete them by hand.")
        elif left and placed:
            notes.append(f"Track {name} stays: there are other clips on it.")
        elif is_ours and not left:
            notes += _delete_track(document, track, name)
    notes += _enable(document, entry)
    if entry.marker:
        document.timeline.DeleteMarkerByCustomData(entry.marker)
    if not notes:
        entry.end(REMOVED)
    return notes


def _is_unnamed(entry: Entry, track: int, name: str) -> bool:
    """A track that was interrupted before it had its name."""
    return entry.state == WRITING and track in entry.track_places and name == f"Audio {track}"


def _is_placed_by(entry: Entry, placed: Placed, on_our_track: bool, of_others: set[str]) -> bool:
    """By its id; or, where the write was interrupted before that was known, by its file."""
    item_id = _id(placed)
    if item_id in entry.items:
        return True
    if entry.state != WRITING or not on_our_track or item_id in of_others:
        return False
    media = placed.item.GetMediaPoolItem()
    return media is not None and str(media.GetClipProperty("File Path")) in entry.paths


def _delete_track(document: Document, track: int, name: str) -> list[str]:
    count = len(document.audio_tracks())
    document.timeline.DeleteTrack("audio", track)
    gone = len(document.audio_tracks()) == count - 1
    return [] if gone else [f"The empty track {name} could not be deleted."]


def _enable(document: Document, entry: Entry) -> list[str]:
    notes = []
    wanted = set(entry.disabled)
    if not wanted:
        return []
    for track in document.audio_tracks():
        for placed in document.items(track):
            if _id(placed) in wanted:
                placed.item.SetClipEnabled(True)
                if not placed.item.GetClipEnabled():
                    notes.append(f"{placed.item.GetName()} on A{track} could not be enabled again.")
    return notes


def _id(placed: Placed) -> str:
    return str(placed.item.GetUniqueId())
