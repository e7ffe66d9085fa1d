# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the queue, one item after the other, in a thread of its own."""

from __future__ import annotations

import time

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import ClipRange
from stemline.errors import StemlineError
from stemline.workflow import Progress
from stemline_panel.model.journal import Journal
from stemline_panel.model.queue import Applied, ItemState, QueueItem
from stemline_panel.model.request import Outcome, RunRequest, separate
from stemline_panel.model.session import Session
from stemline_panel.workers import Worker

_TELL_EVERY_S = 0.1


class RunControl(QObject):
    """`changed` after every change; `finished` and `failed` tell the item."""

    changed = pyqtSignal()
    finished = pyqtSignal(object)
    failed = pyqtSignal(object)

    def __init__(self, session: Session, journal: Journal) -> None:
        super().__init__()
        self._session = session
        self._journal = journal
        self._worker = Worker("runs", self)

    def add(self, request: RunRequest) -> QueueItem:
        item = self._session.queue.add(request, place=self._session.place)
        self._go_on()
        return item

    def find_earlier(self, clips: tuple[ClipRange, ...]) -> int:
        """Brings back what was asked for before on any of these clips: finished runs are found again at once, from
        their files; those it was killed in, and those whose files are gone, wait for the user. Gives their number.
        """
        self.look_again()
        known = {item.request.digest for item in self._session.queue}
        found = [entry for entry in self._journal.read(clips) if entry.request.digest not in known]
        for entry in found:
            state = ItemState.WAITING if entry.whole else ItemState.INTERRUPTED
            item = self._session.queue.add(entry.request, state, self._session.place)
            item.found_again, item.asked_ns, item.applied = True, entry.asked_ns, entry.applied
        self._go_on()
        return len(found)

    def look_again(self) -> None:
        """Another panel may have applied a run of ours or taken its tracks back."""
        changed = False
        for item in self._session.queue:
            entry = None if item.request.audition else self._journal.news(item.request)
            if entry is not None and entry.applied != item.applied and not _in_files(item.applied):
                item.applied, changed = entry.applied, True
        if changed:
            self.changed.emit()

    def keep_only(self, results: tuple[str, ...]) -> None:
        """Of the runs of this place that are applied in a host, those with these handles still are."""
        gone = [
            item
            for item in self._session.queue
            if item.place == self._session.place and item.applied and not _in_files(item.applied)
            if item.applied.handle not in results
        ]
        for item in gone:
            item.applied = None
        if gone:
            self.keep()
            self.changed.emit()

    def cancel(self, number: int) -> None:
        self._session.queue.cancel(number)
        self._go_on()

    def cancel_all(self) -> None:
        self._session.queue.cancel_all()
        self._go_on()

    def retry(self, number: int) -> None:
        self._session.queue.retry(number)
        self._go_on()

    def forget(self, number: int) -> None:
        """Takes an ended run off the list and out of the journal."""
        self._session.queue.forget(number)
        self._go_on()

    def keep(self) -> None:
        """Writes the journal; after every change that a later panel has to know."""
        self._journal.write(self._session.queue)

    def close(self) -> bool:
        """Stops what runs. It is kept as interrupted, with all that is done."""
        for item in self._session.queue:
            if not item.state.ended:
                item.cancel.set()
        return self._worker.close(5.0)

    def _go_on(self) -> None:
        item = self._session.queue.next_to_run()
        if item is not None:
            host = self._session.host
            self._worker.do(
                lambda: separate(item.request, host, self._reporter(item), item.cancel.is_set),
                lambda outcome: self._done(item, outcome),
                lambda error: self._broken(item, error),
            )
        self.keep()
        self.changed.emit()

    def _reporter(self, item: QueueItem) -> _Reporter:
        return _Reporter(self, item)

    def tell(self, item: QueueItem, progress: Progress) -> None:
        """From the run's threads."""

        def show() -> None:
            item.progress = progress
            self.changed.emit()

        self._worker.tell(show)

    def _done(self, item: QueueItem, outcome: Outcome) -> None:
        self._session.queue.finish(item.number, outcome)
        self._go_on()
        self.finished.emit(item)

    def _broken(self, item: QueueItem, error: StemlineError) -> None:
        self._session.queue.fail(item.number, error)
        self._go_on()
        if item.state is ItemState.FAILED:
            self.failed.emit(item)


def _in_files(applied: Applied | None) -> bool:
    """Whether it stands in files of ours, which nobody else takes back."""
    return applied is not None and not applied.handle


class _Reporter:
    """Passes progress on, at most ten times a second and at every new stage."""

    def __init__(self, control: RunControl, item: QueueItem) -> None:
        self._control, self._item = control, item
        self._stage, self._last_s = "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage or now - self._last_s >= _TELL_EVERY_S:
            self._stage, self._last_s = progress.stage, now
            self._control.tell(self._item, progress)
