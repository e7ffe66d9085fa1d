# SPDX-License-Identifier: GPL-3.0-or-later
"""Undo and redo of everything that the user does in the panel: requests, marks, selections, amounts and applies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import TimeRange
from stemline_panel.control.mark_controller import MarkController
from stemline_panel.control.remix_controller import RemixController
from stemline_panel.control.result_controller import ResultController
from stemline_panel.model.queue import QueueItem
from stemline_panel.model.session import Session, Verb
from stemline_panel.model.stems import StemState
from stemline_panel.widgets.actions import Handlers

_MAX_STEPS = 200
_TYPING_S = 2.0
"""Texts that are typed with shorter pauses are one step."""


@dataclass(frozen=True, slots=True)
class _PanelState:
    """What undo restores. `amounts` has the gains of the shown result, whose number is `shown`."""

    stems: tuple[StemState, ...]
    current: int
    verb: Verb
    selection: TimeRange | None
    shown: int
    amounts: Mapping[str, float]

    @property
    def request(self) -> tuple[tuple[StemState, ...], int, Verb]:
        """What is asked for."""
        return self.stems, self.current, self.verb

    @property
    def without_texts(self) -> _PanelState:
        """The state without what is typed."""
        stems = tuple(replace(one, entry=("", *one.entry[1:])) for one in self.stems)
        return replace(self, stems=stems)


@dataclass(frozen=True, slots=True)
class _Step:
    """One step: from one state to another, or a result that was applied or taken back."""

    before: _PanelState
    after: _PanelState
    item: QueueItem | None = None
    applied: bool = False
    typed: bool = False


class UndoController(QObject):
    """Records every change. `changed` is emitted after a step was undone or redone, `message` has a sentence."""

    changed = pyqtSignal()
    message = pyqtSignal(str)

    def __init__(
        self, session: Session, marks: MarkController, results: ResultController, remix: RemixController
    ) -> None:
        """Start with an empty past."""
        super().__init__()
        self._session, self._marks, self._results, self._remix = session, marks, results, remix
        self._past: list[_Step] = []
        self._future: list[_Step] = []
        self._busy = False
        self._noted_s = 0.0
        self._state = self._now()

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {"undo": self.undo, "redo": self.redo}

    def note(self) -> None:
        """Record the state if it differs from the last one. Texts typed without a pause are one step."""
        state, time_s = self._now(), time.monotonic()
        if self._busy or state == self._state:
            return
        if state.request == self._state.request and (
            state.shown != self._state.shown or state.amounts == self._state.amounts
        ):
            self._state = state  # another result or another selection: nothing to undo
            return
        last = self._past[-1] if self._past else None
        typing = state.without_texts == self._state.without_texts and time_s - self._noted_s < _TYPING_S
        if last is not None and last.typed and typing and last.after == self._state and not self._future:
            self._past[-1] = replace(last, after=state)
        else:
            self._push(_Step(self._state, state, typed=state.without_texts == self._state.without_texts))
        self._state, self._noted_s = state, time_s

    def note_applied(self, item: QueueItem, *, applied: bool) -> None:
        """Record that a result was applied or taken back, unless that was an undo or a redo."""
        if self._busy:
            self._busy = False
            return
        self._push(_Step(self._state, self._state, item, applied))
        self._noted_s = 0.0

    def end_typing(self) -> None:
        """Make the next change of a text a step of its own."""
        self._noted_s = 0.0

    def clear(self) -> None:
        """Forget all steps: another document is open."""
        self._past, self._future, self._state, self._busy = [], [], self._now(), False

    def undo(self) -> None:
        """Undo the last step."""
        self._go(self._past, self._future, lambda step: step.before, back=True)

    def redo(self) -> None:
        """Redo the step that was undone last."""
        self._go(self._future, self._past, lambda step: step.after, back=False)

    def _go(
        self, steps: list[_Step], others: list[_Step], state_of: Callable[[_Step], _PanelState], *, back: bool
    ) -> None:
        self.note()
        if not steps:
            self.message.emit(self.tr("There is nothing to undo.") if back else self.tr("There is nothing to redo."))
            return
        step = steps.pop()
        if step.item is None:
            self._restore(state_of(step))
            others.append(step)
            return
        apply = step.applied != back
        self._busy = True
        done = self._results.apply_item(step.item) if apply else self._results.take_back_item(step.item)
        if done:
            others.append(step)
        else:
            self._busy = False
            self.message.emit(self.tr("This step cannot be undone or redone any more."))

    def _push(self, step: _Step) -> None:
        self._past = [*self._past[-(_MAX_STEPS - 1) :], step]
        self._future = []

    def _now(self) -> _PanelState:
        stems, shown = self._session.stems, self._results.shown
        return _PanelState(
            stems.state(),
            stems.current_index,
            self._session.verb,
            self._marks.selection,
            shown.number if shown is not None else 0,
            dict(shown.amounts) if shown is not None else {},
        )

    def _restore(self, state: _PanelState) -> None:
        self._busy = True
        self._session.stems.restore(state.stems, state.current)
        self._session.verb = state.verb
        self._marks.select(state.selection)
        item = self._session.queue.item(state.shown)
        if item is not None and item is self._results.shown:
            self._remix.restore(state.amounts)
        self._state = self._now()
        self._busy = False
        self.changed.emit()
