"""What was written into which timeline, kept in a file of ours: so that it can be taken back, and so that a write that
was interrupted is known."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError, atomic_write

from .document import Document

WRITING, WRITTEN, REMOVED = "writing", "written", "removed"


class Left(NamedTuple):
    """What writes that were not taken back left on a timeline: ids of the `stems` they placed, and of the clips that
    they `disabled`."""

    stems: set[str]
    disabled: set[str]


class Entry:
    """One write. Every change is on disk before the next call into Resolve."""

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self._facts = facts

    @property
    def result(self) -> str:
        return str(self._facts["result"])

    @property
    def state(self) -> str:
        return str(self._facts["state"])

    @property
    def timeline_id(self) -> str:
        return str(self._facts["timeline"]["id"])

    @property
    def marker(self) -> str:
        return str(self._facts["marker"])

    @property
    def track_names(self) -> list[str]:
        return [str(track["name"]) for track in self._facts["tracks"]]

    @property
    def track_places(self) -> list[int]:
        """The numbers the tracks had when they were added."""
        return [int(track["number"]) for track in self._facts["tracks"]]

    @property
    def items(self) -> set[str]:
        """Ids of the items that were placed."""
        return {str(item["id"]) for track in self._facts["tracks"] for item in track["items"] if item["id"]}

    @property
    def paths(self) -> set[str]:
        """Files that were placed, or about to be."""
        return {str(item["path"]) for track in self._facts["tracks"] for item in track["items"]}

    @property
    def disabled(self) -> list[str]:
        """Ids of the items that were disabled."""
        return [str(item) for item in self._facts["disabled"]]

    @property
    def replaced(self) -> list[str]:
        """Ids of the items that the stems play in place of, whoever disabled them."""
        return [str(item) for item in self._facts.get("replaced", self._facts["disabled"])]

    def add_track(self, name: str, number: int) -> None:
        self._facts["tracks"].append({"name": name, "number": number, "items": []})
        self.save()

    def begin_item(self, path: str) -> None:
        """A file is about to be placed on the track added last."""
        self._facts["tracks"][-1]["items"].append({"id": "", "path": path})
        self.save()

    def name_item(self, item_id: str) -> None:
        """The item begun last is there."""
        self._facts["tracks"][-1]["items"][-1]["id"] = item_id
        self.save()

    def add_replaced(self, item_id: str) -> None:
        self._facts.setdefault("replaced", []).append(item_id)
        self.save()

    def add_disabled(self, item_id: str) -> None:
        if item_id not in self.disabled:
            self._facts["disabled"].append(item_id)
            self.save()

    def set_marker(self, custom_data: str) -> None:
        self._facts["marker"] = custom_data
        self.save()

    def end(self, state: str) -> None:
        self._facts["state"] = state
        self.save()

    def save(self) -> None:
        """Raises OSError."""
        atomic_write(self.path, json.dumps(self._facts), durable=True)


class Journal:
    """All entries, one file each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, document: Document, metadata: dict[str, Any]) -> Entry:
        """A new entry, on disk before anything is written. Raises HostError when it cannot be kept."""
        result = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"
        facts = {
            "version": 1,
            "result": result,
            "state": WRITING,
            "project": str(document.project.GetName()),
            "timeline": {"id": document.timeline_id, "name": str(document.timeline.GetName())},
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
        return next((entry for entry in self._entries() if entry.result == result), None)

    def others(self, entry: Entry) -> list[Entry]:
        """The other writes into its timeline that were not taken back."""
        return [other for other in self._standing(entry.timeline_id) if other.result != entry.result]

    def left_on(self, timeline_id: str) -> Left:
        entries = self._standing(timeline_id)
        return Left(
            {item for entry in entries for item in entry.items}, {item for entry in entries for item in entry.disabled}
        )

    def written(self) -> list[Entry]:
        """Writes that ended well and were not taken back."""
        return [entry for entry in self._entries() if entry.state == WRITTEN]

    def interrupted(self, timeline_id: str) -> list[Entry]:
        """Writes into this timeline that were begun and never ended."""
        return [entry for entry in self._entries() if entry.state == WRITING and entry.timeline_id == timeline_id]

    def _standing(self, timeline_id: str) -> list[Entry]:
        return [entry for entry in self._entries() if entry.timeline_id == timeline_id and entry.state != REMOVED]

    def _entries(self) -> Iterator[Entry]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                facts = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue  # not ours, or damaged: nothing can be done with it
            if isinstance(facts, dict) and facts.get("version") == 1:
                yield Entry(path, facts)
