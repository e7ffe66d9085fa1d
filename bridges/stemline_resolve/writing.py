"""`write_tracks`: place all of the stems, or none and raise an error that says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from stemline_bridge import HostError
from stemline_bridge.constants import METADATA_KEY, METADATA_VERSION
from stemline_bridge.journal import WRITTEN, Entry
from stemline_bridge.timeline import pack_lanes

from .conforming import conform
from .document import OpenTimeline, PlacedItem
from .earlier import hand_over, make_room, place_of
from .fitting import fit, make_piece
from .media_bin import import_files
from .placing import Placer, Placing, track_type
from .reading import ClipId
from .sources import media_rate

_NEVER_SAVED = "Untitled Project"
_MARKER_COLOUR = "Mint"
_MARKER_TRIES = 50


class _Lane(NamedTuple):
    """A track to be added: some of the stems of a track of the protocol."""

    name: str
    track: dict[str, Any]
    placings: list[Placing]


class TrackWriter:
    """One write into one timeline, recorded in `entry` step by step."""

    def __init__(
        self, document: OpenTimeline, entry: Entry, others: Sequence[Entry], given_up: Callable[[], bool]
    ) -> None:
        """Prepare a write that `entry` records. `others` are the other writes into the timeline."""
        self._document = document
        self._entry = entry
        self._others = [other for other in others if other.state == WRITTEN]
        self._originals: dict[str, PlacedItem] = {}
        self._given_up = given_up
        self._notes: list[str] = []
        self._made: list[tuple[int, str, list[PlacedItem]]] = []

    def write(self, tracks: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of `write_tracks`. Raises HostError; the entry then says what is on the timeline."""
        tracks, skipped, notes = conform(self._document, tracks)
        self._notes += notes
        media = self._media(tracks)
        planned = [lane for track in tracks for lane in _lanes(track, media)]
        self._originals = self._document.items_by_id()
        self._notes += make_room(self._document, self._entry, tracks, self._others)
        placer = Placer(self._document)
        for lane in planned:
            self._go_on()
            self._write_track(placer, lane)
        self._disable([one for one in options.get("disable_clips") or [] if one not in skipped])
        self._mark(tracks)
        self._go_on()
        self._save()
        self._read_back()
        self._go_on()
        self._entry.end(WRITTEN)
        self._hand_over()
        return {
            "tracks": [self._document.track_name(number) for number, _, _ in self._made],
            "output": str(self._document.timeline.GetName()),
            "notes": self._notes,
            "result": self._entry.result,
        }

    def _go_on(self) -> None:
        """Raise HostError when the companion no longer waits: the panel could not take the result back."""
        if self._given_up():
            raise HostError("The panel no longer waits for the stems.", "CANCELLED")

    def _media(self, tracks: list[dict[str, Any]]) -> dict[str, Placing]:
        """Return what can be placed of each stem clip, by clip and path.

        Files are imported, and copies are cut where frames need them. Nothing of this touches the timeline.
        """
        document, clips = self._document, [clip for track in tracks for clip in track["clips"]]
        stems = import_files(document, [clip["path"] for clip in clips])
        fits = [fit(document, clip, media_rate(document, stems[clip["path"]])) for clip in clips]
        for clip, wanted in zip(clips, fits):
            make_piece(clip["path"], wanted)
        media = import_files(document, [wanted.path for wanted in fits])
        return {_key(clip): Placing(clip, media[wanted.path], wanted) for clip, wanted in zip(clips, fits)}

    def _write_track(self, placer: Placer, lane: _Lane) -> None:
        shared, enabled = self._shared_track(lane), bool(lane.track["enabled"])
        number = shared or placer.next_track()
        self._entry.add_track(lane.name, number, enabled=enabled, shared=shared is not None)
        if shared is not None:
            placer.use_track(number)
        else:
            number = placer.add_track(lane.name, int(lane.track["channels"]))
        placed: list[PlacedItem] = []
        self._made.append((number, lane.name, placed))
        for placing in lane.placings:
            self._entry.begin_item(placing.fit.path, str(placing.clip["clip_id"]))
            one = placer.place(placing, number)
            left = self._document.position(one.item, "GetLeftOffset")
            original = self._originals.get(ClipId.parse(placing.clip["clip_id"]).item)
            self._entry.name_item(str(one.item.GetUniqueId()), place_of(placing, one, left, original))
            placed.append(one)
        if shared is None and not enabled:
            self._document.timeline.SetTrackEnable("audio", number, False)
            if self._document.timeline.GetIsTrackEnabled("audio", number):
                self._notes.append(f"Track {lane.name} could not be switched off; switch it off by hand.")

    def _shared_track(self, lane: _Lane) -> int | None:
        """Return the track of an earlier write that has room for a lane, or None.

        It has the lane's name, channels and state. A track that the user switched on or off since counts as it was.
        """
        timeline, enabled = self._document.timeline, bool(lane.track["enabled"])
        states = {other.track_states[lane.name] for other in self._others if lane.name in other.track_states}
        used = {number for number, _, _ in self._made}
        for number in self._document.audio_tracks():
            if (
                states
                and number not in used
                and self._document.track_name(number) == lane.name
                and str(timeline.GetTrackSubType("audio", number)).lower() == track_type(int(lane.track["channels"]))
                and (states == {enabled} or bool(timeline.GetIsTrackEnabled("audio", number)) == enabled)
                and not timeline.GetIsTrackLocked("audio", number)
                and self._has_room(number, lane)
            ):
                return number
        return None

    def _has_room(self, number: int, lane: _Lane) -> bool:
        busy = [(one.start, one.end) for one in self._document.items(number)]
        return not any(
            start < placing.fit.end and placing.fit.first < end for start, end in busy for placing in lane.placings
        )

    def _hand_over(self) -> None:
        try:
            self._notes += hand_over(self._document, self._entry, self._others)
        except HostError as failure:  # the new stems are complete
            self._notes.append(f"The record of the replaced stems could not be updated: {failure}")

    def _disable(self, clip_ids: list[str]) -> None:
        """Disable single items of audio tracks, never a picture and never a clip that was separated in part."""
        wanted = [ClipId.parse(clip_id) for clip_id in clip_ids]
        parts = sum(one.is_part for one in wanted)
        if parts:
            self._notes.append(
                f"Clips separated only between the marks stay enabled ({parts}); cut them at the marks and "
                "disable the middle by hand."
            )
        items = self._document.items_by_id()
        for one in wanted:
            if one.is_part:
                continue
            placed = items.get(one.item)
            if placed is None:
                self._notes.append("A separated clip is no longer on the timeline.")
                continue
            self._entry.add_replaced(one.item)
            if not placed.item.GetClipEnabled():
                continue  # by the user or another write, so this one must not enable it again
            self._entry.add_disabled(one.item)
            placed.item.SetClipEnabled(False)
            if placed.item.GetClipEnabled():
                self._notes.append(
                    f"{placed.item.GetName()} on A{placed.track} could not be disabled and plays together with its "
                    "stems; unlock the track and disable it by hand."
                )

    def _mark(self, tracks: list[dict[str, Any]]) -> None:
        """Set one marker with the record at the first stem. A frame takes only one marker."""
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
            self._notes.append("The marker could not be set.")

    def _save(self) -> None:
        project = self._document.project
        if project.GetName() == _NEVER_SAVED:  # saving would ask for a name, or hang without a screen
            self._notes.append("The project has no name yet, so it was not saved.")
        elif not self._document.manager.SaveProject():
            self._notes.append("The project could not be saved; save it by hand.")

    def _read_back(self) -> None:
        """Check the items again: what Resolve shows before saving may be gone afterwards."""
        for number, name, placed in self._made:
            there = {(one.start, one.end) for one in self._document.items(number)}
            lost = [one for one in placed if (one.start, one.end) not in there]
            if self._document.track_name(number) != name:
                self._notes.append(f"Track A{number} could not be named {name}.")
            if lost:
                raise HostError(
                    f"{len(lost)} {'stem' if len(lost) == 1 else 'stems'} disappeared from track {name} after saving.",
                    "HOST_FAILED",
                    "Press Apply again: the stems are finished.",
                )


def _lanes(track: dict[str, Any], media: dict[str, Placing]) -> list[_Lane]:
    """Return the tracks that one of the protocol needs: more than one where its clips share a frame."""
    placings = [media[_key(clip)] for clip in track["clips"]]
    spread = pack_lanes(placings, lambda one: (one.fit.first, one.fit.end))
    return [
        _Lane(track["name"] if not number else f"{track['name']} ({number + 1})", track, lane)
        for number, lane in enumerate(spread)
    ]


def _key(clip: dict[str, Any]) -> str:
    return f"{clip['clip_id']} {clip['path']}"


def _records(tracks: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the job and the sidecar of every stem file."""
    found = {}
    for track in tracks:
        for clip in track["clips"]:
            job = str(clip["metadata"].get("job", ""))
            sidecar = str(clip["path"]).rpartition(".")[0] + ".json"
            found[clip["path"]] = {"stem": str(track["stem"]), "job": job, "sidecar": sidecar}
    return list(found.values())
