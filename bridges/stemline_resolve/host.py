"""The host's side of docs/host-protocol.md: the methods that the companion calls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError, HostPeer, from_exact, numbered, to_exact
from stemline_bridge.journal import Entry, WriteJournal

from .api import Api, with_more
from .document import OpenTimeline, open_document
from .earlier import stems_on
from .reading import ClipId, ClipReader
from .removing import removable, take_back
from .rendering import Stretch, render
from .selection import track_label
from .writing import TrackWriter


class BridgeSettings(NamedTuple):
    """Settings of the bridge.

    `folder` holds the journal and what Resolve renders. `duplicate_first` copies the timeline before every write.
    """

    folder: Path
    duplicate_first: bool = False


class ResolveHost:
    """Answers for the open timeline, or for the timeline that was read."""

    def __init__(self, api: Api, settings: BridgeSettings) -> None:
        """Answer through `api`."""
        self._api = api
        self._settings = settings
        self._given_up: Callable[[], bool] = lambda: False
        self._journal = WriteJournal(settings.folder / "written")

    def listen_to(self, peer: HostPeer) -> None:
        """Stop long work when `peer` no longer waits for its answer."""
        self._given_up = peer.given_up

    def capabilities(self) -> dict[str, Any]:
        """Return how the host introduces itself. Raises HostError."""
        resolve = self._api.resolve()
        return {
            "name": str(resolve.GetProductName()),
            "version": str(resolve.GetVersionString()),
            "writes_tracks": True,
            "disables_clips": True,
            "carries_metadata": True,
            "renders_ranges": True,
            "removes_results": True,
            "removes_clips": True,
        }

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        """Return the methods by name."""
        return {
            "read_clips": self.read_clips,
            "write_tracks": self.write_tracks,
            "render_range": self.render_range,
            "remove_result": self.remove_result,
            "remove_clips": self.remove_clips,
        }

    def read_clips(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the chosen clips of the open timeline. Raises HostError."""
        document = open_document(self._api)
        remains = self._journal.remains_on(document.timeline_id)
        reading = ClipReader(document, self._settings.folder / "rendered", remains, self._given_up)
        answer = reading.answer(params["selection"])
        answer["warnings"] = [
            f"An earlier write was interrupted; tracks {', '.join(entry.track_names)} may be incomplete. The next "
            "Apply removes them."
            for entry in self._journal.interrupted(document.timeline_id)
            if entry.track_names
        ]
        answer["results"] = removable(document, self._journal.written())
        stems = stems_on(document, self._journal.standing(document.timeline_id))
        answer["applied"] = sorted({stem.facts.clip for stem in stems if stem.facts.clip})
        return answer

    def write_tracks(self, params: dict[str, Any]) -> dict[str, Any]:
        """Add all the tracks, or none and raise HostError."""
        tracks, options = params["tracks"], params["options"]
        ids = {ClipId.parse(clip["clip_id"]).timeline for track in tracks for clip in track["clips"]}
        if len(ids) != 1:
            raise HostError("The stems belong to more than one timeline.", "HOST_PROTOCOL", "Read the clips again.")
        with _Opened(self._api, ids.pop()) as document:
            notes = self._clear_interrupted(document)
            if self._settings.duplicate_first:
                notes += _duplicate(document)
            entry = self._journal.begin(
                str(document.project.GetName()),
                document.timeline_id,
                str(document.timeline.GetName()),
                options.get("metadata") or {},
            )
            with ExitStack() as whole_or_nothing:
                whole_or_nothing.push(partial(self._undo, entry))
                writer = TrackWriter(document, entry, self._journal.others(entry), self._given_up)
                answer = writer.write(tracks, options)
            answer["notes"] = notes + answer["notes"]
            return answer

    def render_range(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return a file that Resolve rendered from a range. Raises HostError."""
        record = {side: from_exact(params["record_range"][side]) for side in ("start", "end")}
        clip_id = str(params.get("clip_id") or "")
        wanted = ClipId.parse(clip_id) if clip_id else None
        with _Opened(self._api, wanted.timeline if wanted else "") as document:
            tracks = _tracks(document, wanted, params.get("tracks") or [])
            clips = [wanted.item] if wanted else []
            stretch = Stretch(tracks, document.frame(record["start"]), document.frame(record["end"]), clips)
            rendered = render(document, stretch, Path(params["folder"]), "range", self._given_up)
            length = record["end"] - record["start"]
            return {
                "clip_id": clip_id or f"{document.timeline_id}/range/part",
                "name": str(document.timeline.GetName()),
                "track": "+".join(map(track_label, tracks)),
                "source": {"path": str(rendered.path)},
                "source_range": {"start": to_exact(rendered.start), "end": to_exact(rendered.start + length)},
                "record_range": params["record_range"],
                "frame_rate": to_exact(document.rate),
                "notes": rendered.notes,
            }

    def remove_result(self, params: dict[str, Any]) -> dict[str, Any]:
        """Take back what a write added. Raises HostError."""
        entry = self._journal.find(str(params["result"]))
        if entry is None:
            raise HostError("There is no record of this result.", "JOB_UNKNOWN", "Delete its tracks by hand.")
        with _Opened(self._api, entry.timeline_id) as document:
            return {"notes": self._take_back(document, entry)}

    def remove_clips(self, params: dict[str, Any]) -> dict[str, Any]:
        """Take back the stems of some clips, whichever writes placed them. Raises HostError."""
        wanted: dict[str, set[str]] = {}
        for clip_id in map(ClipId.parse, params["clip_ids"]):
            wanted.setdefault(clip_id.timeline, set()).add(clip_id.item)
        notes: list[str] = []
        for timeline_id, items in wanted.items():
            with _Opened(self._api, timeline_id) as document:
                for entry in self._journal.standing(timeline_id):
                    if any(item.clip and ClipId.parse(item.clip).item in items for item in entry.placed):
                        notes += take_back(document, entry, self._journal.others(entry), items)
        return {"notes": notes}

    def _clear_interrupted(self, document: OpenTimeline) -> list[str]:
        notes = []
        for entry in self._journal.interrupted(document.timeline_id):
            left = self._take_back(document, entry)
            notes += left or ["The incomplete tracks of an interrupted write were removed."]
        return notes

    def _take_back(self, document: OpenTimeline, entry: Entry) -> list[str]:
        return take_back(document, entry, self._journal.others(entry))

    def _undo(self, entry: Entry, kind: object, failure: BaseException | None, trace: object) -> None:
        """Take back a write that failed, and raise HostError with its failure and the state of the timeline.

        Resolve's objects are fetched again: the failure may have ended the connection.
        """
        if not isinstance(failure, Exception):
            return
        try:
            with _Opened(self._api, entry.timeline_id) as document:
                left = self._take_back(document, entry)
        except (HostError, OSError) as second:
            names = ", ".join(entry.track_names) or "none yet"
            left = [f"An incomplete result is still there (tracks: {names}; {second}); the next Apply removes it."]
        state = " ".join(left) if left else "The timeline is as it was."
        raise with_more(failure, state) from failure


class _Opened:
    """A timeline of the open project, kept current while it is worked on.

    Afterwards the user's own timeline is current again. An empty id accepts whichever is open.
    """

    def __init__(self, api: Api, timeline_id: str) -> None:
        self._api = api
        self._wanted = timeline_id
        self._before = ""

    def __enter__(self) -> OpenTimeline:
        """Make the timeline current. Raises HostError when the open project has no such timeline."""
        document = open_document(self._api)
        if self._wanted in ("", document.timeline_id):
            return document
        self._before = document.timeline_id
        if _show(document, self._wanted):
            return open_document(self._api)
        raise HostError(
            "The timeline of the stems is not in the open project.",
            "EDIT_UNREADABLE",
            "Open its project and press Apply again: the stems are finished.",
        )

    def __exit__(self, *failure: object) -> None:
        if self._before:
            with suppress(HostError):  # the failure inside matters more
                _show(open_document(self._api), self._before)


def _show(document: OpenTimeline, timeline_id: str) -> bool:
    """Make a timeline of the open project current. Returns False when the project has no such timeline."""
    project = document.project
    for number in range(1, int(project.GetTimelineCount() or 0) + 1):
        timeline = project.GetTimelineByIndex(number)
        if timeline is not None and timeline.GetUniqueId() == timeline_id:
            project.SetCurrentTimeline(timeline)
            now = project.GetCurrentTimeline()
            return now is not None and bool(now.GetUniqueId() == timeline_id)
    return False


def _tracks(document: OpenTimeline, wanted: ClipId | None, names: list[str]) -> list[int]:
    """Return the audio tracks that are to sound. Raises HostError."""
    for track in document.audio_tracks():
        for placed in document.items(track) if wanted is not None else ():
            if wanted is not None and placed.item.GetUniqueId() == wanted.item:
                return [track]
    if wanted is not None:
        raise HostError("The clip is no longer on the timeline.", "EDIT_UNREADABLE", "Read the clips again.")
    return [track for track in document.audio_tracks() if not names or track_label(track) in names]


def _duplicate(document: OpenTimeline) -> list[str]:
    project, usual = document.project, f"{document.timeline.GetName()} before Stemline"
    timelines = [project.GetTimelineByIndex(index) for index in range(1, int(project.GetTimelineCount() or 0) + 1)]
    taken = {str(timeline.GetName()) for timeline in timelines if timeline is not None}
    name = next(name for name in numbered(usual, " ") if name not in taken)
    copy = document.timeline.DuplicateTimeline(name)
    if not _show(document, document.timeline_id):
        raise HostError(
            f"Resolve stays in the copy {name!r} of the timeline.",
            "HOST_FAILED",
            "Open the timeline of the stems, then press Apply again: the stems are finished.",
        )
    return [] if copy is not None else ["The timeline could not be copied before the write."]
