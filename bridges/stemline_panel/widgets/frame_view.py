# SPDX-License-Identifier: GPL-3.0-or-later
"""The frame at the playhead, with the marked object over it, and the strip of frames above the waveform."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from PyQt5.QtCore import QPointF, QRectF, QSize, Qt, pyqtSignal
from PyQt5.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from PyQt5.QtWidgets import QSizePolicy, QWidget

from stemline.clips import TimeRange
from stemline.media.pictures.tracking import Marks, Mask
from stemline_panel.theme import COLOURS
from stemline_panel.widgets.layout import button, row

_TINT = np.array((80, 220, 120), np.float32)
_TINT_SHARE = 0.4
_SIGN_PIXELS = 7.0
_DRAG_PIXELS = 4.0
_BRUSH_PIXELS = 24.0
_BRUSH_LIMITS = 4.0, 160.0
_BRUSH_STEP = 1.2
_LASSO_POINTS = 3
_MIN_HEIGHT = 80
_STRIP_HEIGHT = 46
_TRACK_BAR = 4
_AXIS_WIDTH = 46  # of the waveform's scale, so that both share the axis of time

Pixels = npt.NDArray[np.uint8]


def image_of(pixels: Pixels) -> QImage:
    """Return a picture, uint8 [height, width, 3] in RGB, as an image of Qt."""
    height, width = pixels.shape[:2]
    return QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format_RGB888).copy()


class MarkTool(Enum):
    """What a drag in the frame does."""

    BOX = "box"
    BRUSH = "brush"
    LASSO = "lasso"


class FrameView(QWidget):
    """Shows a frame as large as it fits. Drag a box, click on the object, Alt-click or right-click beside it.

    With the brush or the lasso as `tool`, a drag paints the object or draws around it; with Alt or the right button it
    takes away. The wheel sets the width of the brush, `brush_pixels` of the screen.

    `marked` is emitted with the `Marks` of the frame, in its pixels, after each mark.
    """

    marked = pyqtSignal(object)

    def __init__(self) -> None:
        """Show nothing."""
        super().__init__()
        self.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Expanding)
        self.setMinimumHeight(_MIN_HEIGHT)
        self.setFocusPolicy(Qt.ClickFocus)
        self.setAccessibleName(self.tr("Frame at the playhead"))
        self.setToolTip(
            self.tr("Drag a box around what makes the sound, or paint it. Click adds to it, Alt takes away.")
        )
        self.marks = Marks()
        self.can_mark = False
        self._pixels: Pixels | None = None
        self._mask: Mask | None = None
        self._image = QImage()
        self.tool, self.brush_pixels = MarkTool.BOX, _BRUSH_PIXELS
        self._drag: tuple[QPointF, QPointF] | None = None
        self._stroke: list[QPointF] = []
        """The way of the mouse since the brush or the lasso began."""
        self._takes_away = False

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
        if self._stroke:
            self._paint_stroke(painter)
        elif self._drag is not None:
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
        """Begin a box, a click or a stroke."""
        if not self.can_mark or not self._place().contains(event.localPos()):
            return
        self._takes_away = event.button() == Qt.RightButton or bool(event.modifiers() & Qt.AltModifier)
        if self.tool is MarkTool.BOX:
            self._drag = event.localPos(), event.localPos()
        else:
            self._stroke = [event.localPos()]
            self.update()

    def mouseMoveEvent(self, event: Any) -> None:
        """Draw the box or the stroke."""
        if self._stroke:
            self._stroke.append(event.localPos())
            self.update()
        elif self._drag is not None:
            self._drag = self._drag[0], event.localPos()
            self.update()

    def mouseReleaseEvent(self, event: Any) -> None:
        """Add the box, the point or the stroke to the marks."""
        if self._stroke:
            self._stroke.append(event.localPos())
            self._end_stroke()
            return
        if self._drag is None:
            return
        start, end, self._drag = self._drag[0], event.localPos(), None
        if (end - start).manhattanLength() > _DRAG_PIXELS:
            left, top = self._to_frame(start)
            right, bottom = self._to_frame(end)
            box = min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)
            if box[2] and box[3]:
                self.marks = Marks(box=box)
        else:
            marks = self._marks_to_correct()
            if self._takes_away:
                self.marks = replace(marks, minus=(*marks.minus, self._to_frame(end)))
            else:
                self.marks = replace(marks, plus=(*marks.plus, self._to_frame(end)))
        self.update()
        self.marked.emit(self.marks)

    def wheelEvent(self, event: Any) -> None:
        """Make the brush wider or narrower."""
        if self.tool is not MarkTool.BRUSH:
            event.ignore()
            return
        wider = self.brush_pixels * _BRUSH_STEP ** (event.angleDelta().y() / 120)
        self.brush_pixels = min(max(_BRUSH_LIMITS[0], wider), _BRUSH_LIMITS[1])

    def _marks_to_correct(self) -> Marks:
        """Return the marks of the frame or, where it has none, the mask that following found for it."""
        is_followed = self.marks.is_empty and self._mask is not None and self._mask.any()
        return Marks(mask=self._mask) if is_followed else self.marks

    def _end_stroke(self) -> None:
        """Add the stroke to the shown object, or take it away, and show the result."""
        stroke, self._stroke = self._stroke, []
        if self._pixels is None or (self.tool is MarkTool.LASSO and len(stroke) < _LASSO_POINTS):
            self.update()
            return
        self.marks = Marks(mask=self._painted(stroke))
        self.show_mask(self.marks.mask)
        self.marked.emit(self.marks)

    def _painted(self, stroke: list[QPointF]) -> Mask:
        """Return the shown object with a stroke added or taken away."""
        size = self._image.size()
        mask = np.zeros((size.height(), size.width()), bool)
        if self._mask is not None and self._mask.shape == mask.shape:
            mask = self._mask
        grey = np.ascontiguousarray(mask.astype(np.uint8) * np.uint8(255))
        image = QImage(grey.tobytes(), size.width(), size.height(), size.width(), QImage.Format_Grayscale8).copy()
        painter = QPainter(image)
        scale = size.width() / self._place().width()
        painter.scale(scale, scale)
        painter.translate(-self._place().topLeft())
        self._draw_stroke(painter, stroke, QColor("black" if self._takes_away else "white"))
        painter.end()
        bits: bytes = image.constBits().asstring(image.byteCount())
        lines = np.frombuffer(bits, np.uint8).reshape(size.height(), image.bytesPerLine())
        painted: Mask = lines[:, : size.width()] > 127
        return painted

    def _paint_stroke(self, painter: QPainter) -> None:
        colour = QColor("#e03c3c" if self._takes_away else "#50dc78")
        colour.setAlpha(130)
        self._draw_stroke(painter, self._stroke, colour)
        painter.setPen(QPen(QColor("white"), 1.5))

    def _draw_stroke(self, painter: QPainter, stroke: list[QPointF], colour: QColor) -> None:
        """Draw the line of the brush or the area of the lasso, in pixels of the widget."""
        if self.tool is MarkTool.LASSO:
            painter.setPen(Qt.NoPen)
            painter.setBrush(colour)
            painter.drawPolygon(QPolygonF(stroke))
        else:
            painter.setPen(QPen(colour, self.brush_pixels, Qt.SolidLine, Qt.RoundCap, Qt.RoundJoin))
            painter.setBrush(Qt.NoBrush)
            painter.drawPolyline(QPolygonF([*stroke, stroke[-1] + QPointF(0.01, 0)]))  # a length, for a single touch

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


class MarkTools(QWidget):
    """Buttons that choose the tool of a frame view."""

    def __init__(self, view: FrameView) -> None:
        """Choose the box first."""
        super().__init__()
        shown = {
            MarkTool.BOX: (self.tr("Box"), self.tr("Drag a box around the object, or click on it")),
            MarkTool.BRUSH: (self.tr("Brush"), self.tr("Paint the object; Alt takes away, the wheel sets the width")),
            MarkTool.LASSO: (self.tr("Lasso"), self.tr("Draw around the object; Alt takes away")),
        }
        self.buttons = {tool: button(*texts, partial(setattr, view, "tool", tool)) for tool, texts in shown.items()}
        for made in self.buttons.values():
            made.setCheckable(True)
            made.setAutoExclusive(True)
        self.buttons[MarkTool.BOX].setChecked(True)
        self.setLayout(row(*self.buttons.values(), spacing=0))


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
        self._suggested: list[TimeRange] = []
        self._playhead = Fraction(0)

    def show_range(self, shown: TimeRange) -> None:
        """Show another range of time, without frames at first."""
        self._shown, self._frames = shown, []
        self.update()

    def add_frame(self, time: Fraction, pixels: Pixels) -> None:
        """Show a frame from `time` on."""
        ratio = self.devicePixelRatioF()
        image = image_of(pixels).scaledToHeight(round(_STRIP_HEIGHT * ratio), Qt.SmoothTransformation)
        image.setDevicePixelRatio(ratio)
        self._frames.append((time, image))
        self.update()

    def show_followed(self, followed: list[tuple[Fraction, bool]]) -> None:
        """Show the times of followed frames, and whether each is doubtful."""
        self._followed = followed
        self.update()

    def show_suggested(self, places: list[TimeRange]) -> None:
        """Outline places that are suggested."""
        self._suggested = places
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
        painter.setPen(QPen(QColor("#2b7cff"), 2, Qt.DashLine))
        for place in self._suggested:
            left, right = self._x(place.start), self._x(place.end)
            painter.drawRect(QRectF(left, 1, max(2.0, right - left), _STRIP_HEIGHT - 2))
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
