# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of runs. Each can be stopped, tried again, applied and taken back."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from stemline.clips import RESIDUAL
from stemline.errors import Cancelled, Code, StemlineError
from stemline.workflow import Progress, RunResult
from stemline.workflow.derived_tracks import KEPT, REMIX, fill_name, fill_names
from stemline_panel.model.formatting import translate
from stemline_panel.model.request import RunOutcome, RunRequest

_WHOLE_SECONDS_FROM = 10


class ItemState(StrEnum):
    """How far a run is. INTERRUPTED: an earlier panel ended before it did."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens without the user."""
        return self not in (ItemState.WAITING, ItemState.RUNNING)


@dataclass(frozen=True, slots=True)
class AppliedResult:
    """What was written when a result was applied.

    `tracks` are the names of tracks or files, `handle` is the host's reference for taking them back, and `files` has
    (path, size in bytes, mtime in ns) of each file as it was written.
    """

    tracks: tuple[str, ...]
    output: str = ""
    notes: tuple[str, ...] = ()
    handle: str = ""
    files: tuple[tuple[str, int, int], ...] = ()


@dataclass(slots=True)
class QueueItem:
    """One run. It can be applied only to the document that it was made for.

    `restored` is set for runs of an earlier panel, `asked_ns` is the time of the request, and `digest` is that of the
    request, computed once because a long edit has many clips. `amounts` has the gain in dB of each sound that is not
    at its default in the remix; minus infinity is off.
    """

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
    amounts: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compute the digest unless it is known."""
        self.digest = self.digest or self.request.digest

    @property
    def clip_ids(self) -> set[str]:
        """The ids of its clips."""
        return {clip.clip_id for clip in self.request.clips}

    def default_amount(self, name: str) -> float:
        """Return the gain in dB that a sound has in the remix by default: off if something takes its place."""
        return -math.inf if name in self.request.settings.replace else 0.0

    def amount(self, name: str) -> float:
        """Return the gain in dB that a sound has in the remix."""
        return self.amounts.get(name, self.default_amount(name))

    def set_amount(self, name: str, gain_db: float) -> None:
        """Set the gain in dB that a sound has in the remix."""
        self.amounts.pop(name, None)
        if gain_db != self.default_amount(name):
            self.amounts[name] = gain_db

    def take_plays(self, name: str) -> bool | None:
        """Return whether a take of a fill plays, by the name of its track; None for sounds without takes."""
        for stem, fill in self.request.settings.replace.items():
            takes = [fill_name(stem, take) for take in range(1, fill.takes + 1)]
            if name in takes and len(takes) > 1:
                return name == next((chosen for chosen in takes if chosen in self.amounts), takes[0])
        return None

    def choose_take(self, name: str) -> None:
        """Play one take of a fill, by the name of its track, and leave the others off.

        The amounts hold a choice other than the first take, at 0 dB.
        """
        for stem, fill in self.request.settings.replace.items():
            takes = [fill_name(stem, take) for take in range(1, fill.takes + 1)]
            if name in takes:
                self.amounts = {key: gain for key, gain in self.amounts.items() if key not in takes}
                self.amounts |= {name: 0.0} if name != takes[0] else {}

    def remix_gains(self, names: Iterable[str]) -> dict[str, float]:
        """Return the gain in dB of each of the sounds that is a part of the remix; none if one is called "remix".

        With a fill the parts are those that play when the result is applied.
        """
        stems = list(names)
        if self.outcome is None or REMIX in stems:
            return {}
        made = {stem.name for stem in self.outcome.stems}
        base = KEPT if KEPT in stems else RESIDUAL
        gains = {name: self.amount(name) for name in stems if name in made}
        gains |= {name: self.amount(RESIDUAL) for name in stems if name == base}
        fills = [name for name in stems if name not in {*made, RESIDUAL, KEPT}]
        return gains | {name: -math.inf if self.take_plays(name) is False else 0.0 for name in fills}

    @property
    def outcome_to_apply(self) -> RunOutcome | None:
        """The outcome with the amounts and the takes as they are now."""
        if self.outcome is None:
            return None
        fills = fill_names(self.request.settings)
        amounts = {name: gain_db for name, gain_db in self.amounts.items() if name not in fills}
        silent = frozenset(name for name in fills if self.take_plays(name) is False)
        chosen = frozenset(name for name in fills if self.take_plays(name))
        return replace(self.outcome.with_remix(amounts), takes_on=chosen, takes_off=silent)

    @property
    def fraction(self) -> float:
        """How much is done, 0 to 1."""
        if self.state is ItemState.DONE:
            return 1.0
        return self.progress.fraction if self.progress and self.state is ItemState.RUNNING else 0.0

    @property
    def status(self) -> str:
        """The state in a few words."""
        if self.state is ItemState.RUNNING:
            return self._running_status()
        if self.state is ItemState.FAILED and self.error is not None:
            return str(self.error)
        if self.state is ItemState.DONE and self.outcome is not None:
            return self._done_status(self.outcome, self.outcome.result)
        if self.state is ItemState.INTERRUPTED:
            return translate("QueueItem", "interrupted, or its files are missing; try again to continue")
        return {
            ItemState.WAITING: translate("QueueItem", "waiting"),
            ItemState.STOPPED: translate("QueueItem", "stopped"),
            ItemState.FAILED: translate("QueueItem", "failed"),
        }.get(self.state, translate("QueueItem", "done"))

    def _running_status(self) -> str:
        if self.cancel.is_set():
            return translate("QueueItem", "stopping")
        stage = self.progress.stage if self.progress else translate("QueueItem", "starting")
        status = f"{stage}, {self.fraction:.0%}"
        if self.progress and self.progress.speed >= 1:
            status += translate("QueueItem", ", {speed:.0f}x real time").format(speed=self.progress.speed)
        left_s = self.progress.left_s if self.progress and not self.request.audition else None  # of the whole plan
        if left_s is not None:
            minutes, seconds = divmod(round(left_s), 60)
            status += translate("QueueItem", ", {time} left").format(time=f"{minutes}:{seconds:02}")
        return status

    def _done_status(self, outcome: RunOutcome, result: RunResult) -> str:
        reused = bool(result.clips) and all(clip.reused for clip in result.clips)
        done = translate("QueueItem", "done in {seconds} s")
        done = done.format(
            seconds=f"{result.elapsed_s:.1f}" if result.elapsed_s < _WHOLE_SECONDS_FROM else round(result.elapsed_s)
        )
        parts = [translate("QueueItem", "earlier stems reused") if reused else done]
        for count, text in (
            (len(outcome.refused), translate("QueueItem", "{count} not understood")),
            (len(result.failed), translate("QueueItem", "{count} failed")),
            (len(result.skipped), translate("QueueItem", "{count} skipped")),
        ):
            parts += [text.format(count=count)] if count else []
        if self.applied:
            parts.append(translate("QueueItem", "applied: {tracks}").format(tracks=", ".join(self.applied.tracks)))
        return "; ".join(parts)


class RunQueue:
    """The runs in the order of their requests. One runs at a time."""

    def __init__(self) -> None:
        """Start empty."""
        self._items: list[QueueItem] = []
        self._count = 0

    def __iter__(self) -> Iterator[QueueItem]:
        """Iterate over the items, oldest first."""
        return iter(self._items)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    @property
    def running(self) -> QueueItem | None:
        """The item that runs now, or None."""
        return next((item for item in self._items if item.state is ItemState.RUNNING), None)

    def item(self, number: int) -> QueueItem | None:
        """Return the item with a number, or None."""
        return next((item for item in self._items if item.number == number), None)

    def add(
        self, request: RunRequest, state: ItemState = ItemState.WAITING, document_key: str = "", digest: str = ""
    ) -> QueueItem:
        """Append a run and return it. `digest` is the request's, if it is already known."""
        self._count += 1
        item = QueueItem(self._count, request, state, document_key=document_key, digest=digest)
        self._items.append(item)
        return item

    def next_to_run(self) -> QueueItem | None:
        """Return the next waiting item, now running; None while another runs or nothing waits.

        Runs of earlier panels, which are only looked up, come last and newest first, because the newest is shown.
        """
        waiting = [item for item in self._items if item.state is ItemState.WAITING]
        if self.running is not None or not waiting:
            return None
        item = next((item for item in waiting if not item.restored), waiting[-1])
        item.state = ItemState.RUNNING
        return item

    def pending(self, request: RunRequest) -> QueueItem | None:
        """Return the item of exactly this request that waits or runs, or None."""
        return next((item for item in self._items if not item.state.ended and item.request == request), None)

    def cancel(self, number: int) -> None:
        """Stop a waiting item at once, a running one as soon as possible."""
        item = self.item(number)
        if item is None or item.state.ended:
            return
        item.cancel.set()
        if item.state is ItemState.WAITING:
            item.state = ItemState.STOPPED

    def cancel_all(self) -> None:
        """Stop every item."""
        for item in self._items:
            self.cancel(item.number)

    def move(self, number: int, by: int) -> None:
        """Move a waiting item before (-1) or behind (+1) the next waiting one."""
        waiting = [place for place, item in enumerate(self._items) if item.state is ItemState.WAITING]
        order = [self._items[place].number for place in waiting]
        if number not in order:
            return
        old = order.index(number)
        new = old + by
        if 0 <= new < len(order):
            one, other = waiting[old], waiting[new]
            self._items[one], self._items[other] = self._items[other], self._items[one]

    def retry(self, number: int) -> None:
        """Queue an ended item again, unless it is applied. Parts of it that are finished are reused."""
        item = self.item(number)
        if item is None or not item.state.ended or item.applied is not None:
            return
        item.state, item.error, item.progress, item.cancel = ItemState.WAITING, None, None, threading.Event()
        item.restored = False

    def finish(self, number: int, outcome: RunOutcome) -> None:
        """Set an item to done."""
        item = self.item(number)
        if item is not None:
            item.state, item.outcome = ItemState.DONE, outcome

    def fail(self, number: int, error: StemlineError) -> None:
        """Set an item to failed, or to stopped if the error says that it was cancelled."""
        item = self.item(number)
        if item is not None:
            stopped = isinstance(error, Cancelled) or error.code is Code.CANCELLED
            item.state = ItemState.STOPPED if stopped else ItemState.FAILED
            item.error = None if stopped else error

    def forget(self, number: int) -> None:
        """Remove an ended item from the list. Its files stay."""
        self._items = [item for item in self._items if item.number != number or not item.state.ended]

    def result_of(self, request: RunRequest) -> QueueItem | None:
        """Return the newest finished item of exactly this request, or None."""
        done = (item for item in reversed(self._items) if item.state is ItemState.DONE)
        return next((item for item in done if item.request == request), None)
