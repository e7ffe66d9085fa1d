# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons for mouse and keyboard.

Space presses a button that was reached by Tab. After a mouse click Space still starts and stops playback.
"""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import QEvent, QObject, QSize, Qt
from PyQt5.QtWidgets import (
    QAbstractButton,
    QCheckBox,
    QPushButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
)

_TAB_REASONS = (Qt.TabFocusReason, Qt.BacktabFocusReason)
_PRESS_KEYS = (Qt.Key_Space, Qt.Key_Return, Qt.Key_Enter)
_EDGE_PIXELS = 16


class _PressKeyFilter(QObject):
    """Gives a button that was reached by Tab the keys that press it, before the window's shortcuts get them."""

    def __init__(self, button: QAbstractButton) -> None:
        super().__init__(button)
        self._button = button
        self._by_tab = False
        button.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        kind = event.type()
        if kind == QEvent.FocusIn:
            self._by_tab = event.reason() in _TAB_REASONS
        elif kind == QEvent.ShortcutOverride and self._by_tab and _is_press(event):
            event.accept()
            return True
        elif kind == QEvent.KeyPress and _is_press(event) and event.key() != Qt.Key_Space:
            self._button.click()
            return True
        return False


class Button(QPushButton):
    """A button that shortens a long text with an ellipsis.

    It asks for at most `most_pixels` of width; 0 lets it take any width, None never shortens the text.
    """

    def __init__(self, text: str = "") -> None:
        """Show `text`."""
        super().__init__(text)
        _PressKeyFilter(self)
        self.most_pixels: int | None = None
        self._least_pixels: int | None = None

    def shrink_to(self, least_pixels: int) -> None:
        """Let a layout without room shorten the text, to `least_pixels` of width."""
        self._least_pixels = least_pixels
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size of the text, limited to `most_pixels`."""
        hint = super().sizeHint()
        return hint if self.most_pixels is None else QSize(min(hint.width(), self.most_pixels), hint.height())

    def minimumSizeHint(self) -> QSize:
        """Return the size hint, or less if the button may shrink."""
        hint = self.sizeHint()
        return hint if self._least_pixels is None else QSize(min(hint.width(), self._least_pixels), hint.height())

    def paintEvent(self, event: Any) -> None:
        """Draw the button with the shortened text."""
        option = QStyleOptionButton()
        self.initStyleOption(option)
        if self.most_pixels is not None or self._least_pixels is not None:
            option.text = self.fontMetrics().elidedText(option.text, Qt.ElideRight, self.width() - _EDGE_PIXELS)
        QStylePainter(self).drawControl(QStyle.CE_PushButton, option)


class CheckBox(QCheckBox):
    """A check box."""

    def __init__(self, text: str) -> None:
        """Show `text` beside the box."""
        super().__init__(text)
        _PressKeyFilter(self)


def _is_press(event: Any) -> bool:
    return event.key() in _PRESS_KEYS and event.modifiers() in (Qt.NoModifier, Qt.KeypadModifier)
