# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of stems of the next run."""

from __future__ import annotations

from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from stemline.clips import TimeRange
from stemline_panel.model.marks import Sign
from stemline_panel.model.stems import StemList
from stemline_panel.widgets.fill_choice import FillChoice
from stemline_panel.widgets.layout import button, column, label, row_widget


class StemListView(QWidget):
    """Shows the stems, and beside each what takes its place. Their names can be edited in place (F2).

    `fill_chosen` has the index of a stem and one of the constants of `fill_choice`.
    """

    selected = pyqtSignal(int)
    add_wanted = pyqtSignal()
    remove_wanted = pyqtSignal(int)
    renamed = pyqtSignal(int, str)
    fill_chosen = pyqtSignal(int, str)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.fills: list[FillChoice] = []
        self.list = QTreeWidget()
        self.list.setColumnCount(2)
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeToContents)
        self.list.setAccessibleName(self.tr("Stems"))
        self.list.setEditTriggers(QAbstractItemView.EditKeyPressed | QAbstractItemView.DoubleClicked)
        self.list.setMaximumHeight(112)
        self.list.setMinimumHeight(56)
        self.list.currentItemChanged.connect(self._report_selection)
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
        if len(self.fills) != len(stems):
            self._rebuild(len(stems))
        for index, entry in enumerate(stems):
            item = self.list.topLevelItem(index)
            name = entry.name if not entry.empty else self.tr("new stem")
            if item is not None:
                item.setText(0, name)
                item.setToolTip(0, entry.summary)
            self.fills[index].show_fill(name, entry.fill)
        self.list.setCurrentItem(self.list.topLevelItem(stems.current_index))
        self.list.blockSignals(False)
        self.remove.setEnabled(len(stems) > 1 or not stems.current.empty)
        self.summary.setText(self._marks_text(stems, shown))

    def _rebuild(self, count: int) -> None:
        self.list.clear()
        self.fills = []
        before: QWidget = self.list
        for index in range(count):
            item = QTreeWidgetItem()
            item.setFlags(item.flags() | Qt.ItemIsEditable)
            self.list.addTopLevelItem(item)
            fill = FillChoice()
            fill.chosen.connect(partial(self.fill_chosen.emit, index))
            item.setSizeHint(1, fill.sizeHint())
            self.list.setItemWidget(item, 1, fill)
            self.setTabOrder(before, fill)
            self.fills.append(fill)
            before = fill

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

    def _report_selection(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            self.selected.emit(self.list.indexOfTopLevelItem(item))

    def _report_name(self, item: QTreeWidgetItem) -> None:
        self.renamed.emit(self.list.indexOfTopLevelItem(item), item.text(0))

    def _remove(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self.remove_wanted.emit(self.list.indexOfTopLevelItem(item))
