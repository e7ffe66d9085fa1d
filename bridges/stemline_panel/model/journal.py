# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked for and what became of it, on disk: a panel that was killed finds its stems again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.clips import ClipRange
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import StemlineError
from stemline.files import write_json
from stemline_panel.model.queue import AppliedResult, ItemState, QueueItem
from stemline_panel.model.request import RunRequest

_KEPT = 500
_WORTH_KEEPING = (ItemState.WAITING, ItemState.RUNNING, ItemState.INTERRUPTED, ItemState.DONE)


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One run. `files` are the stem files of a finished one; `applied` is what a host can still take back."""

    request: RunRequest
    files: tuple[str, ...] = ()
    applied: AppliedResult | None = None
    asked_ns: int = 0

    @property
    def complete(self) -> bool:
        """Whether it was finished and all of its files are still there: running it again computes nothing."""
        return bool(self.files) and all(Path(file).is_file() for file in self.files)


Stamp = tuple[int, int, int]
"""What tells a file from what it was before: (mtime in ns, bytes, inode)."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A run as it was last adopted or written; `stamp` is that of its file when it was last looked at."""

    entry: JournalEntry
    stamp: Stamp | None = None


def journal_entries(items: Iterable[QueueItem]) -> dict[str, JournalEntry]:
    """By digest, the runs that are at work, interrupted or done, and those that a host can take back; auditions are not
    worth keeping.
    """
    entries: dict[str, JournalEntry] = {}
    for item in items:
        worth = item.state in _WORTH_KEEPING or item.applied is not None
        if worth and not item.request.audition and (item.digest not in entries or entries[item.digest].applied is None):
            entries[item.digest] = _entry_of(item)
    return entries


class Journal:
    """A folder with one file for each run, named by what the run asks for. It is read and written from one thread.

    A panel writes only what it changed itself, so that several panels on the same clips do not disturb each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}

    def read(self, clips: Iterable[ClipRange]) -> dict[str, JournalEntry]:
        """The runs on any of these clips by digest, oldest first. What cannot be read is passed over."""
        wanted = {(clip.clip_id, clip.source.path) for clip in clips}
        entries = {path.stem: _load(path, wanted) for path in self._newest()}
        found = {digest: entry for digest, entry in entries.items() if entry is not None}
        return dict(sorted(found.items(), key=lambda run: run[1].asked_ns))

    def adopt(self, entries: Mapping[str, JournalEntry]) -> None:
        """Runs that were read are this panel's now: to be written when they change, and to be deleted."""
        self._known |= {digest: _Known(entry) for digest, entry in entries.items()}

    def changed_by_others(self, digests: Iterable[str]) -> dict[str, JournalEntry]:
        """Those of these runs that another panel left otherwise since this one last looked. `adopt` what is taken over
        of them; the rest is this panel's to write."""
        changed = {}
        for digest in digests:
            known, stamp = self._known.get(digest), _stamp(self._path(digest))
            if known is None or stamp is None or known.stamp == stamp:
                continue
            entry = _load(self._path(digest))
            if entry is not None:
                self._known[digest] = _Known(known.entry, stamp)
                if entry != known.entry:
                    changed[digest] = entry
        return changed

    def write(self, entries: Mapping[str, JournalEntry]) -> None:
        """Keeps these, and deletes what others were kept by this panel."""
        for digest in self._known.keys() - entries.keys():
            with contextlib.suppress(OSError):
                self._path(digest).unlink(missing_ok=True)
        on_disk: dict[str, _Known] = {}
        for digest, entry in entries.items():
            known = self._known.get(digest)
            if known is not None and known.entry == entry:
                on_disk[digest] = known
                continue
            try:
                write_json(self._path(digest), to_wire(entry))
                on_disk[digest] = _Known(entry)
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


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def _load(path: Path, wanted: Set[tuple[str, str]] | None = None) -> JournalEntry | None:
    """What stands in a file; None for what cannot be read, and for runs on none of the `wanted` clips."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if wanted is not None and not wanted & _clips_of(data):
            return None
        return from_wire(JournalEntry, data, "journal")
    except (OSError, ValueError, KeyError, TypeError, StemlineError):
        return None


def _clips_of(data: Any) -> set[tuple[str, str]]:
    return {(clip["clip_id"], clip["source"]["path"]) for clip in data["request"]["clips"]}


def _entry_of(item: QueueItem) -> JournalEntry:
    files = item.outcome.files if item.outcome else ()
    return JournalEntry(item.request, files, _in_a_host(item.applied), item.asked_ns)


def _in_a_host(applied: AppliedResult | None) -> AppliedResult | None:
    """Edits and stems in files can be written again; tracks in a host would be there twice."""
    return (
        AppliedResult(applied.tracks, applied.output, applied.notes, applied.handle)
        if applied and applied.handle
        else None
    )
