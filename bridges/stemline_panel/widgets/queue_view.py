# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue of runs with their progress and their buttons, and the newest that have ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtWidgets import QListWidget, QListWidgetItem, QProgressBar, QPushButton, QWidget

from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.widgets.layout import ElidedLabel, button, column, label, row, row_widget

_MAX_ENDED = 30
_ICONS = {
    ItemState.WAITING: "…",
    ItemState.RUNNING: "▶",
    ItemState.DONE: "✓",
    ItemState.FAILED: "✕",
    ItemState.STOPPED: "■",
    ItemState.INTERRUPTED: "!",
}


class QueueRow(QWidget):
    """One run."""

    def __init__(self, owner: QueueView, number: int) -> None:
        """Build the row of the run with a number; its buttons emit signals of `owner`."""
        super().__init__()
        self._icon = label("")
        self._icon.setFixedWidth(16)
        self._title = ElidedLabel()
        self._status = ElidedLabel("dim")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setRange(0, 1000)
        policy = self._bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # the height of a row stays the same
        self._bar.setSizePolicy(policy)
        self.stop = button(
            self.tr("Stop"),
            self.tr("Stop this run; finished stems stay"),
            lambda: owner.cancel_wanted.emit(number),
        )
        self.earlier = button("↑", self.tr("Run it earlier"), lambda: owner.move_wanted.emit(number, -1), "small")
        self.later = button("↓", self.tr("Run it later"), lambda: owner.move_wanted.emit(number, 1), "small")
        self.retry = button(
            self.tr("Run again"),
            self.tr("Run it again; finished stems are reused"),
            lambda: owner.retry_wanted.emit(number),
        )
        self.copy = button(
            self.tr("Copy job"), self.tr("Copy this job as JSON (Ctrl+J)"), lambda: owner.copy_wanted.emit(number)
        )
        self.forget = button(
            "✕", self.tr("Remove it from the list; files and tracks stay"), lambda: owner.forget_wanted.emit(number)
        )
        texts = QWidget()
        texts.setLayout(column(self._title, self._status, self._bar, spacing=1))
        parts = (self.earlier, self.later, self.stop, self.retry, self.copy, self.forget)
        self.setLayout(row(self._icon, texts, *parts, grow=1))
        self.layout().setContentsMargins(6, 4, 6, 4)

    def show_item(self, item: QueueItem) -> None:
        """Show a run as it is now."""
        self._icon.setText(_ICONS[item.state])
        self._title.setText(item.request.title)
        self._status.setText(item.status)
        self.setToolTip(f"{item.request.title}\n{item.status}")
        self._bar.setValue(round(item.fraction * 1000))
        self._bar.setVisible(item.state is ItemState.RUNNING)
        self.stop.setVisible(not item.state.ended)
        self.forget.setVisible(item.state.ended)
        self.retry.setVisible(item.state.ended and item.applied is None)
        for move in (self.earlier, self.later):
            move.setVisible(item.state is ItemState.WAITING)


class QueueView(QWidget):
    """The runs, newest first. Selecting a finished run shows its result. All signals have the number of a run.

    Of the runs that ended only the newest are listed; the table of clips has the results of the others.
    """

    cancel_wanted = pyqtSignal(int)
    cancel_all_wanted = pyqtSignal()
    retry_wanted = pyqtSignal(int)
    copy_wanted = pyqtSignal(int)
    forget_wanted = pyqtSignal(int)
    move_wanted = pyqtSignal(int, int)
    reuse_wanted = pyqtSignal(int)
    selected = pyqtSignal(int)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.list = QListWidget()
        self.list.setObjectName("queue")
        self.list.setAccessibleName(self.tr("Queue"))
        self.list.setMinimumHeight(60)
        self.list.itemSelectionChanged.connect(self._report_selection)
        self.list.itemDoubleClicked.connect(lambda line: self.reuse_wanted.emit(line.data(Qt.UserRole)))
        self.list.setToolTip(self.tr("Double-click or press Enter to load the prompt and the marks of a run again"))
        self.list.installEventFilter(self)
        self._all: QPushButton = button(self.tr("Stop all"), self.tr("Stop every run"), self.cancel_all_wanted.emit)
        self._rows: dict[int, QueueRow] = {}
        self.setLayout(column(self.list, row_widget(1, self._all)))

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Load the request of the current run on Enter."""
        if event.type() == QEvent.KeyPress and event.key() in (Qt.Key_Return, Qt.Key_Enter):
            line = self.list.currentItem()
            if line is not None:
                self.reuse_wanted.emit(line.data(Qt.UserRole))
            return True
        return False

    def row(self, number: int) -> QueueRow:
        """Return the row of a run. Raises KeyError."""
        return self._rows[number]

    def show_items(self, items: Iterable[QueueItem]) -> None:
        """Show the runs, given oldest first."""
        shown = _listed(items)
        if list(self._rows) != [item.number for item in reversed(shown)]:
            self._rebuild(shown)
        for item in shown:
            self._rows[item.number].show_item(item)
        self._all.setVisible(sum(not item.state.ended for item in shown) > 1)

    def select(self, number: int) -> None:
        """Select the row of a run."""
        for index in range(self.list.count()):
            line = self.list.item(index)
            if line is not None and line.data(Qt.UserRole) == number:
                self.list.setCurrentRow(index)

    def _rebuild(self, items: list[QueueItem]) -> None:
        current = self.list.currentItem()
        chosen = current.data(Qt.UserRole) if current is not None else None
        self.list.blockSignals(True)
        self.list.clear()
        self._rows = {}
        for item in reversed(items):
            line = QListWidgetItem()
            line.setData(Qt.UserRole, item.number)
            shown = QueueRow(self, item.number)
            shown.show_item(item)
            line.setSizeHint(shown.sizeHint())
            self.list.addItem(line)
            self.list.setItemWidget(line, shown)
            self._rows[item.number] = shown
        self._set_tab_order()
        if chosen is not None:
            self.select(chosen)
        self.list.blockSignals(False)

    def _set_tab_order(self) -> None:
        """Let Tab go from the list through the buttons of its rows, from the top."""
        before: QWidget = self.list
        for shown in self._rows.values():
            for target in (shown.earlier, shown.later, shown.stop, shown.retry, shown.copy, shown.forget):
                QWidget.setTabOrder(before, target)
                before = target

    def _report_selection(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.selected.emit(item.data(Qt.UserRole))


def _listed(items: Iterable[QueueItem]) -> list[QueueItem]:
    """Return the runs to list: all that have not ended, and the newest of the others."""
    known = list(items)
    ended = [item.number for item in known if item.state.ended][-_MAX_ENDED:]
    return [item for item in known if not item.state.ended or item.number in ended]
