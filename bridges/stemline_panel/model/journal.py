# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: runs and their state on disk, so that a later panel finds the stems of one that was killed."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemline.clips import ClipRange
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import StemlineError
from stemline.files import write_json
from stemline_bridge import read_json_object
from stemline_panel.model.queue import AppliedResult, ItemState, QueueItem
from stemline_panel.model.request import RunRequest

_MAX_FILES = 500
_MAX_BYTES = 1 << 30  # of a run: 12 kB of waveforms for each clip
_RECORDED = (ItemState.WAITING, ItemState.RUNNING, ItemState.INTERRUPTED, ItemState.DONE)

Stamp = tuple[int, int, int]
"""Identifies the content of a file: (mtime in ns, size in bytes, inode)."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One run. `files` are the stem files of a finished run; `applied` is what a host can still take back.

    `amounts` has the gain in dB of each sound in the remix, None for one that is off.
    """

    request: RunRequest
    files: tuple[str, ...] = ()
    applied: AppliedResult | None = None
    asked_ns: int = 0
    amounts: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def amounts_db(self) -> dict[str, float]:
        """The gains of the remix, minus infinity for a sound that is off."""
        return {name: -math.inf if gain_db is None else gain_db for name, gain_db in self.amounts.items()}

    @property
    def complete(self) -> bool:
        """Whether the run finished and all of its files exist, so that running it again computes nothing."""
        return bool(self.files) and all(Path(file).is_file() for file in self.files)


@dataclass(frozen=True, slots=True)
class _KnownEntry:
    """A run as it was last adopted or written, with the stamp of its file when that was last read."""

    entry: JournalEntry
    stamp: Stamp | None = None


def journal_entries(items: Iterable[QueueItem]) -> dict[str, JournalEntry]:
    """Return the entries of all runs worth recording, by digest.

    These are runs that wait, run, were interrupted or are done, and those that a host can take back. Auditions are left
    out.
    """
    entries: dict[str, JournalEntry] = {}
    for item in items:
        worth = item.state in _RECORDED or item.applied is not None
        if worth and not item.request.audition and (item.digest not in entries or entries[item.digest].applied is None):
            entries[item.digest] = _entry_of(item)
    return entries


class Journal:
    """A folder with one JSON file for each run, named by the digest of its request. Used from one thread.

    A panel writes only what it changed itself, so that several panels on the same clips don't disturb each other.
    """

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which need not exist yet."""
        self._folder = folder
        self._known: dict[str, _KnownEntry] = {}

    def read(self, clips: Iterable[ClipRange]) -> dict[str, JournalEntry]:
        """Return the runs on any of these clips by digest, oldest first. Unreadable files are ignored."""
        wanted = {(clip.clip_id, clip.source.path) for clip in clips}
        entries = {path.stem: _load(path, wanted) for path in self._newest()}
        found = {digest: entry for digest, entry in entries.items() if entry is not None}
        return dict(sorted(found.items(), key=lambda run: run[1].asked_ns))

    def adopt(self, entries: Mapping[str, JournalEntry]) -> None:
        """Treat runs that were read as this panel's: `write` updates and deletes them from now on."""
        self._known |= {digest: _KnownEntry(entry) for digest, entry in entries.items()}

    def changed_by_others(self, digests: Iterable[str]) -> dict[str, JournalEntry]:
        """Return those of these runs that another panel changed since the last look.

        Adopt those that are taken over; the others are this panel's to write.
        """
        changed = {}
        for digest in digests:
            known, stamp = self._known.get(digest), _stamp(self._path(digest))
            if known is None or stamp is None or known.stamp == stamp:
                continue
            entry = _load(self._path(digest))
            if entry is not None:
                self._known[digest] = _KnownEntry(known.entry, stamp)
                if entry != known.entry:
                    changed[digest] = entry
        return changed

    def write(self, entries: Mapping[str, JournalEntry]) -> None:
        """Save these runs and delete the files of this panel's other runs. Write errors are ignored."""
        for digest in self._known.keys() - entries.keys():
            with contextlib.suppress(OSError):
                self._path(digest).unlink(missing_ok=True)
        on_disk: dict[str, _KnownEntry] = {}
        for digest, entry in entries.items():
            known = self._known.get(digest)
            if known is not None and known.entry == entry:
                on_disk[digest] = known
                continue
            try:
                write_json(self._path(digest), to_wire(entry))
                on_disk[digest] = _KnownEntry(entry)
            except StemlineError:
                if known is not None:
                    on_disk[digest] = known
        self._known = on_disk

    def _newest(self) -> list[Path]:
        """Return the newest files of the folder, and delete older ones."""
        found: list[tuple[int, Path]] = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(OSError):
                found.append((path.stat().st_mtime_ns, path))
        found.sort(reverse=True)
        for _, path in found[_MAX_FILES:]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        return [path for _, path in found[:_MAX_FILES]]

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest}.json"


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def _load(path: Path, wanted: Set[tuple[str, str]] | None = None) -> JournalEntry | None:
    """Return the entry in a file; None if it is unreadable or about none of the `wanted` (clip id, media path)."""
    data = read_json_object(path, _MAX_BYTES)
    try:
        if wanted is not None and not wanted & _clips_of(data):
            return None
        return from_wire(JournalEntry, data, "journal")
    except (ValueError, KeyError, TypeError, StemlineError):
        return None


def _clips_of(data: Any) -> set[tuple[str, str]]:
    return {(clip["clip_id"], clip["source"]["path"]) for clip in data["request"]["clips"]}


def _entry_of(item: QueueItem) -> JournalEntry:
    files = item.outcome.files if item.outcome else ()
    amounts = {name: gain_db if gain_db > -math.inf else None for name, gain_db in item.amounts.items()}
    return JournalEntry(item.request, files, _applied_to_host(item.applied), item.asked_ns, amounts)


def _applied_to_host(applied: AppliedResult | None) -> AppliedResult | None:
    """Return `applied` without its files if it is in a host.

    Files can be written again, while tracks that a host still has would be there twice.
    """
    if applied is None or not applied.handle:
        return None
    return AppliedResult(applied.tracks, applied.output, applied.notes, applied.handle)
