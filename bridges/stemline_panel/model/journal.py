# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for and what became of it, on disk: a panel that was killed finds its stems again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.clips import ClipRange
from stemline.errors import StemlineError
from stemline.hosts.wire import from_wire, to_wire
from stemline.workflow.record import write_json
from stemline_panel.model.queue import Applied, ItemState, QueueItem
from stemline_panel.model.request import RunRequest

_KEPT = 500
_WORTH_KEEPING = (ItemState.WAITING, ItemState.RUNNING, ItemState.INTERRUPTED, ItemState.DONE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One run. `files` are the stem files of a finished one; `applied` is what a host can still take back."""

    request: RunRequest
    files: tuple[str, ...] = ()
    applied: Applied | None = None
    asked_ns: int = 0

    @property
    def whole(self) -> bool:
        """Whether it was finished and all of its files are still there: running it again computes nothing."""
        return bool(self.files) and all(Path(file).is_file() for file in self.files)


class Journal:
    """A folder with one file for each run, named by what the run asks for.

    A panel writes only what it changed itself, so that several panels on the same clips do not disturb each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Entry] = {}

    def read(self, clips: Iterable[ClipRange]) -> list[Entry]:
        """The runs on any of these clips, oldest first. What cannot be read is passed over."""
        wanted = {(clip.clip_id, clip.source.path) for clip in clips}
        entries = []
        for path in self._newest():
            entry = _load(path, wanted)
            if entry is not None:
                self._known[path.stem] = entry
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.asked_ns)

    def news(self, request: RunRequest) -> Entry | None:
        """The run as another panel left it since this one last read or wrote it."""
        digest = request.digest
        entry = _load(self._path(digest))
        if entry is None or entry == self._known.get(digest):
            return None
        self._known[digest] = entry
        return entry

    def write(self, items: Iterable[QueueItem]) -> None:
        """Keeps the runs that are at work, interrupted or done, and deletes what the others left; auditions are not
        worth keeping.
        """
        entries: dict[str, Entry] = {}
        for item in items:
            if item.state in _WORTH_KEEPING and not item.request.audition:
                digest = item.request.digest
                if digest not in entries or entries[digest].applied is None:
                    entries[digest] = _entry_of(item)
        for digest in self._known.keys() - entries.keys():
            with contextlib.suppress(OSError):
                self._path(digest).unlink(missing_ok=True)
        on_disk: dict[str, Entry] = {}
        for digest, entry in entries.items():
            known = self._known.get(digest)
            if known == entry:
                on_disk[digest] = entry
                continue
            try:
                write_json(self._path(digest), to_wire(entry))
                on_disk[digest] = entry
            except StemlineError:  # without it a later panel finds less
                if known is not None:
                    on_disk[digest] = known
        self._known = on_disk

    def _newest(self) -> list[Path]:
        """The files of the folder; those beyond the newest few hundred are deleted."""
        found: list[tuple[int, Path]] = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        found.sort(reverse=True)
        for _, path in found[_KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        return [path for _, path in found[:_KEPT]]

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def _load(path: Path, wanted: Set[tuple[str, str]] | None = None) -> Entry | None:
    """What stands in a file; None for what cannot be read, and for runs on none of the `wanted` clips."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if wanted is not None and not wanted & _clips_of(data):
            return None
        return from_wire(Entry, data, "journal")
    except (OSError, ValueError, KeyError, TypeError, StemlineError):
        return None


def _clips_of(data: Any) -> set[tuple[str, str]]:
    return {(clip["clip_id"], clip["source"]["path"]) for clip in data["request"]["clips"]}


def _entry_of(item: QueueItem) -> Entry:
    files = item.outcome.files if item.outcome else ()
    return Entry(item.request, files, _in_a_host(item.applied), item.asked_ns)


def _in_a_host(applied: Applied | None) -> Applied | None:
    """Edits and stems in files can be written again; tracks in a host would be there twice."""
    return (
        Applied(applied.tracks, applied.output, applied.notes, applied.handle) if applied and applied.handle else None
    )
