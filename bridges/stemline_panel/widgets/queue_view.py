# SPDX-License-Identifier: GPL-3.0-or-later
"""The runs: what they do, how far they are, what can be done about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtWidgets import QListWidget, QListWidgetItem, QProgressBar, QPushButton, QWidget

from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, column, label, row

_MARKS = {
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
        super().__init__()
        self._mark = label("")
        self._mark.setFixedWidth(16)
        self._title = ElidedLabel()
        self._status = ElidedLabel("dim")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setRange(0, 1000)
        keeps = self._bar.sizePolicy()
        keeps.setRetainSizeWhenHidden(True)  # a row is as high as it was at first
        self._bar.setSizePolicy(keeps)
        self.stop = button("Stop", "Stop this run; what is done is kept", lambda: owner.cancel_wanted.emit(number))
        self.retry = button(
            "Try again", "Run it again; finished parts are found", lambda: owner.retry_wanted.emit(number)
        )
        self.copy = button("Copy job", "Copy this job as JSON (Ctrl+J)", lambda: owner.copy_wanted.emit(number))
        self.forget = button(
            "✕", "Take it off the list; files and tracks stay", lambda: owner.forget_wanted.emit(number)
        )
        words = column(self._title, self._status, self._bar, spacing=1)
        holder = QWidget()
        holder.setLayout(words)
        self.setLayout(row(self._mark, holder, self.stop, self.retry, self.copy, self.forget, grow=1))
        self.layout().setContentsMargins(6, 4, 6, 4)

    def show_item(self, item: QueueItem) -> None:
        self._mark.setText(_MARKS[item.state])
        self._title.setText(item.request.title)
        self._status.setText(item.status)
        self.setToolTip(f"{item.request.title}\n{item.status}")
        self._bar.setValue(round(item.fraction * 1000))
        self._bar.setVisible(item.state is ItemState.RUNNING)
        self.stop.setVisible(not item.state.ended)
        self.forget.setVisible(item.state.ended)
        self.retry.setVisible(item.state in (ItemState.FAILED, ItemState.STOPPED, ItemState.INTERRUPTED))


class QueueView(QWidget):
    """Newest first. Selecting a finished run shows its result."""

    cancel_wanted = pyqtSignal(int)
    cancel_all_wanted = pyqtSignal()
    retry_wanted = pyqtSignal(int)
    copy_wanted = pyqtSignal(int)
    forget_wanted = pyqtSignal(int)
    reuse_wanted = pyqtSignal(int)
    selected = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setObjectName("queue")
        self.list.setAccessibleName("Queue")
        self.list.setMinimumHeight(60)
        self.list.itemSelectionChanged.connect(self._chosen)
        self.list.itemDoubleClicked.connect(lambda line: self.reuse_wanted.emit(line.data(Qt.UserRole)))
        self.list.setToolTip("Double-click, or Enter, to ask for the same again, changed or on other clips")
        self.list.installEventFilter(self)
        self._all: QPushButton = button("Stop all", "Stop every run", self.cancel_all_wanted.emit)
        self._rows: dict[int, QueueRow] = {}
        head = QWidget()
        head.setLayout(row(label("QUEUE", "caption"), 1, self._all))
        self.setLayout(column(head, self.list))

    def eventFilter(self, watched: Any, event: Any) -> bool:
        if event.type() == QEvent.KeyPress and event.key() in (Qt.Key_Return, Qt.Key_Enter):
            line = self.list.currentItem()
            if line is not None:
                self.reuse_wanted.emit(line.data(Qt.UserRole))
            return True
        return False

    def row(self, number: int) -> QueueRow:
        return self._rows[number]

    def show_items(self, items: Iterable[QueueItem]) -> None:
        join_names = list(items)
        if set(self._rows) != {item.number for item in join_names}:
            self._rebuild(join_names)
        for item in join_names:
            self._rows[item.number].show_item(item)
        self._all.setVisible(sum(not item.state.ended for item in join_names) > 1)

    def select(self, number: int) -> None:
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
        self._order_keys()
        if chosen is not None:
            self.select(chosen)
        self.list.blockSignals(False)

    def _order_keys(self) -> None:
        """Tab goes from the list through the buttons of its rows, from the top."""
        before: QWidget = self.list
        for _, shown in sorted(self._rows.items(), reverse=True):
            for pressed in (shown.stop, shown.retry, shown.copy, shown.forget):
                QWidget.setTabOrder(before, pressed)
                before = pressed

    def _chosen(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.selected.emit(item.data(Qt.UserRole))
