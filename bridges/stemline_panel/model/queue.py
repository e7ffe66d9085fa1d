# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs of this session: waiting, at work, and ended; each can be stopped, tried again, applied, taken back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from stemline.errors import Cancelled, Code, StemlineError
from stemline.workflow import Progress
from stemline_panel.model.request import RunOutcome, RunRequest


class ItemState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    """An earlier panel was ended while it worked on this."""

    @property
    def ended(self) -> bool:
        return self not in (ItemState.WAITING, ItemState.RUNNING)


@dataclass(frozen=True, slots=True)
class AppliedResult:
    """What stands in the host now: its tracks in words, and the host's handle for taking them back."""

    tracks: tuple[str, ...]
    output: str = ""
    notes: tuple[str, ...] = ()
    handle: str = ""
    files: tuple[tuple[str, int, int], ...] = ()
    """(path, size in bytes, mtime in ns) of each file that was written, as it was written."""


@dataclass(slots=True)
class QueueItem:
    """One run. `place` is the key of the place that its clips are of: only there can it be applied."""

    number: int
    request: RunRequest
    state: ItemState = ItemState.WAITING
    progress: Progress | None = None
    error: StemlineError | None = None
    outcome: RunOutcome | None = None
    applied: AppliedResult | None = None
    restored: bool = False
    document_key: str = ""
    asked_ns: int = field(default_factory=time.time_ns)
    cancel: threading.Event = field(default_factory=threading.Event)
    digest: str = ""
    """That of the request, worked out once: a long edit has many clips."""

    def __post_init__(self) -> None:
        self.digest = self.digest or self.request.digest

    @property
    def fraction(self) -> float:
        if self.state is ItemState.DONE:
            return 1.0
        return self.progress.fraction if self.progress and self.state is ItemState.RUNNING else 0.0

    @property
    def status(self) -> str:
        """In words, for the list."""
        if self.state is ItemState.RUNNING:
            stage = self.progress.stage if self.progress else "starting"
            speed = f", {self.progress.speed:.0f}x real time" if self.progress and self.progress.speed >= 1 else ""
            return f"{stage}, {self.fraction:.0%}{speed}" if not self.cancel.is_set() else "stopping"
        if self.state is ItemState.FAILED and self.error is not None:
            return str(self.error)
        if self.state is ItemState.DONE and self.outcome is not None:
            return self._done()
        if self.state is ItemState.INTERRUPTED:
            return "not finished when the panel ended, or its files are gone; try again to go on"
        return str(self.state)

    def _done(self) -> str:
        result = self.outcome.result if self.outcome else None
        if result is None:
            return "done"
        reused = bool(result.clips) and all(clip.reused for clip in result.clips)
        parts = ["found again, nothing computed" if reused else f"done in {result.elapsed_s:.0f} s"]
        parts += [f"{len(result.failed)} failed"] if result.failed else []
        parts += [f"{len(result.skipped)} skipped"] if result.skipped else []
        parts += [f"applied: {', '.join(self.applied.tracks)}"] if self.applied else []
        return "; ".join(parts)


class RunQueue:
    """The items, newest last. One runs at a time."""

    def __init__(self) -> None:
        self._items: list[QueueItem] = []
        self._count = 0

    def __iter__(self) -> Iterator[QueueItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def running(self) -> QueueItem | None:
        return next((item for item in self._items if item.state is ItemState.RUNNING), None)

    def item(self, number: int) -> QueueItem | None:
        return next((item for item in self._items if item.number == number), None)

    def add(
        self, request: RunRequest, state: ItemState = ItemState.WAITING, document_key: str = "", digest: str = ""
    ) -> QueueItem:
        """`digest` is the request's, where it is known."""
        self._count += 1
        item = QueueItem(self._count, request, state, document_key=document_key, digest=digest)
        self._items.append(item)
        return item

    def next_to_run(self) -> QueueItem | None:
        """The oldest waiting item, now running; None while another runs or nothing waits.

        Those of earlier panels, which are only looked up, come last and the newest of them first: it is what is shown.
        """
        waiting = [item for item in self._items if item.state is ItemState.WAITING]
        if self.running is not None or not waiting:
            return None
        item = next((item for item in waiting if not item.restored), waiting[-1])
        item.state = ItemState.RUNNING
        return item

    def cancel(self, number: int) -> None:
        """A waiting item is stopped at once, a running one as soon as it can be."""
        item = self.item(number)
        if item is None or item.state.ended:
            return
        item.cancel.set()
        if item.state is ItemState.WAITING:
            item.state = ItemState.STOPPED

    def cancel_all(self) -> None:
        for item in self._items:
            self.cancel(item.number)

    def retry(self, number: int) -> None:
        """An item that failed, was stopped or was interrupted waits again; finished parts of it are found again."""
        item = self.item(number)
        if item is None or not item.state.ended or item.state is ItemState.DONE:
            return
        item.state, item.error, item.progress, item.cancel = ItemState.WAITING, None, None, threading.Event()
        item.restored = False

    def finish(self, number: int, outcome: RunOutcome) -> None:
        item = self.item(number)
        if item is not None:
            item.state, item.outcome = ItemState.DONE, outcome

    def fail(self, number: int, error: StemlineError) -> None:
        item = self.item(number)
        if item is not None:
            stopped = isinstance(error, Cancelled) or error.code is Code.CANCELLED
            item.state = ItemState.STOPPED if stopped else ItemState.FAILED
            item.error = None if stopped else error

    def forget(self, number: int) -> None:
        """Takes an ended item off the list. Its files stay."""
        self._items = [item for item in self._items if item.number != number or not item.state.ended]

    def result_of(self, request: RunRequest) -> QueueItem | None:
        """The newest finished item of exactly this request."""
        done = (item for item in reversed(self._items) if item.state is ItemState.DONE)
        return next((item for item in done if item.request == request), None)
