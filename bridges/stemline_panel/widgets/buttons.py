# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons for mouse and keys: Space presses one that was reached by Tab; after a click Space goes on playing."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import QEvent, QObject, QSize, Qt
from PyQt5.QtWidgets import QAbstractButton, QCheckBox, QPushButton, QStyle, QStyleOptionButton, QStylePainter

_BY_KEYS = (Qt.TabFocusReason, Qt.BacktabFocusReason)
_PRESSES = (Qt.Key_Space, Qt.Key_Return, Qt.Key_Enter)
_EDGE = 16


class _Keys(QObject):
    """Takes the keys that press a button from the window's shortcuts, where Tab led to it."""

    def __init__(self, pressed: QAbstractButton) -> None:
        super().__init__(pressed)
        self._button = pressed
        self._by_keys = False
        pressed.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        kind = event.type()
        if kind == QEvent.FocusIn:
            self._by_keys = event.reason() in _BY_KEYS
        elif kind == QEvent.ShortcutOverride and self._by_keys and _is_press(event):
            event.accept()
            return True
        elif kind == QEvent.KeyPress and _is_press(event) and event.key() != Qt.Key_Space:
            self._button.click()
            return True
        return False


class Button(QPushButton):
    """Words that do not fit end in an ellipsis. It asks for no more than `most_pixels`, and takes any width for 0."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        _Keys(self)
        self.most_pixels: int | None = None

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        return hint if self.most_pixels is None else QSize(min(hint.width(), self.most_pixels), hint.height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: Any) -> None:
        option = QStyleOptionButton()
        self.initStyleOption(option)
        if self.most_pixels is not None:
            option.text = self.fontMetrics().elidedText(option.text, Qt.ElideRight, self.width() - _EDGE)
        QStylePainter(self).drawControl(QStyle.CE_PushButton, option)


class CheckBox(QCheckBox):
    """A box to tick."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        _Keys(self)


def _is_press(event: Any) -> bool:
    return event.key() in _PRESSES and event.modifiers() in (Qt.NoModifier, Qt.KeypadModifier)
