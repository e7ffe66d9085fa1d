# SPDX-License-Identifier: GPL-3.0-or-later
"""Waveform and spectrogram of the shown range, with playhead, selection and marks."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pyqtgraph as pg
from PyQt5.QtCore import QPointF, QRectF, Qt, pyqtSignal
from PyQt5.QtGui import QColor
from PyQt5.QtWidgets import QGraphicsRectItem, QVBoxLayout, QWidget

from stemline.clips import RESIDUAL, TimeRange
from stemline_panel.model.formatting import TimeFormat, format_hertz
from stemline_panel.model.marks import Mark, Sign
from stemline_panel.model.request import MIX
from stemline_panel.sound.spectrogram import frequency_at, level_of
from stemline_panel.sound.waveform import WaveformData
from stemline_panel.theme import COLOURS
from stemline_panel.widgets.layout import single_shot_timer
from stemline_panel.widgets.wave_axes import FrequencyAxis, LevelAxis, TimeAxis
from stemline_panel.widgets.wave_view_box import WaveViewBox

_MICRO = 1_000_000
_SHORTEST_VIEW = Fraction(1, 20)
_SETTLE_MS = 30
_AXIS_WIDTH = 46
_MIN_HEIGHT = 0.03
_COLOUR_MAP = "inferno"
_NAME_WIDTH = 300


def exact(seconds: float) -> Fraction:
    """Return a time under the mouse as an exact time, rounded to the microsecond."""
    return Fraction(round(seconds * _MICRO), _MICRO)


class WaveView(QWidget):
    """Shows a range of a clip.

    `waveform_wanted` asks for the data of a range in so many columns. The other signals report the mouse: `clicked` a
    time, `selected` a range, `marked` a sign and a range, `boxed` the lowest and highest frequency in Hz of a box that
    was drawn in the spectrogram to select or mark, `mark_moved` the number of a mark and its new range, `menu_wanted` a
    time and a place on the screen.
    """

    waveform_wanted = pyqtSignal(object, int)
    clicked = pyqtSignal(object)
    selected = pyqtSignal(object)
    marked = pyqtSignal(object, object)
    boxed = pyqtSignal(float, float)
    mark_moved = pyqtSignal(int, object)
    menu_wanted = pyqtSignal(object, object)

    def __init__(self) -> None:
        """Start with an empty range of one second."""
        super().__init__()
        self.whole = TimeRange(Fraction(0), Fraction(1))
        self.shown = self.whole
        self._axis = TimeAxis()
        self._wave = self._plot({"left": LevelAxis(), "bottom": self._axis}, (-1.0, 1.0))
        self._frequencies = FrequencyAxis()
        self._spectrum = self._plot({"left": self._frequencies, "bottom": TimeAxis()}, (0.0, 1.0))
        self._spectrum.hideAxis("bottom")
        self._plots = (self._wave, self._spectrum)
        self._add_waveform_items()
        self._heads = [self._playhead(plot) for plot in self._plots]
        self._selections = [self._region(plot, "#ffffff", 34, movable=False) for plot in self._plots]
        for region in self._selections:
            region.hide()
        self._box = self._add_box()
        self._marks: list[Any] = []
        self._peak = 0.0
        self.setObjectName("wave")
        self.setAttribute(Qt.WA_StyledBackground)
        self.setFocusPolicy(Qt.StrongFocus)
        self.setAccessibleName(self.tr("Waveform and spectrogram"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(1, 1, 1, 1)
        layout.setSpacing(2)
        layout.addWidget(self._wave, 3)
        layout.addWidget(self._spectrum, 2)
        self._settle = single_shot_timer(self, _SETTLE_MS)
        self._settle.timeout.connect(self._request_waveform)
        self._wave.getViewBox().sigResized.connect(self._settle.start)

    # -- range and waveform --------------------------------------------------------------------------------------------

    def show_clip(self, whole: TimeRange, first: TimeRange, time_format: TimeFormat, highest_hz: float) -> None:
        """Show another clip with the range `whole`, starting with the range `first`."""
        self.whole = whole
        self._peak = 0.0
        self._axis.time_format = time_format
        self._frequencies.highest_hz = highest_hz
        for edge in self._edges:
            edge.setData([], [])
        self._image.clear()
        self.select(None)
        self.show_range(first)

    def show_range(self, wanted: TimeRange) -> None:
        """Move the view, kept inside the clip."""
        length = min(max(wanted.duration, _SHORTEST_VIEW), self.whole.duration)
        start = min(max(wanted.start, self.whole.start), self.whole.end - length)
        self.shown = TimeRange(start, start + length)
        for plot in self._plots:
            plot.setXRange(float(start), float(start + length), padding=0)
        self._settle.start()

    def zoom(self, factor: float, around: Fraction | None = None) -> None:
        """Scale the shown range by `factor` around a time: by default the playhead if visible, else the middle."""
        head = exact(self._heads[0].value())
        middle = (self.shown.start + self.shown.end) / 2
        fixed = around if around is not None else head if self.shown.start <= head < self.shown.end else middle
        ratio = Fraction(factor).limit_denominator(1000)
        start = fixed - (fixed - self.shown.start) * ratio
        self.show_range(TimeRange(start, start + self.shown.duration * ratio))

    def pan(self, seconds: Fraction) -> None:
        """Move the view by a time."""
        self.show_range(TimeRange(self.shown.start + seconds, self.shown.end + seconds))

    def draw(self, data: WaveformData) -> None:
        """Draw the answer to `waveform_wanted`."""
        self.note_peak(data)
        for edge, levels in zip(self._edges, (data.low, data.high), strict=True):
            edge.setData(data.times, levels)
        if data.spectrum.size:
            start, length = float(data.heard.start), float(data.heard.duration)
            self._image.setImage(data.spectrum, autoLevels=False, levels=(0, 255))
            self._image.setRect(QRectF(start, 0.0, length, 1.0))

    def note_peak(self, data: WaveformData) -> None:
        """Grow the vertical scale to the loudest sample seen of the clip. It never shrinks while the clip is shown."""
        if not len(data.high):
            return
        peak = max(float(data.high.max()), -float(data.low.min()))
        if peak > self._peak:
            self._peak = peak
            height = min(1.02, max(_MIN_HEIGHT, peak * 1.15))
            self._wave.setYRange(-height, height, padding=0)

    def value_at(self, time: float, height: float) -> str:
        """Return frequency and level of the spectrogram at a time and a height (0 to 1), as text; empty outside."""
        image, place = self._image.image, self._image.boundingRect()
        if image is None or not image.size or not 0 <= height < 1:
            return ""
        at = self._image.mapFromParent(QPointF(time, height))
        column, row = int(at.x()), int(at.y())
        if not (place.contains(at) and 0 <= column < image.shape[0] and 0 <= row < image.shape[1]):
            return ""
        hertz = frequency_at(height, self._frequencies.highest_hz)
        level = level_of(int(image[column, row]), hertz)
        return f"{format_hertz(hertz)}, {level}"

    def _show_value(self, where: Any) -> None:
        view = self._spectrum.getViewBox()
        at = view.mapSceneToView(where)
        inside = view.sceneBoundingRect().contains(where)
        self._value.setText(self.value_at(at.x(), at.y()) if inside else "")

    def show_layer(self, name: str) -> None:
        """Show the name and colour of the drawn layer, and ask for its waveform."""
        colour = {MIX: COLOURS.wave, RESIDUAL: COLOURS.residual}.get(name, COLOURS.stem)
        self._paint_wave(colour)
        self._name.setText(name, color=colour)
        self._request_waveform()

    def set_playhead(self, time: Fraction, *, follow: bool) -> None:
        """Move the playhead. With `follow` the view jumps on when the playhead leaves it."""
        for head in self._heads:
            head.setValue(float(time))
        if follow and not self.shown.start <= time < self.shown.end and self.whole.start <= time < self.whole.end:
            self.show_range(TimeRange(time, time + self.shown.duration))

    # -- selection and marks -------------------------------------------------------------------------------------------

    def select(self, part: TimeRange | None) -> None:
        """Show the selection."""
        self._box.hide()
        for region in self._selections:
            region.setVisible(part is not None)
            if part is not None:
                region.setRegion((float(part.start), float(part.end)))

    def show_marks(self, marks: Iterable[Mark]) -> None:
        """Show the marks. They can be dragged in the waveform."""
        for plot, region in self._marks:
            plot.removeItem(region)
        self._marks = []
        for mark in marks:
            colour = COLOURS.plus if mark.sign is Sign.PLUS else COLOURS.minus
            for plot in self._plots:
                region = self._region(plot, colour, 58 if plot is self._wave else 26, movable=plot is self._wave)
                region.setRegion((float(mark.range.start), float(mark.range.end)))
                if plot is self._wave:
                    sign = pg.InfLineLabel(region.lines[0], mark.sign.value, position=0.93, anchors=[(0, 0), (0, 0)])
                    sign.setColor(QColor(colour))
                    region.sigRegionChangeFinished.connect(lambda moved, n=mark.number: self._report_move(n, moved))
                self._marks.append((plot, region))

    # -- construction --------------------------------------------------------------------------------------------------

    def _plot(self, axes: dict[str, Any], y: tuple[float, float]) -> Any:
        box = WaveViewBox()
        plot = pg.PlotWidget(viewBox=box, axisItems=axes, background=COLOURS.field)
        plot.setYRange(*y, padding=0)
        plot.hideButtons()
        plot.setFocusPolicy(Qt.NoFocus)  # the WaveView has the focus
        plot.getAxis("left").setWidth(_AXIS_WIDTH)
        box.clicked.connect(lambda at: self.clicked.emit(exact(at)))
        box.dragging.connect(lambda start, end: self._show_drag(box, _range(start, end)))
        box.dragged.connect(lambda start, end, keys: self._report_drag(box, _range(start, end), keys))
        box.zoomed.connect(lambda at, factor: self.zoom(factor, exact(at)))
        box.panned.connect(lambda seconds: self.pan(exact(seconds)))
        box.menu_wanted.connect(lambda at, where: self.menu_wanted.emit(exact(at), where))
        return plot

    def _add_waveform_items(self) -> None:
        self._edges = [pg.PlotCurveItem(antialias=False) for _ in range(2)]
        self._body = pg.FillBetweenItem(*self._edges)
        for item in (*self._edges, self._body):
            self._wave.addItem(item)
        self._paint_wave(COLOURS.wave)
        self._image = pg.ImageItem(axisOrder="col-major")
        self._image.setLookupTable(pg.colormap.get(_COLOUR_MAP).getLookupTable(nPts=256))
        self._spectrum.addItem(self._image)
        self._value = pg.LabelItem("", color=COLOURS.text, justify="right")
        self._value.setFixedWidth(_NAME_WIDTH)
        self._value.setParentItem(self._spectrum.getViewBox())
        self._value.anchor(itemPos=(1, 0), parentPos=(1, 0), offset=(-8, 2))
        self._spectrum.scene().sigMouseMoved.connect(self._show_value)
        self._name = pg.LabelItem(MIX, color=COLOURS.wave, justify="right")
        self._name.setFixedWidth(_NAME_WIDTH)
        self._name.setParentItem(self._wave.getViewBox())
        self._name.anchor(itemPos=(1, 0), parentPos=(1, 0), offset=(-8, 2))

    def _paint_wave(self, colour: str) -> None:
        for edge in self._edges:
            edge.setPen(pg.mkPen(colour, width=1))
        self._body.setBrush(pg.mkBrush(colour))

    def _playhead(self, plot: Any) -> Any:
        head = pg.InfiniteLine(0, pen=pg.mkPen(COLOURS.playhead, width=2))
        head.setZValue(30)
        plot.addItem(head)
        return head

    def _add_box(self) -> QGraphicsRectItem:
        box = QGraphicsRectItem()
        box.setPen(pg.mkPen(COLOURS.text, width=1))
        box.setZValue(20)
        box.hide()
        self._spectrum.addItem(box)
        return box

    def _region(self, plot: Any, colour: str, alpha: int, *, movable: bool) -> Any:
        shade, edge = QColor(colour), QColor(colour)
        shade.setAlpha(alpha)
        hover = QColor(colour)
        hover.setAlpha(alpha + 30)
        region = pg.LinearRegionItem(
            brush=pg.mkBrush(shade), hoverBrush=pg.mkBrush(hover), pen=pg.mkPen(edge, width=1), movable=movable
        )
        region.setZValue(10)
        plot.addItem(region)
        return region

    # -- mouse ---------------------------------------------------------------------------------------------------------

    def _show_drag(self, view: WaveViewBox, part: TimeRange) -> None:
        """Show the selection during a drag; in the spectrogram as a box."""
        self.select(part)
        if view is self._spectrum.getViewBox():
            low, high = (min(max(0.0, height), 1.0) for height in view.heights)
            self._box.setRect(QRectF(float(part.start), low, float(part.duration), high - low))
            self._box.show()

    def _report_drag(self, view: WaveViewBox, part: TimeRange, keys: object) -> None:
        if keys in (Qt.ShiftModifier, Qt.AltModifier):
            self.select(None)
            self.marked.emit(Sign.PLUS if keys == Qt.ShiftModifier else Sign.MINUS, part)
        else:
            self.selected.emit(part)
            self._show_drag(view, part)
        if view is self._spectrum.getViewBox():
            highest = self._frequencies.highest_hz
            low, high = (frequency_at(min(max(0.0, height), 1.0), highest) for height in view.heights)
            self.boxed.emit(low, high)

    def _report_move(self, number: int, region: Any) -> None:
        self.mark_moved.emit(number, _range(*region.getRegion()))

    def _request_waveform(self) -> None:
        columns = max(64, int(self._wave.getViewBox().width() * self.devicePixelRatioF()))
        self.waveform_wanted.emit(self.shown, min(columns, 4000))


def _range(start: float, end: float) -> TimeRange:
    first, last = sorted((exact(start), exact(end)))
    return TimeRange(first, last)
