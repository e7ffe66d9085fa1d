# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouse on the waveform: click, drag to select, drag with Shift or Alt to mark, wheel to zoom."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from PyQt5.QtCore import Qt, pyqtSignal

_ZOOM_STEP = 1.25


class WaveViewBox(pg.ViewBox):
    """A view box whose x axis is time in seconds. The y axis is fixed; `heights` are the ends of the last drag on it.

    The signals have times: `clicked` and `menu_wanted` of the mouse, `dragging` and `dragged` the start and the end,
    `zoomed` the fixed time and the factor, `panned` the distance.
    """

    clicked = pyqtSignal(float)
    menu_wanted = pyqtSignal(float, object)
    dragging = pyqtSignal(float, float)
    dragged = pyqtSignal(float, float, object)
    zoomed = pyqtSignal(float, float)
    panned = pyqtSignal(float)

    def __init__(self) -> None:
        """Disable pyqtgraph's own mouse handling and menu."""
        super().__init__(enableMenu=False)
        self.setMouseEnabled(x=False, y=False)
        self.heights = (0.0, 0.0)

    def mouseClickEvent(self, event: Any) -> None:
        """Report a click of the left or right button."""
        time = self.mapSceneToView(event.scenePos()).x()
        event.accept()
        if event.button() == Qt.RightButton:
            self.menu_wanted.emit(time, event.screenPos().toPoint())
        elif event.button() == Qt.LeftButton:
            self.clicked.emit(time)

    def mouseDragEvent(self, event: Any, axis: int | None = None) -> None:
        """Report dragging with the left button, and pan with the middle one."""
        event.accept()
        first, last = (self.mapSceneToView(at) for at in (event.buttonDownScenePos(event.button()), event.scenePos()))
        start, now = first.x(), last.x()
        self.heights = min(first.y(), last.y()), max(first.y(), last.y())
        if event.button() == Qt.LeftButton:
            if event.isFinish():
                self.dragged.emit(start, now, event.modifiers())
            else:
                self.dragging.emit(start, now)
        elif event.button() == Qt.MiddleButton:
            before = self.mapSceneToView(event.lastScenePos()).x()
            self.panned.emit(before - now)

    def wheelEvent(self, event: Any, axis: int | None = None) -> None:
        """Zoom around the mouse; pan with Shift."""
        event.accept()
        if event.modifiers() & Qt.ShiftModifier:
            first, last = self.viewRange()[0]
            self.panned.emit(-(last - first) * event.delta() / 1200)
        else:
            self.zoomed.emit(self.mapSceneToView(event.scenePos()).x(), _ZOOM_STEP ** (-event.delta() / 120))
