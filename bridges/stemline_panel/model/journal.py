# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for and what became of it, on disk: a panel that was killed finds its stems again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from stemline.clips import ClipRange
from stemline.errors import StemlineError
from stemline.hosts.wire import from_wire, to_wire
from stemline.workflow.record import write_json
from stemline_panel.model.queue import Applied, ItemState, QueueItem
from stemline_panel.model.request import RunRequest

_KEPT = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """One run. `files` are the stem files of a finished one; `applied` is what a host can still take back."""

    request: RunRequest
    files: tuple[str, ...] = ()
    applied: Applied | None = None

    @property
    def whole(self) -> bool:
        """Whether it was finished and all of its files are still there: running it again computes nothing."""
        return bool(self.files) and all(Path(file).is_file() for file in self.files)


class Journal:
    """A folder with one file for each set of clips, so that several panels do not disturb each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, clips: Iterable[ClipRange]) -> list[Entry]:
        """The runs on these clips, oldest first. What cannot be read is passed over."""
        try:
            stored = json.loads(self._path(clips).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        entries = []
        for data in stored if isinstance(stored, list) else []:
            try:
                entries.append(from_wire(Entry, data, "journal"))
            except StemlineError:
                continue
        return entries

    def write(self, clips: Iterable[ClipRange], items: Iterable[QueueItem]) -> None:
        """Keeps the items that are at work, interrupted or done; auditions are not worth keeping."""
        kept = (ItemState.WAITING, ItemState.RUNNING, ItemState.INTERRUPTED, ItemState.DONE)
        entries = [
            Entry(item.request, item.outcome.files if item.outcome else (), _in_a_host(item.applied))
            for item in items
            if item.state in kept and not item.request.audition
        ]
        try:
            write_json(self._path(clips), to_wire(entries[-_KEPT:]))
        except StemlineError:
            return

    def _path(self, clips: Iterable[ClipRange]) -> Path:
        known = sorted((clip.source.path, clip.source.stream, clip.clip_id) for clip in clips)
        return self._folder / f"{hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]}.json"


def _in_a_host(applied: Applied | None) -> Applied | None:
    """Edits and stems in files can be written again; tracks in a host would be there twice."""
    return (
        Applied(applied.tracks, applied.output, applied.notes, applied.handle) if applied and applied.handle else None
    )
