# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run: what was found, how loud it is, and the buttons Apply, Replace and Take back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from stemline_panel.widgets.amount_fader import AmountFader
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, column, label, row_widget

_NOTICE_LINES = 3
_MAX_COLUMN_WIDTH = 220
_AMOUNT, _FILE = 3, 4


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One layer of the result, as text.

    `amount_db` is its gain in the remix, and None if it has no fader; `default_db` is what a reset sets it to.
    """

    name: str
    found: str
    level: str
    path: str
    amount_db: float | None = None
    default_db: float = 0.0


@dataclass(frozen=True, slots=True)
class ResultState:
    """What can be done with the shown result. `consequence` says what Apply writes."""

    apply_label: str
    can_apply: bool = False
    can_replace: bool = False
    can_take_back: bool = False
    consequence: str = ""


@dataclass(frozen=True, slots=True)
class ShownResult:
    """A result as text. `null` is (text, tooltip) on how far the layers add up to the original."""

    title: str
    lines: Sequence[ResultLine]
    null: tuple[str, str]
    notices: str
    state: ResultState


class ResultsView(QWidget):
    """Shows one result.

    `layer_chosen` has the name of the layer that the user picked, `amount_changed` a name and its gain in dB.
    """

    apply_wanted = pyqtSignal()
    replace_wanted = pyqtSignal()
    take_back_wanted = pyqtSignal()
    layer_chosen = pyqtSignal(str)
    amount_changed = pyqtSignal(str, float)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._title = ElidedLabel("caption")
        self.faders: dict[str, AmountFader] = {}
        self.null = label("", "dim")
        self.table = QTreeWidget()
        heads = [self.tr("Sound"), self.tr("Found as"), self.tr("Level"), self.tr("Amount"), self.tr("File")]
        self.table.setColumnCount(len(heads))
        self.table.setHeaderLabels(heads)
        self.table.setRootIsDecorated(False)
        self.table.setMinimumHeight(60)
        self.table.setAccessibleName(self.tr("Result"))
        header = self.table.header()
        header.setSectionResizeMode(QHeaderView.ResizeToContents)
        header.setStretchLastSection(True)
        header.setMaximumSectionSize(_MAX_COLUMN_WIDTH)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.table.itemClicked.connect(lambda item, _: self.layer_chosen.emit(item.text(0)))
        self.table.currentItemChanged.connect(self._report_current)
        self.notices = label("", "dim", wrap=True)
        self.notices.setAlignment(Qt.AlignTop)
        self.notices.setMaximumHeight(self.notices.fontMetrics().lineSpacing() * _NOTICE_LINES)
        self.apply = button(self.tr("Apply"), self.tr("Apply the stems (Ctrl+Return)"), self.apply_wanted.emit)
        tip = self.tr("Take back the earlier stems and apply these")
        self.replace = button(self.tr("Replace"), tip, self.replace_wanted.emit)
        tip = self.tr("Undo Apply: remove the stems again (Ctrl+Delete)")
        self.take_back = button(self.tr("Take back"), tip, self.take_back_wanted.emit)
        head = row_widget(self._title, self.null, grow=0)
        foot = row_widget(self.apply, self.replace, self.take_back, 1)
        self.setLayout(column(head, self.table, self.notices, foot))
        self.show_nothing()

    def show_nothing(self) -> None:
        """Show that there is no result."""
        self.show_result(ShownResult("", (), ("", ""), "", ResultState(self.tr("Apply"))))

    def show_result(self, shown: ShownResult) -> None:
        """Show a result."""
        caption = self.tr("RESULT")
        self._title.setText(f"{caption}  {shown.title}" if shown.title else caption)
        text, tip = shown.null
        self.null.setText(text)
        self.null.setToolTip(tip)
        self._show_lines(list(shown.lines))
        self.notices.setText(shown.notices)
        self.notices.setToolTip(shown.notices)
        self.notices.setVisible(bool(shown.notices))
        state = shown.state
        self.apply.setText(state.apply_label)
        self.apply.setToolTip(f"{state.consequence or state.apply_label} (Ctrl+Return)")
        self.apply.setEnabled(state.can_apply)
        self.replace.setVisible(state.can_replace)
        self.take_back.setEnabled(state.can_take_back)

    def _show_lines(self, lines: list[ResultLine]) -> None:
        """Rebuild the table only if it has other sounds, so that the keyboard focus stays where it is."""
        items = [self.table.topLevelItem(index) for index in range(self.table.topLevelItemCount())]
        with_fader = [line.name for line in lines if line.amount_db is not None]
        if [item.text(0) for item in items if item] != [line.name for line in lines] or with_fader != [*self.faders]:
            self._rebuild(lines)
        for index, line in enumerate(lines):
            item = self.table.topLevelItem(index)
            if item is not None:
                for column_index, text in ((1, line.found), (2, line.level), (_FILE, _file_name(line.path))):
                    item.setText(column_index, text)
                item.setToolTip(_FILE, line.path)
            if line.amount_db is not None:
                self.faders[line.name].default_db = line.default_db
                self.faders[line.name].show_amount(line.amount_db)

    def _rebuild(self, lines: list[ResultLine]) -> None:
        self.table.blockSignals(True)
        self.table.clear()
        self.faders = {}
        before: QWidget = self.table
        for line in lines:
            item = QTreeWidgetItem([line.name])
            self.table.addTopLevelItem(item)
            if line.amount_db is not None:
                fader = self.faders[line.name] = AmountFader(line.name)
                fader.changed.connect(partial(self.amount_changed.emit, line.name))
                item.setSizeHint(_AMOUNT, fader.sizeHint())
                self.table.setItemWidget(item, _AMOUNT, fader)
                self.setTabOrder(before, fader.slider)
                before = fader.slider
        self.table.blockSignals(False)

    def _report_current(self, item: QTreeWidgetItem | None) -> None:
        """Choose a layer with the arrow keys as with a click."""
        if item is not None and self.table.hasFocus():
            self.layer_chosen.emit(item.text(0))


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
