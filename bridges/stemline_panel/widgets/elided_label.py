# SPDX-License-Identifier: GPL-3.0-or-later
"""A label that never widens the window: long text ends in an ellipsis, and the tooltip has all of it."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import QSize, Qt
from PyQt5.QtGui import QPainter
from PyQt5.QtWidgets import QLabel, QSizePolicy

_ELLIPSIS = "…"


class ElidedLabel(QLabel):
    """One line. Its tooltip is its text unless another is set afterwards."""

    def __init__(self, name: str = "") -> None:
        """Give the label an object name for the style sheet."""
        super().__init__()
        self.setObjectName(name)
        self.setTextFormat(Qt.PlainText)
        self.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Preferred)

    def setText(self, text: str) -> None:
        """Set text and tooltip."""
        super().setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        """Return no width and the height of one line."""
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: Any) -> None:
        """Draw as much of the text as fits; nothing if only the ellipsis would."""
        painter = QPainter(self)
        place = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text().replace("\n", "  "), Qt.ElideRight, place.width())
        if shown != _ELLIPSIS:
            self.style().drawItemText(
                painter, place, int(self.alignment()), self.palette(), self.isEnabled(), shown, self.foregroundRole()
            )
