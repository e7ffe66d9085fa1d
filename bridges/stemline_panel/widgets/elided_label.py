# SPDX-License-Identifier: GPL-3.0-or-later
"""Words that never widen the window: what does not fit ends in an ellipsis, and the tooltip has all of it."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import QSize, Qt
from PyQt5.QtGui import QPainter
from PyQt5.QtWidgets import QLabel, QSizePolicy

_ELLIPSIS = "…"


class ElidedLabel(QLabel):
    """One line. Its tooltip is its own text unless another is set after it."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setTextFormat(Qt.PlainText)
        self.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Preferred)

    def setText(self, text: str) -> None:
        super().setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        place = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text().replace("\n", "  "), Qt.ElideRight, place.width())
        if shown != _ELLIPSIS:  # alone it says nothing
            self.style().drawItemText(
                painter, place, int(self.alignment()), self.palette(), self.isEnabled(), shown, self.foregroundRole()
            )
