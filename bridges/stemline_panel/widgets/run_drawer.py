# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawer at the bottom: the current run with its Stop button, the queue, and the history of prompts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from PyQt5.QtCore import QAbstractTableModel, QEvent, QModelIndex, Qt, pyqtSignal
from PyQt5.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHeaderView,
    QLineEdit,
    QProgressBar,
    QStackedWidget,
    QTableView,
    QWidget,
)

from stemline_panel.model.formatting import translate
from stemline_panel.model.history import HistoryEntry, PromptHistory
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.widgets.buttons import Button
from stemline_panel.widgets.layout import ElidedLabel, button, column, row_widget
from stemline_panel.widgets.queue_view import QueueView

_NS = 1_000_000_000
_ROOT = QModelIndex()
_MIN_BODY_PIXELS, _BODY_PIXELS = 70, 150


class RunDrawer(QWidget):
    """One line that is always there, and below it the queue or the history.

    `stop_wanted` is its Stop button, `prompt_chosen` has the text of an entry of the history.
    """

    stop_wanted = pyqtSignal()
    prompt_chosen = pyqtSignal(str)

    def __init__(self, history: PromptHistory) -> None:
        """Start closed."""
        super().__init__()
        self.queue, self.history = QueueView(), HistoryView(history)
        self.history.chosen.connect(self.prompt_chosen.emit)
        self._pages = QStackedWidget()
        self._pages.setMinimumHeight(_MIN_BODY_PIXELS)
        self._pages.setMaximumHeight(_BODY_PIXELS)
        self._tabs: list[Button] = []
        self._group = QButtonGroup(self)
        self._group.setExclusive(False)
        self.show_queue = self._tab(self.tr("Queue and results (Ctrl+K)"), self.queue)
        self.show_history = self._tab(self.tr("Earlier prompts and what they found (Ctrl+H)"), self.history)
        self.show_history.setText(self.tr("History"))
        self._status = ElidedLabel("dim")
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._bar.setRange(0, 1000)
        self._bar.setFixedWidth(160)
        self._bar.setAccessibleName(self.tr("Progress of the current run"))
        tip = self.tr("Stop the current run; finished stems stay (Ctrl+.)")
        self.stop = button(self.tr("■ Stop"), tip, self.stop_wanted.emit, "stop")
        head = row_widget(self.show_queue, self.show_history, self._status, self._bar, self.stop, grow=2)
        self.setLayout(column(head, self._pages, spacing=4, grow=1))
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.open_page(None)
        self.show_items([])

    @property
    def page(self) -> QWidget | None:
        """The page that is open, or None."""
        return self._pages.currentWidget() if self._pages.isVisibleTo(self) else None

    def open_page(self, page: QWidget | None) -> None:
        """Open the queue or the history, or close the drawer with None."""
        self._pages.setVisible(page is not None)
        if page is not None:
            self._pages.setCurrentWidget(page)
        if page is self.history:
            self.history.refresh()
        for index, tab in enumerate(self._tabs):
            tab.setChecked(self._pages.widget(index) is page)

    def toggle(self, page: QWidget) -> None:
        """Open a page, or close the drawer if it is open."""
        self.open_page(None if self.page is page else page)

    def show_items(self, items: Iterable[QueueItem]) -> None:
        """Show the runs, given oldest first."""
        shown = list(items)
        self.queue.show_items(shown)
        running = next((item for item in shown if item.state is ItemState.RUNNING), None)
        waiting = sum(item.state is ItemState.WAITING for item in shown)
        text = self.tr("Queue")
        self.show_queue.setText(self.tr("Queue ({count} waiting)").format(count=waiting) if waiting else text)
        for widget in (self._bar, self.stop):
            widget.setVisible(running is not None)
        if running is not None:
            self._status.setText(f"{running.request.title}: {running.status}")
            self._bar.setValue(round(running.fraction * 1000))
        else:
            last = shown[-1] if shown else None
            self._status.setText(f"{last.request.title}: {last.status}" if last is not None else "")

    def _tab(self, tip: str, page: QWidget) -> Button:
        made = button("", tip, lambda: self.toggle(page), "drawer")
        made.setCheckable(True)
        self._group.addButton(made)
        self._tabs.append(made)
        self._pages.addWidget(page)
        return made


class _HistoryModel(QAbstractTableModel):
    """The entries of the history as a table."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[HistoryEntry] = []

    def show_entries(self, entries: list[HistoryEntry]) -> None:
        self.beginResetModel()
        self.entries = entries
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        return 0 if parent.isValid() else len(self.entries)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        return 0 if parent.isValid() else 5

    def data(self, index: QModelIndex, role: int = Qt.DisplayRole) -> Any:
        if role not in (Qt.DisplayRole, Qt.ToolTipRole):
            return None
        entry = self.entries[index.row()]
        return (_date(entry.asked_ns), entry.text, entry.result, entry.where, entry.model)[index.column()]

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.DisplayRole) -> Any:
        if orientation != Qt.Horizontal or role != Qt.DisplayRole:
            return None
        return (
            translate("HistoryView", "Date"),
            translate("HistoryView", "Prompt"),
            translate("HistoryView", "Result"),
            translate("HistoryView", "Clip"),
            translate("HistoryView", "Model"),
        )[section]


class HistoryView(QWidget):
    """Prompts that were understood, with date, result and model. `chosen` has the text of one."""

    chosen = pyqtSignal(str)

    def __init__(self, history: PromptHistory) -> None:
        """Show a history."""
        super().__init__()
        self._history = history
        self.model = _HistoryModel()
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search prompts, results and models"))
        self.search.setAccessibleName(self.tr("Search the history"))
        self.search.textChanged.connect(lambda _: self.refresh())
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setAccessibleName(self.tr("History"))
        self.table.setSelectionBehavior(QAbstractItemView.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SingleSelection)
        self.table.setTabKeyNavigation(False)
        self.table.setShowGrid(False)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.Stretch)
        self.table.doubleClicked.connect(lambda _: self._choose())
        self.table.installEventFilter(self)
        clear = button(self.tr("Clear history"), self.tr("Delete all earlier prompts"), self._clear)
        self.setLayout(column(row_widget(self.search, clear, grow=0), self.table, grow=1))
        self.layout().setContentsMargins(0, 0, 0, 0)

    def refresh(self) -> None:
        """Show the entries that match the search."""
        self.model.show_entries(self._history.entries(self.search.text()))

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Choose the current entry on Enter."""
        if event.type() == QEvent.KeyPress and event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self._choose()
            return True
        return False

    def _choose(self) -> None:
        row = self.table.currentIndex().row()
        if 0 <= row < len(self.model.entries):
            self.chosen.emit(self.model.entries[row].text)

    def _clear(self) -> None:
        self._history.clear()
        self.refresh()


def _date(asked_ns: int) -> str:
    return datetime.fromtimestamp(asked_ns / _NS).strftime("%Y-%m-%d %H:%M") if asked_ns else ""
