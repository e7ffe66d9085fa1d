# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, buttons and layouts in one style."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from PyQt5.QtCore import QObject, QSize, Qt, QTimer
from PyQt5.QtGui import QPainter
from PyQt5.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from stemline_panel.widgets.buttons import Button

Layout = TypeVar("Layout", bound=QBoxLayout)

CARD_MARGIN = 10


def label(text: str = "", name: str = "", *, wrap: bool = False) -> QLabel:
    """Return a plain-text label; `name` is its object name for the style sheet."""
    made = QLabel(text)
    made.setObjectName(name)
    made.setWordWrap(wrap)
    made.setTextFormat(Qt.PlainText)
    return made


def button(text: str, tip: str, pressed: Callable[[], object], name: str = "") -> Button:
    """Return a button; `tip` is its tooltip and its name for screen readers."""
    made = Button(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.setAccessibleName(tip)
    made.clicked.connect(lambda _: pressed())
    return made


def single_shot_timer(owner: QObject, milliseconds: int) -> QTimer:
    """Return a timer that fires once after its last start."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer


def row(*widgets: QWidget | int, margins: int = 0, spacing: int = 6, grow: int | None = None) -> QHBoxLayout:
    """Return a horizontal layout. A number is a stretch; `grow` is the index of the widget that takes spare room."""
    return _fill(QHBoxLayout(), widgets, (margins, spacing), grow)


def column(*widgets: QWidget | int, margins: int = 0, spacing: int = 6, grow: int | None = None) -> QVBoxLayout:
    """Return a vertical layout, as `row` does."""
    return _fill(QVBoxLayout(), widgets, (margins, spacing), grow)


def row_widget(*widgets: QWidget | int, spacing: int = 6, grow: int | None = None) -> QWidget:
    """Return a widget with a horizontal layout, as `row` does."""
    holder = QWidget()
    holder.setLayout(row(*widgets, spacing=spacing, grow=grow))
    return holder


def card(inside: QBoxLayout) -> QFrame:
    """Return a framed panel with a layout."""
    frame = QFrame()
    frame.setObjectName("card")
    inside.setContentsMargins(CARD_MARGIN, 8, CARD_MARGIN, 10)
    frame.setLayout(inside)
    return frame


def _fill(layout: Layout, widgets: tuple[QWidget | int, ...], room: tuple[int, int], grow: int | None) -> Layout:
    margin, spacing = room
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    for widget in widgets:
        if isinstance(widget, int):
            layout.addStretch(widget)
        else:
            layout.addWidget(widget)
    if grow is not None:
        layout.setStretch(grow, 1)
    return layout


class ElidedLabel(QLabel):
    """One line that never widens the window: long text ends in an ellipsis.

    Its tooltip is its text unless another is set afterwards.
    """

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
        if shown != "…":
            self.style().drawItemText(
                painter, place, int(self.alignment()), self.palette(), self.isEnabled(), shown, self.foregroundRole()
            )
