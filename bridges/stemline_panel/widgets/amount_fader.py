# SPDX-License-Identifier: GPL-3.0-or-later
"""The fader that sets the amount of one sound in the remix."""

from __future__ import annotations

import math
from typing import Any

from PyQt5.QtCore import QEvent, Qt, pyqtSignal
from PyQt5.QtWidgets import QSlider, QWidget

from stemline_panel.model.formatting import format_amount
from stemline_panel.widgets.layout import label, row

MAX_DB = 12
_MIN_DB = -48
_OFF = _MIN_DB - 1
_PAGE_DB = 6
_WIDTH_PIXELS = 90
_KEYS = (
    Qt.Key_Left, Qt.Key_Right, Qt.Key_Up, Qt.Key_Down, Qt.Key_PageUp, Qt.Key_PageDown, Qt.Key_Home, Qt.Key_End,
)  # fmt: skip
_RESET_KEYS = (Qt.Key_Delete, Qt.Key_Backspace)


class AmountFader(QWidget):
    """A slider from "Off" to +12 dB in steps of 1 dB. `changed` has the gain in dB; "Off" is minus infinity.

    A double-click, Delete or Backspace resets it.
    """

    changed = pyqtSignal(float)

    def __init__(self, sound: str) -> None:
        """Build the fader of a sound, at 0 dB."""
        super().__init__()
        self.default_db = 0.0
        self.slider = _Slider(Qt.Horizontal)
        self.slider.setRange(_OFF, MAX_DB)
        self.slider.setPageStep(_PAGE_DB)
        self.slider.setMinimumWidth(_WIDTH_PIXELS)
        self.slider.setAccessibleName(self.tr("Amount of {sound}").format(sound=sound))
        self.slider.setToolTip(self.tr("Amount in the remix; double-click or press Delete to reset it"))
        self.slider.reset_wanted.connect(self._reset)
        self.slider.valueChanged.connect(self._report)
        self.value = label()
        self.value.setMinimumWidth(self.value.fontMetrics().horizontalAdvance(format_amount(-88)))
        layout = row(self.slider, self.value, spacing=10, grow=0)
        layout.setContentsMargins(2, 0, 6, 0)
        self.setLayout(layout)
        self.show_amount(0.0)

    @property
    def amount_db(self) -> float:
        """The gain in dB; minus infinity if the sound is off."""
        steps = self.slider.value()
        return float(steps) if steps > _OFF else -math.inf

    def show_amount(self, amount_db: float) -> None:
        """Move the fader without reporting it."""
        self.slider.blockSignals(True)
        self.slider.setValue(max(_MIN_DB, round(amount_db)) if amount_db > -math.inf else _OFF)
        self.slider.blockSignals(False)
        self._show_value()

    def _show_value(self) -> None:
        text = format_amount(self.amount_db)
        self.value.setText(text)
        self.slider.setAccessibleDescription(text)

    def _report(self) -> None:
        self._show_value()
        self.changed.emit(self.amount_db)

    def _reset(self) -> None:
        self.show_amount(self.default_db)
        self.changed.emit(self.amount_db)


class _Slider(QSlider):
    """A slider that gets its keys before the shortcuts of the window, and leaves the wheel to the list."""

    reset_wanted = pyqtSignal()

    def event(self, event: Any) -> bool:
        """Claim the keys that move or reset the slider."""
        if event.type() == QEvent.ShortcutOverride and event.key() in _KEYS + _RESET_KEYS and not event.modifiers():
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: Any) -> None:
        """Reset on Delete and Backspace."""
        if event.key() in _RESET_KEYS:
            self.reset_wanted.emit()
        else:
            super().keyPressEvent(event)

    def mouseDoubleClickEvent(self, event: Any) -> None:
        """Reset."""
        self.reset_wanted.emit()

    def wheelEvent(self, event: Any) -> None:
        """Scroll the list."""
        event.ignore()
