# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of stems of the next run."""

from __future__ import annotations

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from stemline.clips import TimeRange
from stemline_panel.model.marks import Sign
from stemline_panel.model.stems import StemList
from stemline_panel.widgets.layout import button, column, label, row_widget


class StemListView(QWidget):
    """Shows the stems. Their names can be edited in place (F2)."""

    selected = pyqtSignal(int)
    add_wanted = pyqtSignal()
    remove_wanted = pyqtSignal(int)
    renamed = pyqtSignal(int, str)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Stems"))
        self.list.setEditTriggers(QAbstractItemView.EditKeyPressed | QAbstractItemView.DoubleClicked)
        self.list.setMaximumHeight(112)
        self.list.setMinimumHeight(56)
        self.list.currentRowChanged.connect(self._report_selection)
        self.list.itemChanged.connect(self._report_name)
        self.add = button(self.tr("Add stem"), self.tr("Add another stem to this run (Ctrl+N)"), self.add_wanted.emit)
        self.remove = button(
            self.tr("Remove stem"), self.tr("Remove the selected stem from this run (Ctrl+Backspace)"), self._remove
        )
        self.summary = label("", "dim", wrap=True)
        self.summary.setMinimumHeight(self.summary.fontMetrics().lineSpacing() * 2)
        self.setLayout(column(self.list, row_widget(self.add, self.remove), self.summary))

    def show_stems(self, stems: StemList, shown: TimeRange | None) -> None:
        """Show the stems, and how many marks of the edited one are in the clip with the range `shown`."""
        self.list.blockSignals(True)
        self.list.clear()
        for entry in stems:
            item = QListWidgetItem(entry.name if not entry.empty else self.tr("new stem"))
            item.setFlags(item.flags() | Qt.ItemIsEditable)
            item.setToolTip(entry.summary)
            self.list.addItem(item)
        self.list.setCurrentRow(stems.current_index)
        self.list.blockSignals(False)
        self.remove.setEnabled(len(stems) > 1 or not stems.current.empty)
        self.summary.setText(self._marks_text(stems, shown))

    def _marks_text(self, stems: StemList, shown: TimeRange | None) -> str:
        marks = list(stems.current.marks)
        if not marks:
            return self.tr("Type words, or click a sound and mark it, or both.")
        visible = [mark for mark in marks if shown is None or mark.range.overlaps(shown)]
        plus = sum(mark.sign is Sign.PLUS for mark in visible)
        text = self.tr("Marks: {plus} × target here, {minus} × not here.").format(plus=plus, minus=len(visible) - plus)
        if len(visible) < len(marks):
            text += " " + self.tr("{count} outside this clip.").format(count=len(marks) - len(visible))
        return text

    def _report_selection(self, index: int) -> None:
        if index >= 0:
            self.selected.emit(index)

    def _report_name(self, item: QListWidgetItem) -> None:
        self.renamed.emit(self.list.row(item), item.text())

    def _remove(self) -> None:
        if self.list.currentRow() >= 0:
            self.remove_wanted.emit(self.list.currentRow())
