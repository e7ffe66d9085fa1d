# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finished run found, how loud it is, and that it adds up; Apply, Replace, Remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, column, label, row

_NOTICE_LINES = 3
_WIDEST_COLUMN = 220
_HEADS = ("Sound", "Found as", "Level", "File")


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One sound of the result, in words."""

    name: str
    found: str
    level: str
    path: str


@dataclass(frozen=True, slots=True)
class ResultState:
    """What can be done with the shown result, and what it will do."""

    apply_label: str
    can_apply: bool = False
    can_replace: bool = False
    can_take_back: bool = False
    will: str = ""


class ResultsView(QWidget):
    """`layer_chosen` tells which sound a line stands for."""

    apply_wanted = pyqtSignal()
    replace_wanted = pyqtSignal()
    take_back_wanted = pyqtSignal()
    layer_chosen = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self._title = ElidedLabel("caption")
        self._lines: list[ResultLine] = []
        self.null = label("", "dim")
        self.table = QTreeWidget()
        self.table.setColumnCount(len(_HEADS))
        self.table.setHeaderLabels(_HEADS)
        self.table.setRootIsDecorated(False)
        self.table.setMinimumHeight(60)
        self.table.setAccessibleName("Result")
        header = self.table.header()
        header.setSectionResizeMode(QHeaderView.ResizeToContents)
        header.setStretchLastSection(True)
        header.setMaximumSectionSize(_WIDEST_COLUMN)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.table.itemClicked.connect(lambda item, _: self.layer_chosen.emit(item.text(0)))
        self.table.currentItemChanged.connect(self._moved_to)
        self.notices = label("", "dim", wrap=True)
        self.notices.setAlignment(Qt.AlignTop)
        self.notices.setMaximumHeight(self.notices.fontMetrics().lineSpacing() * _NOTICE_LINES)
        self.apply = button("Apply", "Put the stems in (Ctrl+Return)", self.apply_wanted.emit)
        self.replace = button("Replace", "Take the earlier stems out and put these in", self.replace_wanted.emit)
        self.take_back = button("Remove", "Take the stems out again (Ctrl+Delete)", self.take_back_wanted.emit)
        head, foot = QWidget(), QWidget()
        head.setLayout(row(self._title, self.null, grow=0))
        foot.setLayout(row(self.apply, self.replace, self.take_back, 1))
        self.setLayout(column(head, self.table, self.notices, foot))
        self.show_nothing()

    def show_nothing(self) -> None:
        self.show_result("", (), "", "", ResultState("Apply"))

    def show_result(self, title: str, lines: Sequence[ResultLine], null: str, notices: str, state: ResultState) -> None:
        self._title.setText(f"RESULT  {title}" if title else "RESULT")
        self.null.setText(null)
        self._show_lines(list(lines))
        self.notices.setText(notices)
        self.notices.setToolTip(notices)
        self.notices.setVisible(bool(notices))
        self.apply.setText(state.apply_label)
        self.apply.setToolTip(f"{state.will} (Ctrl+Return)".strip())
        self.apply.setEnabled(state.can_apply)
        self.replace.setVisible(state.can_replace)
        self.take_back.setEnabled(state.can_take_back)

    def _show_lines(self, lines: list[ResultLine]) -> None:
        """Built anew only where something changed: whoever moves in it with the keys stays where they are."""
        if lines == self._lines:
            return
        self._lines = lines
        self.table.blockSignals(True)
        self.table.clear()
        for line in lines:
            item = QTreeWidgetItem([line.name, line.found, line.level, line.path.replace("\\", "/").rpartition("/")[2]])
            item.setToolTip(3, line.path)
            self.table.addTopLevelItem(item)
        self.table.blockSignals(False)

    def _moved_to(self, item: QTreeWidgetItem | None) -> None:
        """The arrow keys choose a sound as a click does."""
        if item is not None and self.table.hasFocus():
            self.layer_chosen.emit(item.text(0))
