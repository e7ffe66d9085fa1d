# SPDX-License-Identifier: GPL-3.0-or-later
"""The stems that are made at once."""

from __future__ import annotations

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from stemline.clips import TimeRange
from stemline_panel.model.stems import StemList
from stemline_panel.widgets.layout import button, column, label, row


class StemListView(QWidget):
    """Names can be changed in place (F2)."""

    selected = pyqtSignal(int)
    add_wanted = pyqtSignal()
    remove_wanted = pyqtSignal(int)
    renamed = pyqtSignal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setAccessibleName("Stems")
        self.list.setEditTriggers(QAbstractItemView.EditKeyPressed | QAbstractItemView.DoubleClicked)
        self.list.setMaximumHeight(112)
        self.list.setMinimumHeight(56)
        self.list.currentRowChanged.connect(self._chosen)
        self.list.itemChanged.connect(self._changed)
        self.add = button("Add stem", "Another stem in the same run (Ctrl+N)", self.add_wanted.emit)
        self.remove = button("Take off", "Take the chosen stem off the list (Ctrl+Backspace)", self._take_off)
        self._marks = label("", "dim", wrap=True)
        self._marks.setMinimumHeight(self._marks.fontMetrics().lineSpacing() * 2)
        self.setLayout(column(self.list, row_of(self.add, self.remove), self._marks))

    def show_stems(self, stems: StemList, shown: TimeRange | None) -> None:
        """`shown` is the clip that is seen, with its marks."""
        self.list.blockSignals(True)
        self.list.clear()
        for entry in stems:
            item = QListWidgetItem(entry.name if not entry.empty else "new stem")
            item.setFlags(item.flags() | Qt.ItemIsEditable)
            item.setToolTip(entry.summary)
            self.list.addItem(item)
        self.list.setCurrentRow(stems.current_index)
        self.list.blockSignals(False)
        self.remove.setEnabled(len(stems) > 1 or not stems.current.empty)
        marks = list(stems.current.marks)
        seen = [mark for mark in marks if shown is None or mark.range.overlaps(shown)]
        plus = sum(mark.sign.value == "+" for mark in seen)
        words = f"Marked: {plus} × sounds here, {len(seen) - plus} × not here."
        if len(seen) < len(marks):
            words += f" {len(marks) - len(seen)} outside this clip."
        self._marks.setText(words if marks else "Click a sound, then press + or −. Words, marks, or both.")

    def _chosen(self, index: int) -> None:
        if index >= 0:
            self.selected.emit(index)

    def _changed(self, item: QListWidgetItem) -> None:
        self.renamed.emit(self.list.row(item), item.text())

    def _take_off(self) -> None:
        if self.list.currentRow() >= 0:
            self.remove_wanted.emit(self.list.currentRow())


def row_of(*widgets: QWidget) -> QWidget:
    holder = QWidget()
    holder.setLayout(row(*widgets))
    return holder
