# SPDX-License-Identifier: GPL-3.0-or-later
"""The sounds of a result, a strip for each, and the buttons Apply, Replace and Take back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PyQt5.QtCore import QMimeData, QPoint, QSize, Qt, QUrl, pyqtSignal
from PyQt5.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QWidget

from stemline_panel.widgets.amount_fader import AmountFader
from stemline_panel.widgets.layout import ElidedLabel, button, column, label, row_widget

_NOTICE_LINES = 3
_MIN_LIST_PIXELS, _MAX_LIST_PIXELS = 90, 250


@dataclass(frozen=True, slots=True)
class ResultLine:
    """One layer of the result, as text.

    `amount_db` is its gain in the remix, and None if it has no fader; `default_db` is what a reset sets it to.
    `take_plays` says of a take of a fill whether it plays, and is None for other sounds.
    """

    name: str
    found: str
    level: str
    path: str
    amount_db: float | None = None
    default_db: float = 0.0
    take_plays: bool | None = None


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


class SoundStrip(QWidget):
    """One sound: its name, what it was found as, its level, solo, mute and fader; of a take also its choice."""

    def __init__(self, name: str, *, with_fader: bool) -> None:
        """Build the strip of a sound."""
        super().__init__()
        self._title = label(name)
        self._title.setMaximumWidth(130)
        self._found, self.level = ElidedLabel("dim"), label("", "dim")
        tip = self.tr("Play {sound} in the place of the removed sound; the other takes are off").format(sound=name)
        self.take = button(self.tr("Use"), tip, lambda: None, "small")
        self.take.setCheckable(True)
        self.take.hide()
        head = row_widget(self._title, self._found, self.level, self.take, grow=1, spacing=8)
        tip = self.tr("Hear {sound} alone; press again for the remix").format(sound=name)
        self.solo = button("S", tip, lambda: None, "small")
        tip = self.tr("Take {sound} out of the remix, or put it back").format(sound=name)
        self.mute = button("M", tip, lambda: None, "small")
        self.fader = AmountFader(name)
        for made in (self.solo, self.mute):
            made.setCheckable(True)
        controls = row_widget(self.solo, self.mute, self.fader, grow=2, spacing=4)
        self.setLayout(column(head, controls, spacing=0))
        controls.setVisible(with_fader)
        self.layout().setContentsMargins(6, 3, 6, 3)

    def show_line(self, line: ResultLine) -> None:
        """Show the sound as it is now."""
        self._found.setText(line.found)
        self.level.setText(line.level)
        self.take.setVisible(line.take_plays is not None)
        self.take.setChecked(bool(line.take_plays))
        self.setToolTip("\n".join(filter(None, (line.name, line.found, line.path))))
        if line.amount_db is not None:
            self.fader.default_db = line.default_db
            self.fader.show_amount(line.amount_db)
            self.mute.setChecked(line.amount_db == float("-inf"))


class _SoundList(QListWidget):
    """The list of strips. A strip dragged to another program is its stem file."""

    def __init__(self) -> None:
        super().__init__()
        self.find_file: Callable[[str], Path | None] = lambda _: None
        self.setObjectName("sounds")
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragOnly)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setResizeMode(QListWidget.Adjust)
        self.setContextMenuPolicy(Qt.CustomContextMenu)

    def sizeHint(self) -> QSize:
        """Return the height of the strips, within limits: the request below needs the room."""
        height = sum(self.sizeHintForRow(row) for row in range(self.count())) + 2 * self.frameWidth()
        return QSize(super().sizeHint().width(), min(max(_MIN_LIST_PIXELS, height), _MAX_LIST_PIXELS))

    def minimumSizeHint(self) -> QSize:
        """Return the height of two strips."""
        return QSize(super().minimumSizeHint().width(), _MIN_LIST_PIXELS)

    def mimeData(self, items: Any) -> QMimeData:
        data = QMimeData()
        files = [self.find_file(item.data(Qt.UserRole)) for item in items]
        data.setUrls([QUrl.fromLocalFile(str(file)) for file in files if file is not None])
        return data


class SoundsView(QWidget):
    """Shows one result.

    `layer_chosen` has the name of the layer that the user picked, `solo_toggled` and `mute_toggled` the name of a
    sound, `amount_changed` a name and its gain in dB, `take_chosen` the name of a take, `menu_wanted` a name and a
    place on the screen.
    """

    apply_wanted = pyqtSignal()
    replace_wanted = pyqtSignal()
    take_back_wanted = pyqtSignal()
    layer_chosen = pyqtSignal(str)
    solo_toggled = pyqtSignal(str, bool)
    mute_toggled = pyqtSignal(str, bool)
    amount_changed = pyqtSignal(str, float)
    take_chosen = pyqtSignal(str)
    menu_wanted = pyqtSignal(str, QPoint)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._title = ElidedLabel("caption")
        self.strips: dict[str, SoundStrip] = {}
        self._with_fader: list[str] = []
        self.null = label("", "dim")
        self.list = _SoundList()
        self.list.setAccessibleName(self.tr("Sounds of the result"))
        self.list.itemClicked.connect(lambda item: self.layer_chosen.emit(item.data(Qt.UserRole)))
        self.list.currentItemChanged.connect(self._report_current)
        self.list.customContextMenuRequested.connect(self._report_menu)
        self.notices = label("", "dim", wrap=True)
        self.notices.setAlignment(Qt.AlignTop)
        self.notices.setMaximumHeight(self.notices.fontMetrics().lineSpacing() * _NOTICE_LINES)
        self.apply = button(self.tr("Apply"), self.tr("Apply the stems (Ctrl+Return)"), self.apply_wanted.emit)
        self.apply.most_pixels = 0
        tip = self.tr("Take back the earlier stems and apply these")
        self.replace = button(self.tr("Replace"), tip, self.replace_wanted.emit)
        tip = self.tr("Undo Apply: remove the stems again (Ctrl+Delete)")
        self.take_back = button(self.tr("Take back"), tip, self.take_back_wanted.emit)
        head = row_widget(self._title, self.null, grow=0)
        foot = row_widget(self.apply, self.replace, self.take_back, grow=0)
        self.setLayout(column(head, self.list, self.notices, foot, grow=1))
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.show_nothing()

    @property
    def faders(self) -> dict[str, AmountFader]:
        """The faders by the name of their sound."""
        return {name: self.strips[name].fader for name in self._with_fader}

    def names(self) -> list[str]:
        """Return the names of the shown sounds."""
        return list(self.strips)

    def show_nothing(self) -> None:
        """Show that there is no result."""
        self.show_result(ShownResult("", (), ("", ""), "", ResultState(self.tr("Apply"))))

    def show_result(self, shown: ShownResult) -> None:
        """Show a result."""
        caption = self.tr("SOUNDS")
        self._title.setText(f"{caption}  {shown.title}" if shown.title else caption)
        text, tip = shown.null
        self.null.setText(text)
        self.null.setToolTip(tip)
        self._show_lines(list(shown.lines))
        self.notices.setText(shown.notices)
        self.notices.setToolTip(shown.notices)
        self.notices.setVisible(bool(shown.notices))
        state = shown.state
        self.apply.setToolTip(f"{state.consequence or state.apply_label} (Ctrl+Return)")
        self.apply.setEnabled(state.can_apply)
        self.replace.setVisible(state.can_replace)
        self.take_back.setEnabled(state.can_take_back)

    def show_choice(self, name: str) -> None:
        """Show which sound is heard."""
        for sound, strip in self.strips.items():
            strip.solo.setChecked(sound == name)

    def _show_lines(self, lines: list[ResultLine]) -> None:
        """Rebuild the list only if it has other sounds, so that the keyboard focus stays where it is."""
        with_fader = [line.name for line in lines if line.amount_db is not None]
        if list(self.strips) != [line.name for line in lines] or with_fader != self._with_fader:
            self._rebuild(lines, with_fader)
        for line in lines:
            self.strips[line.name].show_line(line)

    def _rebuild(self, lines: list[ResultLine], with_fader: list[str]) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        self.strips, self._with_fader = {}, with_fader
        before: QWidget = self.list
        for line in lines:
            strip = self.strips[line.name] = SoundStrip(line.name, with_fader=line.name in with_fader)
            item = QListWidgetItem()
            item.setData(Qt.UserRole, line.name)
            item.setData(Qt.AccessibleTextRole, f"{line.name}, {line.found}")
            item.setSizeHint(QSize(0, strip.sizeHint().height()))
            self.list.addItem(item)
            self.list.setItemWidget(item, strip)
            strip.solo.clicked.connect(partial(self.solo_toggled.emit, line.name))
            strip.mute.clicked.connect(partial(self.mute_toggled.emit, line.name))
            strip.fader.changed.connect(partial(self.amount_changed.emit, line.name))
            strip.take.clicked.connect(partial(self._report_take, line.name))
            for part in (strip.take, strip.fader.slider, strip.solo, strip.mute):
                self.setTabOrder(before, part)
                before = part
        self.list.blockSignals(False)
        self.list.updateGeometry()

    def _report_current(self, item: QListWidgetItem | None) -> None:
        """Choose a layer with the arrow keys as with a click."""
        if item is not None and self.list.hasFocus():
            self.layer_chosen.emit(item.data(Qt.UserRole))

    def _report_take(self, name: str, _: bool) -> None:
        self.take_chosen.emit(name)

    def _report_menu(self, at: QPoint) -> None:
        item = self.list.itemAt(at)
        if item is not None:
            self.menu_wanted.emit(item.data(Qt.UserRole), self.list.viewport().mapToGlobal(at))
