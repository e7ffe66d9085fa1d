"""A record on disk of every write into a timeline, so that it can be taken back, even when interrupted."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .files import atomic_write, read_json_object
from .jsonrpc import HostError

WRITING, WRITTEN, REMOVED = "writing", "written", "removed"


class Remains(NamedTuple):
    """What earlier writes left on a timeline: ids of the `stems` they placed and of the clips they `disabled`."""

    stems: set[str]
    disabled: set[str]


class PlacedFacts(NamedTuple):
    """An item that a write placed.

    `clip` is the id of the clip whose stem it is and `place` where it was put, in the host's own terms; both are empty
    in entries of earlier versions.
    """

    item_id: str
    track: str
    path: str
    clip: str
    place: dict[str, str]


class Entry:
    """One write. Every change is on disk before the host's next step."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        """Take the facts of an entry that is saved at `path`."""
        self.path = path
        self._facts = facts

    @property
    def result(self) -> str:
        """The handle of the result."""
        return str(self._facts["result"])

    @property
    def state(self) -> str:
        """WRITING, WRITTEN or REMOVED."""
        return str(self._facts["state"])

    @property
    def timeline_id(self) -> str:
        """The id of the timeline."""
        return str(self._facts["timeline"]["id"])

    @property
    def marker(self) -> str:
        """The custom data of its marker."""
        return str(self._facts["marker"])

    @property
    def track_names(self) -> list[str]:
        """The names of the tracks it placed items on."""
        return [str(track["name"]) for track in self._facts["tracks"]]

    @property
    def track_places(self) -> list[int]:
        """The numbers of the tracks that it added, as they were then."""
        return [int(track["number"]) for track in self._facts["tracks"] if not track.get("shared")]

    @property
    def track_states(self) -> dict[str, bool]:
        """Whether its tracks were switched on when they were added, by name."""
        return {str(track["name"]): bool(track.get("enabled", True)) for track in self._facts["tracks"]}

    @property
    def placed(self) -> list[PlacedFacts]:
        """The items it placed, as far as they have ids."""
        return [
            PlacedFacts(
                str(item["id"]),
                str(track["name"]),
                str(item["path"]),
                str(item.get("clip", "")),
                dict(item.get("place") or {}),
            )
            for track in self._facts["tracks"]
            for item in track["items"]
            if item["id"]
        ]

    @property
    def items(self) -> set[str]:
        """The ids of the items it placed."""
        return {item.item_id for item in self.placed}

    @property
    def paths(self) -> set[str]:
        """The files it placed, or was about to place."""
        return {str(item["path"]) for track in self._facts["tracks"] for item in track["items"]}

    @property
    def displaced(self) -> list[dict[str, Any]]:
        """The items of earlier writes that it deleted for its own: what is needed to place them again."""
        return list(self._facts.get("displaced", []))

    @property
    def disabled(self) -> list[str]:
        """The ids of the items it disabled."""
        return [str(item) for item in self._facts["disabled"]]

    @property
    def replaced(self) -> list[str]:
        """The ids of the items whose place the stems take, whether this write disabled them or not."""
        return [str(item) for item in self._facts.get("replaced", self._facts["disabled"])]

    def add_track(self, name: str, number: int, *, enabled: bool = True, shared: bool = False) -> None:
        """Record a track before it is added; a `shared` one was added by an earlier write."""
        self._facts["tracks"].append(
            {"name": name, "number": number, "enabled": enabled, "shared": shared, "items": []}
        )
        self.save()

    def begin_item(self, path: str, clip_id: str = "") -> None:
        """Record a file of a clip before it is placed on the track that was added last."""
        self._facts["tracks"][-1]["items"].append({"id": "", "path": path, "clip": clip_id})
        self.save()

    def name_item(self, item_id: str, place: dict[str, str] | None = None) -> None:
        """Record the id and the place of the item that was begun last."""
        self._facts["tracks"][-1]["items"][-1].update(id=item_id, place=place or {})
        self.save()

    def add_displaced(self, items: list[dict[str, Any]]) -> None:
        """Record items of earlier writes before they are deleted."""
        self._facts.setdefault("displaced", []).extend(items)
        self.save()

    def drop_items(self, ids: set[str]) -> None:
        """Forget items that are not on the timeline any more."""
        for track in self._facts["tracks"]:
            track["items"] = [item for item in track["items"] if item["id"] not in ids]
        self.save()

    def rename_item(self, old_id: str, new_id: str) -> None:
        """Record the id of an item that was placed again."""
        for track in self._facts["tracks"]:
            for item in track["items"]:
                if item["id"] == old_id:
                    item["id"] = new_id
        self.save()

    def drop_disabled(self, ids: set[str]) -> None:
        """Forget clips that the stems of this write do not replace any more."""
        for name in ("disabled", "replaced"):
            self._facts[name] = [item for item in self._facts.get(name, []) if item not in ids]
        self.save()

    def add_replaced(self, item_id: str) -> None:
        """Record an item whose place the stems take."""
        self._facts.setdefault("replaced", []).append(item_id)
        self.save()

    def add_disabled(self, item_id: str) -> None:
        """Record an item before it is disabled."""
        if item_id not in self.disabled:
            self._facts["disabled"].append(item_id)
            self.save()

    def set_marker(self, custom_data: str) -> None:
        """Record the marker before it is set."""
        self._facts["marker"] = custom_data
        self.save()

    def end(self, state: str) -> None:
        """Record the final state."""
        self._facts["state"] = state
        self.save()

    def save(self) -> None:
        """Write the entry to disk. Raises OSError."""
        atomic_write(self.path, json.dumps(self._facts), durable=True)


