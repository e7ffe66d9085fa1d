"""`write_tracks`: all of the stems, or nothing of them and a sentence that says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from stemline_bridge import HostError
from stemline_bridge.constants import METADATA_KEY, METADATA_VERSION
from stemline_bridge.timeline import pack_lanes

from .conforming import conform
from .document import Document, Placed
from .fitting import fit, make_piece
from .journal import WRITTEN, Entry
from .media_bin import import_files
from .placing import Placer, Placing
from .reading import ClipId
from .sources import media_rate

_NEVER_SAVED = "Untitled Project"
_MARKER_COLOUR = "Mint"
_MARKER_TRIES = 50


class _Lane(NamedTuple):
    """A track to be: some of the stems of a track of the protocol."""

    name: str
    track: dict[str, Any]
    placings: list[Placing]


class Writing:
    """One write into one timeline, noted in `entry` step by step."""

    def __init__(self, document: Document, entry: Entry, given_up: Callable[[], bool]) -> None:
        self._document = document
        self._entry = entry
        self._given_up = given_up
        self._notes: list[str] = []
        self._made: list[tuple[int, str, list[Placed]]] = []

    def write(self, tracks: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        """The answer of `write_tracks`. Raises HostError; then what is there is in the entry."""
        tracks, left_out, notes = conform(self._document, tracks)
        self._notes += notes
        media = self._media(tracks)
        planned = [lane for track in tracks for lane in _lanes(track, media)]
        placer = Placer(self._document)
        for lane in planned:
            self._go_on()
            self._write_track(placer, lane)
        self._disable([one for one in options.get("disable_clips") or [] if one not in left_out])
        self._mark(tracks)
        self._go_on()
        self._save()
        self._read_back()
        self._go_on()
        self._entry.end(WRITTEN)
        return {
            "tracks": [self._document.track_name(number) for number, _, _ in self._made],
            "output": str(self._document.timeline.GetName()),
            "notes": self._notes,
            "result": self._entry.result,
        }

    def _go_on(self) -> None:
        """Raises HostError when nobody waits any more: what nobody is told of, nobody can take away."""
        if self._given_up():
            raise HostError("Nobody waits for the stems any more.", "CANCELLED")

    def _media(self, tracks: list[dict[str, Any]]) -> dict[str, Placing]:
        """Of each stem clip, by clip and path, what can be placed: files imported, copies cut where frames ask for
        them. Nothing of this touches the timeline."""
        document, clips = self._document, [clip for track in tracks for clip in track["clips"]]
        stems = import_files(document, [clip["path"] for clip in clips])
        fits = [fit(document, clip, media_rate(document, stems[clip["path"]])) for clip in clips]
        for clip, wanted in zip(clips, fits):
            make_piece(clip["path"], wanted)
        media = import_files(document, [wanted.path for wanted in fits])
        return {_key(clip): Placing(clip, media[wanted.path], wanted) for clip, wanted in zip(clips, fits)}

    def _write_track(self, placer: Placer, lane: _Lane) -> None:
        self._entry.add_track(lane.name, placer.next_track())
        number = placer.add_track(lane.name, int(lane.track["channels"]))
        placed = []
        for placing in lane.placings:
            self._entry.begin_item(placing.fit.path)
            one = placer.place(placing, number)
            self._entry.name_item(str(one.item.GetUniqueId()))
            placed.append(one)
        self._made.append((number, lane.name, placed))
        if not lane.track["enabled"]:
            self._document.timeline.SetTrackEnable("audio", number, False)
            if self._document.timeline.GetIsTrackEnabled("audio", number):
                self._notes.append(f"Track {lane.name} could not be switched off; switch it off by hand.")

    def _disable(self, clip_ids: list[str]) -> None:
        """Single items of audio tracks, never a picture, never what was separated in part."""
        wanted = [ClipId.parse(clip_id) for clip_id in clip_ids]
        parts = sum(one.is_part for one in wanted)
        if parts:
            self._notes.append(
                f"{parts} clips were separated only between the marks and stay enabled; cut them at the marks and "
                "disable the middle by hand."
            )
        items = {
            str(placed.item.GetUniqueId()): placed
            for track in self._document.audio_tracks()
            for placed in self._document.items(track)
        }
        for one in wanted:
            if one.is_part:
                continue
            placed = items.get(one.item)
            if placed is None:
                self._notes.append("A clip that was separated is not on the timeline any more.")
                continue
            self._entry.add_replaced(one.item)
            if not placed.item.GetClipEnabled():
                continue  # the user's doing, or another write's: not ours to enable again
            self._entry.add_disabled(one.item)
            placed.item.SetClipEnabled(False)
            if placed.item.GetClipEnabled():
                self._notes.append(
                    f"{placed.item.GetName()} on A{placed.track} could not be disabled and sounds with its stems; "
                    "unlock the track and disable it by hand."
                )

    def _mark(self, tracks: list[dict[str, Any]]) -> None:
        """One marker with the record, at the first stem. Only one fits on a frame."""
        timeline, entry = self._document.timeline, self._entry
        record = {"result": entry.result, "journal": str(entry.path), "stems": _records(tracks)}
        data = json.dumps({METADATA_KEY: {"version": METADATA_VERSION, **record}})
        names = ", ".join(name for _, name, _ in self._made)
        first = int(min(placed[0].start for _, _, placed in self._made)) - self._document.zero
        entry.set_marker(data)
        for frame in range(first, first + _MARKER_TRIES):
            if timeline.AddMarker(frame, _MARKER_COLOUR, "Stemline", names, 1, data):
                break
        if not timeline.GetMarkerByCustomData(data):
            self._notes.append("No marker could be set.")

    def _save(self) -> None:
        project = self._document.project
        if project.GetName() == _NEVER_SAVED:  # saving it would ask for a name, or hang without a screen
            self._notes.append("The project has no name yet and was not saved.")
        elif not self._document.manager.SaveProject():
            self._notes.append("The project could not be saved; save it by hand.")

    def _read_back(self) -> None:
        """What Resolve shows before it is saved may be gone after."""
        for number, name, placed in self._made:
            there = {(one.start, one.end) for one in self._document.items(number)}
            lost = [one for one in placed if (one.start, one.end) not in there]
            if self._document.track_name(number) != name:
                self._notes.append(f"Track A{number} could not be named {name}.")
            if lost:
                raise HostError(
                    f"{len(lost)} stems were gone from track {name} after saving.",
                    "HOST_PROTOCOL",
                    "Press Apply again: the stems are finished.",
                )


def _lanes(track: dict[str, Any], media: dict[str, Placing]) -> list[_Lane]:
    """The tracks that one of the protocol needs: more than one where its clips share a frame."""
    placings = [media[_key(clip)] for clip in track["clips"]]
    spread = pack_lanes(placings, lambda one: (one.fit.first, one.fit.end))
    return [
        _Lane(track["name"] if not number else f"{track['name']} ({number + 1})", track, lane)
        for number, lane in enumerate(spread)
    ]


def _key(clip: dict[str, Any]) -> str:
    return f"{clip['clip_id']} {clip['path']}"


def _records(tracks: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Of every stem file its job and its sidecar."""
    found = {}
    for track in tracks:
        for clip in track["clips"]:
            job = str(clip["metadata"].get("job", ""))
            sidecar = str(clip["path"]).rpartition(".")[0] + ".json"
            found[clip["path"]] = {"stem": str(track["stem"]), "job": job, "sidecar": sidecar}
    return list(found.values())
