# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the queue, one item after the other, in a thread of its own."""

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
from stemline_panel.model.request import RunOutcome, RunRequest, separate
from stemline_panel.model.session import Session
from stemline_panel.workers import Worker

_TELL_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class _Found:
    """A run of an earlier panel, and how it stands now."""

    entry: JournalEntry
    state: ItemState
    applied: AppliedResult | None


class RunController(QObject):
    """`changed` after every change; `finished` and `failed` tell the item; `earlier` how many runs of earlier panels
    there are on what was opened; `broken` a fault in the journal."""

    changed = pyqtSignal()
    restored = pyqtSignal(int)
    journal_failed = pyqtSignal(object)
    finished = pyqtSignal(object)
    failed = pyqtSignal(object)

    def __init__(self, session: Session, journal: Journal) -> None:
        super().__init__()
        self._session = session
        self._journal = journal
        self._worker = Worker("runs", self)
        self._files = Worker("journal", self)

    def add(self, request: RunRequest) -> QueueItem:
        item = self._session.queue.add(request, document_key=self._session.document_key)
        self._start_next()
        return item

    def restore_runs(self, read: ReadClips) -> None:
        """Brings back what was asked for before on any of these clips: finished runs are found again at once, from
        their files; those it was killed in, and those whose files are gone, wait for the user. `earlier` tells how
        many. What its host no longer holds is not applied any more.
        """
        place = self._session.document_key
        if read.results is not None:
            self.drop_applied_except(read.results)
        self.refresh_applied(read.results)
        self._ask_journal(
            lambda: _found(self._journal.read(read.clips), read.results),
            lambda found: self.restored.emit(self._restore(found, place)),
        )

    def refresh_applied(self, results: tuple[str, ...] | None = None) -> None:
        """Another panel may have applied a run of ours or taken its tracks back. `results` are the handles that the
        host holds, where that is known."""
        asked = [(item, item.applied) for item in self._session.queue if not item.request.audition]

        def then(news: dict[str, JournalEntry]) -> None:
            taken = {}
            for item, before in asked:
                entry = news.get(item.digest)
                if entry is not None and item.applied is before and not _in_files(before):
                    item.applied, taken[item.digest] = _standing(entry.applied, results), entry
            if taken:
                self._ask_journal(lambda: self._journal.adopt(taken))
                self.changed.emit()

        self._ask_journal(lambda: self._journal.changed_by_others(item.digest for item, _ in asked), then)

    def drop_applied_except(self, results: tuple[str, ...]) -> None:
        """Of the runs of this place that are applied in a host, those with these handles still are."""
        here = [item for item in self._session.queue if item.document_key == self._session.document_key]
        gone = [item for item in here if item.applied is not _standing(item.applied, results)]
        for item in gone:
            item.applied = None
        if gone:
            self.save_journal()
            self.changed.emit()

    def cancel(self, number: int) -> None:
        self._session.queue.cancel(number)
        self._start_next()

    def cancel_all(self) -> None:
        self._session.queue.cancel_all()
        self._start_next()

    def retry(self, number: int) -> None:
        self._session.queue.retry(number)
        self._start_next()

    def forget(self, number: int) -> None:
        """Takes an ended run off the list and out of the journal."""
        self._session.queue.forget(number)
        self._start_next()

    def save_journal(self) -> None:
        """Writes the journal; after every change that a later panel has to know."""
        entries = journal_entries(self._session.queue)
        self._ask_journal(lambda: self._journal.write(entries))

    def close(self) -> bool:
        """Stops what runs. It is kept as interrupted, with all that is done."""
        for item in self._session.queue:
            if not item.state.ended:
                item.cancel.set()
        return all([self._worker.close(5.0), self._files.close(5.0)])

    def _ask_journal(self, work: Callable[[], Any], then: Callable[[Any], None] = lambda _: None) -> None:
        """Files are read and written beside the window, in the order in which it was asked."""
        self._files.do(work, then, self.journal_failed.emit)

    def _restore(self, found: dict[str, _Found], place: str) -> int:
        known = {item.digest for item in self._session.queue}
        new = {digest: run for digest, run in found.items() if digest not in known}
        for digest, run in new.items():
            item = self._session.queue.add(run.entry.request, run.state, place, digest)
            item.restored, item.asked_ns, item.applied = True, run.entry.asked_ns, run.applied
        self._ask_journal(lambda: self._journal.adopt({digest: run.entry for digest, run in new.items()}))
        self._start_next()
        return len(new)

    def _start_next(self) -> None:
        item = self._session.queue.next_to_run()
        if item is not None:
            host = self._session.host
            self._worker.do(
                lambda: separate(item.request, host, self._reporter(item), item.cancel.is_set),
                lambda outcome: self._done(item, outcome),
                lambda error: self._broken(item, error),
            )
        self.save_journal()
        self.changed.emit()

    def _reporter(self, item: QueueItem) -> _Reporter:
        return _Reporter(self, item)

    def tell(self, item: QueueItem, progress: Progress) -> None:
        """From the run's threads."""

        def show() -> None:
            item.progress = progress
            self.changed.emit()

        self._worker.tell(show)

    def _done(self, item: QueueItem, outcome: RunOutcome) -> None:
        self._session.queue.finish(item.number, outcome)
        self._start_next()
        self.finished.emit(item)

    def _broken(self, item: QueueItem, error: StemlineError) -> None:
        self._session.queue.fail(item.number, error)
        self._start_next()
        if item.state is ItemState.FAILED:
            self.failed.emit(item)


def _found(entries: dict[str, JournalEntry], results: tuple[str, ...] | None) -> dict[str, _Found]:
    return {
        digest: _Found(
            entry,
            ItemState.WAITING if entry.complete else ItemState.INTERRUPTED,
            _standing(entry.applied, results),
        )
        for digest, entry in entries.items()
    }


def _standing(applied: AppliedResult | None, results: tuple[str, ...] | None) -> AppliedResult | None:
    """What of it is there: None where its host is known to hold it no more."""
    gone = applied is not None and applied.handle and results is not None and applied.handle not in results
    return None if gone else applied


def _in_files(applied: AppliedResult | None) -> bool:
    """Whether it stands in files of ours, which nobody else takes back."""
    return applied is not None and not applied.handle


class _Reporter:
    """Passes progress on, at most ten times a second and at every new stage."""

    def __init__(self, control: RunController, item: QueueItem) -> None:
        self._control, self._item = control, item
        self._stage, self._last_s = "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last_s >= _TELL_EVERY_S:
            self._stage, self._last_s = progress.stage, now
            self._control.tell(self._item, progress)
