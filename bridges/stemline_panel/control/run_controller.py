# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller of the queue, which runs one item after the other and records them in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.errors import StemlineError
from stemline.hosts.base import ReadClips
from stemline.workflow import Progress
from stemline_panel.model.journal import Journal, JournalEntry, journal_entries
from stemline_panel.model.queue import AppliedResult, ItemState, QueueItem
from stemline_panel.model.request import Listening, RunOutcome, RunRequest, run_separation
from stemline_panel.model.session import Session
from stemline_panel.workers import Worker

_REPORT_EVERY_S = 0.1
_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class _RestoredRun:
    """A run of an earlier panel and its state now."""

    entry: JournalEntry
    state: ItemState
    applied: AppliedResult | None


class RunController(QObject):
    """Runs the queue.

    Signals: `changed` after every change; `finished` and `failed` (item); `restored` (the number of earlier runs found
    for what was opened); `journal_failed` (error).
    """

    changed = pyqtSignal()
    restored = pyqtSignal(int)
    journal_failed = pyqtSignal(object)
    finished = pyqtSignal(object)
    failed = pyqtSignal(object)

    def __init__(
        self, session: Session, journal: Journal, listen: Callable[[QueueItem], Listening | None] = lambda _: None
    ) -> None:
        """Start two threads: one for runs, one for the journal. `listen` returns how a run that starts is heard."""
        super().__init__()
        self._session = session
        self._listen = listen
        self._journal = journal
        self._worker = Worker("runs", self)
        self._files = Worker("journal", self)

    def add(self, request: RunRequest) -> QueueItem:
        """Queue a run."""
        item = self._session.queue.add(request, document_key=self._session.document_key)
        self._start_next()
        return item

    def restore_runs(self, read: ReadClips) -> None:
        """Restore earlier runs on any of these clips, and report their number.

        Finished runs are found again from their files; interrupted ones, and those with missing files, wait for the
        user. A result that its host no longer has is not applied any more.
        """
        document_key = self._session.document_key
        if read.results is not None:
            self.drop_applied_except(read.results)
        self.refresh_applied(read.results)
        self._use_journal(
            lambda: _restored_runs(self._journal.read(read.clips), read.results),
            lambda found: self.restored.emit(self._restore(found, document_key)),
        )

    def refresh_applied(self, results: tuple[str, ...] | None = None) -> None:
        """Take over what another panel applied or took back. `results` are the host's handles, if known."""
        asked = [(item, item.applied) for item in self._session.queue if not item.request.audition]

        def then(changed: dict[str, JournalEntry]) -> None:
            adopted = {}
            for item, before in asked:
                entry = changed.get(item.digest)
                if entry is not None and item.applied is before and not _is_in_files(before):
                    item.applied, adopted[item.digest] = _still_applied(entry.applied, results), entry
            if adopted:
                self._use_journal(lambda: self._journal.adopt(adopted))
                self.changed.emit()

        self._use_journal(lambda: self._journal.changed_by_others(item.digest for item, _ in asked), then)

    def drop_applied_except(self, results: tuple[str, ...]) -> None:
        """Mark runs of this document as not applied unless the host still has their handle."""
        here = [item for item in self._session.queue if item.document_key == self._session.document_key]
        gone = [item for item in here if item.applied is not _still_applied(item.applied, results)]
        for item in gone:
            item.applied = None
        if gone:
            self.save_journal()
            self.changed.emit()

    def cancel(self, number: int) -> None:
        """Stop a run."""
        self._session.queue.cancel(number)
        self._start_next()

    def cancel_all(self) -> None:
        """Stop all runs."""
        self._session.queue.cancel_all()
        self._start_next()

    def retry(self, number: int) -> None:
        """Queue an ended run again."""
        self._session.queue.retry(number)
        self._start_next()

    def move(self, number: int, by: int) -> None:
        """Run a waiting run earlier (-1) or later (+1)."""
        self._session.queue.move(number, by)
        self.changed.emit()

    def forget(self, number: int) -> None:
        """Remove an ended run from the list and the journal."""
        self._session.queue.forget(number)
        self._start_next()

    def save_journal(self) -> None:
        """Write the journal. Called after every change that a later panel has to know."""
        entries = journal_entries(self._session.queue)
        self._use_journal(lambda: self._journal.write(entries))

    def close(self) -> bool:
        """Stop the current run, which the journal records as interrupted. Return True if all threads ended."""
        for item in self._session.queue:
            if not item.state.ended:
                item.cancel.set()
        return all([self._worker.close(_CLOSE_S), self._files.close(_CLOSE_S)])

    def report(self, item: QueueItem, progress: Progress) -> None:
        """Show the progress of a run. Called from the run's threads."""

        def show() -> None:
            item.progress = progress
            self.changed.emit()

        self._worker.post(show)

    def _use_journal(self, work: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Read or write the journal in its thread, in the order of the calls."""
        self._files.do(work, then, self.journal_failed.emit)

    def _restore(self, found: dict[str, _RestoredRun], document_key: str) -> int:
        known = {item.digest for item in self._session.queue}
        new = {digest: run for digest, run in found.items() if digest not in known}
        for digest, run in new.items():
            item = self._session.queue.add(run.entry.request, run.state, document_key, digest)
            item.restored, item.asked_ns, item.applied = True, run.entry.asked_ns, run.applied
            item.amounts = run.entry.amounts_db
        self._use_journal(lambda: self._journal.adopt({digest: run.entry for digest, run in new.items()}))
        self._start_next()
        return len(new)

    def _start_next(self) -> None:
        item = self._session.queue.next_to_run()
        if item is not None:
            host, listening = self._session.host, self._listen(item)
            self._worker.do(
                lambda: run_separation(item.request, host, _ProgressFilter(self, item), item.cancel.is_set, listening),
                lambda outcome: self._finish(item, outcome),
                lambda error: self._fail(item, error),
            )
        self.save_journal()
        self.changed.emit()

    def _finish(self, item: QueueItem, outcome: RunOutcome) -> None:
        self._session.queue.finish(item.number, outcome)
        self._start_next()
        self.finished.emit(item)

    def _fail(self, item: QueueItem, error: StemlineError) -> None:
        self._session.queue.fail(item.number, error)
        self._start_next()
        if item.state is ItemState.FAILED:
            self.failed.emit(item)


def _restored_runs(entries: dict[str, JournalEntry], results: tuple[str, ...] | None) -> dict[str, _RestoredRun]:
    return {
        digest: _RestoredRun(
            entry,
            ItemState.WAITING if entry.complete else ItemState.INTERRUPTED,
            _still_applied(entry.applied, results),
        )
        for digest, entry in entries.items()
    }


def _still_applied(applied: AppliedResult | None, results: tuple[str, ...] | None) -> AppliedResult | None:
    """Return `applied`, or None if the host's handles are known and its handle isn't one of them."""
    gone = applied is not None and applied.handle and results is not None and applied.handle not in results
    return None if gone else applied


def _is_in_files(applied: AppliedResult | None) -> bool:
    """Return whether a result was written to files, which no other panel takes back."""
    return applied is not None and not applied.handle


class _ProgressFilter:
    """Passes progress on at most ten times a second, and at every new stage."""

    def __init__(self, control: RunController, item: QueueItem) -> None:
        self._control, self._item = control, item
        self._stage, self._last_s = "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last_s >= _REPORT_EVERY_S:
            self._stage, self._last_s = progress.stage, now
            self._control.report(self._item, progress)
