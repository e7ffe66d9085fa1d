# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame at the playhead, with the marked object over it, and the strip of frames above the waveform."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QImage, QPainter, QPen
from PyQt5.QtWidgets import QSizePolicy, QWidget

from stemline.clips import TimeRange
from stemline.media.pictures.tracking import Marks, Mask
from stemline_panel.theme import COLOURS

_TINT = np.array((80, 220, 120), np.float32)
_TINT_SHARE = 0.4
_SIGN_PIXELS = 7.0
_DRAG_PIXELS = 4.0
_STRIP_HEIGHT = 46
_TRACK_BAR = 4
_AXIS_WIDTH = 46  # of the waveform's scale, so that both share the axis of time

Pixels = npt.NDArray[np.uint8]


def image_of(pixels: Pixels) -> QImage:
    """Return a picture, uint8 [height, width, 3] in RGB, as an image of Qt."""
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format_RGB888).copy()


class FrameView(QWidget):
    """Shows a frame as large as it fits. Drag a box, click on the object, Alt-click or right-click beside it.

    `marked` is emitted with the `Marks` of the frame, in its pixels, after each mark.
    """

    marked = pyqtSignal(object)

    def __init__(self) -> None:
        """Show nothing."""
        super().__init__()
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumHeight(170)
        self.setFocusPolicy(Qt.ClickFocus)
        self.setAccessibleName(self.tr("Frame at the playhead"))
        self.setToolTip(self.tr("Drag a box around what makes the sound. Click adds to it, Alt-click takes away."))
        self.marks = Marks()
        self.can_mark = False
        self._pixels: Pixels | None = None
        self._mask: Mask | None = None
        self._image = QImage()
        self._drag: tuple[QPointF, QPointF] | None = None

    def sizeHint(self) -> QSize:
        """Return a small size: the splitter decides."""
        return QSize(320, 200)

    def show_frame(self, pixels: Pixels | None, mask: Mask | None = None) -> None:
        """Show a frame, uint8 [height, width, 3], and the object in it; None shows nothing."""
        self._pixels, self._mask = pixels, mask
        self._image = QImage()
        if pixels is not None:
            shown = pixels
            if mask is not None and mask.shape == pixels.shape[:2] and mask.any():
                shown = shown.copy()
                shown[mask] = (shown[mask] * (1 - _TINT_SHARE) + _TINT * _TINT_SHARE).astype(np.uint8)
            self._image = image_of(shown)
        self.update()

    def show_mask(self, mask: Mask | None) -> None:
        """Show the object in the frame that is shown."""
        self.show_frame(self._pixels, mask)

    def set_marks(self, marks: Marks) -> None:
        """Replace the marks of the frame."""
        self.marks = marks
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw the frame and the marks."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.SmoothPixmapTransform)
        place = self._place()
        if self._image.isNull() or place.isEmpty():
            return
        painter.drawImage(place, self._image)
        painter.setRenderHint(QPainter.Antialiasing)
        painter.setPen(QPen(QColor("white"), 1.5))
        if self._drag is not None:
            painter.drawRect(QRectF(*self._drag).normalized())
        elif self.marks.box is not None:
            x, y, width, height = self.marks.box
            painter.drawRect(QRectF(self._to_view(x, y), self._to_view(x + width, y + height)))
        for points, sign, colour in ((self.marks.plus, "+", "#2b7cff"), (self.marks.minus, "−", "#e03c3c")):
            for x, y in points:
                at = self._to_view(x, y)
                painter.setBrush(QColor(colour))
                painter.drawEllipse(at, _SIGN_PIXELS, _SIGN_PIXELS)
                box = QRectF(at.x() - _SIGN_PIXELS, at.y() - _SIGN_PIXELS, 2 * _SIGN_PIXELS, 2 * _SIGN_PIXELS)
                painter.drawText(box, Qt.AlignCenter, sign)

    def mousePressEvent(self, event: Any) -> None:
        """Begin a box or a click."""
        if self.can_mark and self._place().contains(event.localPos()):
            self._drag = event.localPos(), event.localPos()

    def mouseMoveEvent(self, event: Any) -> None:
        """Draw the box."""
        if self._drag is not None:
            self._drag = self._drag[0], event.localPos()
            self.update()

    def mouseReleaseEvent(self, event: Any) -> None:
        """Add the box or the point to the marks."""
        if self._drag is None:
            return
        start, end, self._drag = self._drag[0], event.localPos(), None
        if (end - start).manhattanLength() > _DRAG_PIXELS:
            left, top = self._to_frame(start)
            right, bottom = self._to_frame(end)
            box = min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)
            if box[2] and box[3]:
                self.marks = Marks(box=box)
        elif event.button() == Qt.RightButton or event.modifiers() & Qt.AltModifier:
            self.marks = replace(self.marks, minus=(*self.marks.minus, self._to_frame(end)))
        else:
            self.marks = replace(self.marks, plus=(*self.marks.plus, self._to_frame(end)))
        self.update()
        self.marked.emit(self.marks)

    def contextMenuEvent(self, event: Any) -> None:
        """Show no menu: the right button marks."""
        event.accept()

    def _place(self) -> QRectF:
        """Return where the frame is in the widget."""
        size = self._image.size()
        if size.isEmpty():
            return QRectF()
        scale = min(self.width() / size.width(), self.height() / size.height())
        width, height = size.width() * scale, size.height() * scale
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)

    def _to_view(self, x: float, y: float) -> QPointF:
        place, size = self._place(), self._image.size()
        return QPointF(place.x() + x * place.width() / size.width(), place.y() + y * place.height() / size.height())

    def _to_frame(self, at: QPointF) -> tuple[int, int]:
        place, size = self._place(), self._image.size()
        x = round((at.x() - place.x()) * size.width() / place.width())
        y = round((at.y() - place.y()) * size.height() / place.height())
        return min(max(0, x), size.width() - 1), min(max(0, y), size.height() - 1)


