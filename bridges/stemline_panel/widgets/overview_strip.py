# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole clip in one strip, with a frame around the shown part."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QPainter, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from stemline.clips import TimeRange
from stemline_panel.sound.waveform import WaveformData
from stemline_panel.theme import COLOURS

COLUMNS = 1200
_HEIGHT = 38


class OverviewStrip(QWidget):
    """Shows the whole clip. `moved` has the time (seconds) to centre the view on."""

    moved = pyqtSignal(float)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self.setAccessibleName(self.tr("Overview of the clip"))
        self.setToolTip(self.tr("The whole clip. Click or drag to move the view."))
        self._whole: TimeRange | None = None
        self._shown: TimeRange | None = None
        self._data: WaveformData | None = None
        self._wave = QPolygonF()
        self._playhead = 0.0

    def show_clip(self, whole: TimeRange) -> None:
        """Start another clip."""
        self._whole, self._data = whole, None
        self._rebuild()

    def show_range(self, shown: TimeRange) -> None:
        """Move the frame."""
        self._shown = shown
        self.update()

    def draw(self, data: WaveformData) -> None:
        """Draw the waveform."""
        self._data = data
        self._rebuild()

    def set_playhead(self, time: float) -> None:
        """Move the playhead; only its old and its new place are painted again."""
        before, self._playhead = self._playhead, time
        for place in (before, time):
            self.update(int(self._x(place)) - 2, 0, 5, _HEIGHT)

    def resizeEvent(self, event: Any) -> None:
        """Fit the waveform to the new width."""
        self._rebuild()

    def mousePressEvent(self, event: Any) -> None:
        """Move the view to the mouse."""
        self._report_time(event)

    def mouseMoveEvent(self, event: Any) -> None:
        """Move the view with the mouse."""
        if event.buttons() & Qt.LeftButton:
            self._report_time(event)

    def paintEvent(self, event: Any) -> None:
        """Draw waveform, frame and playhead."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(COLOURS.field))
        if self._whole is None or not self._whole.duration:
            return
        painter.setPen(Qt.NoPen)
        painter.setBrush(QColor(COLOURS.wave).darker(130))
        painter.drawPolygon(self._wave)
        if self._shown is not None:
            left, right = self._x(float(self._shown.start)), self._x(float(self._shown.end))
            for part in (QRectF(0, 0, left, _HEIGHT), QRectF(right, 0, self.width() - right, _HEIGHT)):
                painter.fillRect(part, QColor(0, 0, 0, 120))
            painter.setBrush(Qt.NoBrush)
            painter.setPen(QPen(QColor(COLOURS.dim), 1))
            painter.drawRect(QRectF(left, 0.5, max(2.0, right - left - 1), _HEIGHT - 1.5))
        painter.setPen(QPen(QColor(COLOURS.playhead), 1))
        painter.drawLine(QPointF(self._x(self._playhead), 0), QPointF(self._x(self._playhead), _HEIGHT))

    def _rebuild(self) -> None:
        self._wave = self._outline(self._data) if self._data is not None else QPolygonF()
        self.update()

    def _outline(self, data: WaveformData) -> QPolygonF:
        middle, half = _HEIGHT / 2, _HEIGHT / 2 - 3
        places = [self._x(time) for time in data.times]
        upper = [QPointF(x, middle - max(0.4, half * y)) for x, y in zip(places, data.high, strict=True)]
        lower = [QPointF(x, middle - min(-0.4, half * y)) for x, y in zip(places, data.low, strict=True)]
        return QPolygonF([*upper, *reversed(lower)])

    def _x(self, time: float) -> float:
        if self._whole is None:
            return 0.0
        return (time - float(self._whole.start)) / float(self._whole.duration) * self.width()

    def _report_time(self, event: Any) -> None:
        if self._whole is not None:
            share = event.pos().x() / max(1, self.width())
            self.moved.emit(float(self._whole.start) + share * float(self._whole.duration))
