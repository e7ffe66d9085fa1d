# SPDX-License-Identifier: GPL-3.0-or-later
"""Small helpers for building widgets alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from PyQt5.QtCore import QObject, Qt, QTimer
from PyQt5.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from stemline_panel.widgets.buttons import Button

Layout = TypeVar("Layout", bound=QBoxLayout)


def named(widget: QWidget, name: str) -> QWidget:
    """Gives the name by which the style sheet knows it."""
    widget.setObjectName(name)
    return widget


def label(text: str = "", name: str = "", *, wrap: bool = False) -> QLabel:
    made = QLabel(text)
    made.setObjectName(name)
    made.setWordWrap(wrap)
    made.setTextFormat(Qt.PlainText)
    return made


def button(text: str, tip: str, pressed: Callable[[], object], name: str = "") -> Button:
    """`tip` is also what screen readers say."""
    made = Button(text)
    made.setObjectName(name)
    made.setToolTip(tip)
    made.setAccessibleName(tip)
    made.clicked.connect(lambda _: pressed())
    return made


def single_shot_timer(owner: QObject, milliseconds: int) -> QTimer:
    """A timer that goes off once after its last start."""
    timer = QTimer(owner)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    return timer


def row(*widgets: QWidget | int, margins: int = 0, spacing: int = 6, grow: int | None = None) -> QHBoxLayout:
    """Widgets in a row; a number is a stretch. `grow` is the place of the one that takes what room there is."""
    return _fill(QHBoxLayout(), widgets, (margins, spacing), grow)


def column(*widgets: QWidget | int, margins: int = 0, spacing: int = 6, grow: int | None = None) -> QVBoxLayout:
    return _fill(QVBoxLayout(), widgets, (margins, spacing), grow)


def card(inside: QBoxLayout) -> QFrame:
    frame = QFrame()
    frame.setObjectName("card")
    inside.setContentsMargins(10, 8, 10, 10)
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