class FrameStrip(QWidget):
    """Frames along the time that the waveform shows, over a bar that says where the object is followed.

    `sought` is emitted with the time of a click or a drag.
    """

    sought = pyqtSignal(object)

    def __init__(self) -> None:
        """Show nothing."""
        super().__init__()
        self.setFixedHeight(_STRIP_HEIGHT + _TRACK_BAR)
        self.setAccessibleName(self.tr("Filmstrip"))
        self._shown = TimeRange(Fraction(0), Fraction(1))
        self._frames: list[tuple[Fraction, QImage]] = []
        self._followed: list[tuple[Fraction, bool]] = []
        self._playhead = Fraction(0)

    def show_range(self, shown: TimeRange) -> None:
        """Show another range of time, without frames at first."""
        self._shown, self._frames = shown, []
        self.update()

    def add_frame(self, time: Fraction, pixels: Pixels) -> None:
        """Show a frame from `time` on."""
        self._frames.append((time, image_of(pixels).scaledToHeight(_STRIP_HEIGHT, Qt.SmoothTransformation)))
        self.update()

    def show_followed(self, followed: list[tuple[Fraction, bool]]) -> None:
        """Show the times of followed frames, and whether each is doubtful."""
        self._followed = followed
        self.update()

    def show_playhead(self, time: Fraction) -> None:
        """Move the playhead."""
        self._playhead = time
        self.update()

    def paintEvent(self, event: Any) -> None:
        """Draw the frames, the bar and the playhead."""
        painter = QPainter(self)
        painter.setClipRect(_AXIS_WIDTH, 0, self.width() - _AXIS_WIDTH, self.height())
        for time, image in self._frames:
            painter.drawImage(QPointF(self._x(time), 0), image)
        for time, doubtful in self._followed:
            painter.fillRect(QRectF(self._x(time), _STRIP_HEIGHT + 1, 3, _TRACK_BAR - 1), _bar_colour(doubtful))
        painter.setPen(QPen(QColor(COLOURS.text), 1))
        x = self._x(self._playhead)
        painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))

    def mousePressEvent(self, event: Any) -> None:
        """Seek."""
        self._seek(event.localPos().x())

    def mouseMoveEvent(self, event: Any) -> None:
        """Scrub."""
        self._seek(event.localPos().x())

    def _seek(self, x: float) -> None:
        share = min(max(0.0, (x - _AXIS_WIDTH) / max(1, self.width() - _AXIS_WIDTH)), 1.0)
        self.sought.emit(self._shown.start + Fraction(share).limit_denominator(100_000) * self._shown.duration)

    def _x(self, time: Fraction) -> float:
        return _AXIS_WIDTH + float((time - self._shown.start) / self._shown.duration) * (self.width() - _AXIS_WIDTH)


def _bar_colour(doubtful: bool) -> QColor:
    return QColor("#e0a63c" if doubtful else "#50dc78")