class WriteJournal:
    """All entries, one file each in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made with the first entry."""
        self._folder = folder

    def begin(self, project: str, timeline_id: str, timeline: str, metadata: dict[str, Any]) -> Entry:
        """Return a new entry, on disk before anything is written. Raises HostError when it cannot be saved."""
        result = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        facts = {
            "version": 1,
            "result": result,
            "state": WRITING,
            "project": project,
            "timeline": {"id": timeline_id, "name": timeline},
            "tracks": [],
            "disabled": [],
            "replaced": [],
            "marker": "",
            "metadata": metadata,
        }
        entry = Entry(self._folder / f"{result}.json", facts)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            entry.save()
        except OSError as failure:
            raise HostError(
                f"{self._folder} cannot be written ({failure.strerror}).", "OUTPUT_UNWRITABLE", "Make room there."
            ) from failure
        return entry

    def find(self, result: str) -> Entry | None:
        """Return the entry of a result, or None."""
        return next((entry for entry in self._entries() if entry.result == result), None)

    def others(self, entry: Entry) -> list[Entry]:
        """Return the other writes into the entry's timeline that were not taken back."""
        return [other for other in self.standing(entry.timeline_id) if other.result != entry.result]

    def remains_on(self, timeline_id: str) -> Remains:
        """Return what writes that were not taken back left on a timeline."""
        entries = self.standing(timeline_id)
        return Remains(
            {item for entry in entries for item in entry.items}, {item for entry in entries for item in entry.disabled}
        )

    def written(self) -> list[Entry]:
        """Return the writes that ended well and were not taken back."""
        return [entry for entry in self._entries() if entry.state == WRITTEN]

    def standing(self, timeline_id: str) -> list[Entry]:
        """Return the writes into a timeline that were not taken back."""
        return [entry for entry in self._entries() if entry.timeline_id == timeline_id and entry.state != REMOVED]

    def interrupted(self, timeline_id: str) -> list[Entry]:
        """Return the writes into this timeline that began and never ended."""
        return [entry for entry in self._entries() if entry.state == WRITING and entry.timeline_id == timeline_id]

    def _entries(self) -> Iterator[Entry]:
        for path in sorted(self._folder.glob("*.json")):
            facts = read_json_object(path)
            if facts is not None and facts.get("version") == 1:
                yield Entry(path, facts)
