"""Stems matched to a timeline that was edited after its clips were read.

A stem follows its clip when the clip only moved. It is skipped when the clip now plays another part of its media.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from stemline_bridge import HostError, from_exact, to_exact

from .document import OpenTimeline, PlacedItem
from .media_bin import same_path
from .reading import ClipId
from .selection import track_label
from .sources import NeedsRender, sound_of

_MAX_LISTED = 8


class Conformed(NamedTuple):
    """Tracks of the protocol with their stems at the present places of their clips.

    `skipped` are the ids of the clips that get no stem. `notes` name the moved and the skipped clips.
    """

    tracks: list[dict[str, Any]]
    skipped: set[str]
    notes: list[str]


def conform(document: OpenTimeline, tracks: Sequence[dict[str, Any]]) -> Conformed:
    """Return the tracks as they fit the timeline now. Raises HostError when no stem fits any more."""
    stems = {str(clip["clip_id"]): clip for track in tracks for clip in track["clips"]}
    there = {
        str(placed.item.GetUniqueId()): placed for track in document.audio_tracks() for placed in document.items(track)
    }
    shifts: dict[str, Fraction] = {}
    moved: list[str] = []
    changed: list[str] = []
    for clip_id, stem in stems.items():
        placed = there.get(ClipId.parse(clip_id).item)
        shift = _shift(document, placed, stem) if placed is not None else Fraction(0)
        if shift is not None:
            shifts[clip_id] = shift
        if placed is not None and shift != 0:
            (changed if shift is None else moved).append(f"{placed.item.GetName()} on {track_label(placed.track)}")
    if stems and not shifts:
        raise HostError(
            f"Trimmed, slipped or retimed since the clips were read: {_listed(changed)}.",
            "EDIT_UNREADABLE",
            "Read the clips again, then separate them again.",
        )
    notes = []
    if moved:
        notes.append(f"Moved since the clips were read, and their stems moved with them: {_listed(moved)}.")
    if changed:
        notes.append(
            f"Trimmed, slipped or retimed since the clips were read, so they got no stems and were not disabled: "
            f"{_listed(changed)}. Read the clips again, then separate them again."
        )
    kept = [{**track, "clips": _moved(track["clips"], shifts)} for track in tracks]
    return Conformed([track for track in kept if track["clips"]], set(stems) - set(shifts), notes)


def _shift(document: OpenTimeline, placed: PlacedItem, stem: dict[str, Any]) -> Fraction | None:
    """Return by how many seconds the content of a stem has moved since it was read.

    None: the clip no longer plays that content, or plays only a part of it or more.
    """
    start, end = (from_exact(stem["record_range"][side]) for side in ("start", "end"))
    now_start, now_end = document.seconds(placed.start), document.seconds(placed.end)
    in_point = from_exact(stem["file_start"]) + Fraction(stem["file_range"]["start_sample"], stem["sample_rate"])
    try:
        plays_from = _plays_from(document, placed, stem)
    except NeedsRender:
        return None
    if ClipId.parse(str(stem["clip_id"])).is_part:
        part_start = start if plays_from is None else now_start + in_point - plays_from
        shift = Fraction(0) if _same(part_start, start, stem) else part_start - start
        return shift if now_start <= start + shift and end + shift <= now_end else None
    if now_end - now_start != end - start:
        return None
    if plays_from is not None and not _same(plays_from, in_point, stem):
        return None
    return now_start - start


def _plays_from(document: OpenTimeline, placed: PlacedItem, stem: dict[str, Any]) -> Fraction | None:
    """Return where the clip now begins in the file that the stem was made of, in seconds.

    None: the stem was made of a file that Resolve rendered, which cannot be compared. Raises NeedsRender when the clip
    no longer plays a plain range of that file.
    """
    media = placed.item.GetMediaPoolItem()
    if media is None:
        return None
    made_of = str((stem["metadata"].get("source") or {}).get("media") or "")
    try:
        sound = sound_of(document, placed, media)
    except NeedsRender:
        if _is_file(made_of, str(media.GetClipProperty("File Path") or "")):
            raise
        return None
    return sound.start if not made_of or _is_file(made_of, sound.path) else None


def _is_file(url: str, path: str) -> bool:
    return bool(url and path) and same_path(unquote(url)) == same_path(unquote(Path(path).absolute().as_uri()))


def _same(one: Fraction, other: Fraction, stem: dict[str, Any]) -> bool:
    """Return whether two times fall on the same sample."""
    return abs(one - other) < Fraction(1, int(stem["sample_rate"]))


def _moved(stems: Sequence[dict[str, Any]], shifts: dict[str, Fraction]) -> list[dict[str, Any]]:
    return [
        {
            **stem,
            "record_range": {side: _later(at, shifts[stem["clip_id"]]) for side, at in stem["record_range"].items()},
        }
        for stem in stems
        if stem["clip_id"] in shifts
    ]


def _later(at: str, shift: Fraction) -> str:
    return to_exact(from_exact(at) + shift)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_LISTED
    return ", ".join(names[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
