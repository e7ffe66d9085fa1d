# SPDX-License-Identifier: GPL-3.0-or-later
"""The selection and the marks."""

from __future__ import annotations

from fractions import Fraction

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import TimeRange
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.formatting import format_hertz
from stemline_panel.model.marks import MarkSet, Sign
from stemline_panel.model.session import Session
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.wave_view import WaveView

_MARGIN = Fraction(1, 5)


class MarkController(QObject):
    """Edits the marks of the current stem.

    `changed` is emitted after every change of the marks, `message` has a sentence for the user, and
    `selection_changed` the new selection or None.
    """

    changed = pyqtSignal()
    message = pyqtSignal(str)
    selection_changed = pyqtSignal(object)

    def __init__(self, session: Session, view: WaveView, playback: PlaybackController) -> None:
        """Connect the waveform view."""
        super().__init__()
        self._session, self._view, self._playback = session, view, playback
        self.selection: TimeRange | None = None
        view.clicked.connect(self.click)
        view.selected.connect(self.select)
        view.marked.connect(self._mark_range)
        view.boxed.connect(self._explain_box)
        view.mark_moved.connect(self._move)
        playback.extent_found.connect(self._select_extent)

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {
            "select_sound": self.select_sound,
            "set_in": self.set_in,
            "set_out": self.set_out,
            "mark_plus": lambda: self.mark(Sign.PLUS),
            "mark_minus": lambda: self.mark(Sign.MINUS),
            "flip_mark": self.flip,
            "delete_mark": self.delete,
        }

    def click(self, time: Fraction) -> None:
        """Move the playhead to a time and select the sound there, from onset to offset."""
        self._playback.seek(time)
        self._playback.find_extent(time)

    def select_sound(self) -> None:
        """Select the sound at the playhead, from onset to offset."""
        self._playback.find_extent(self._playback.playhead)

    def select(self, part: TimeRange | None) -> None:
        """Select a range, or nothing."""
        self.selection = part
        self._view.select(part)
        self.selection_changed.emit(part)

    def set_in(self) -> None:
        """Start the selection at the playhead; it ends where it did, or at the end of the clip."""
        start = self._playback.playhead
        end = self.selection.end if self.selection and self.selection.end > start else self._view.whole.end
        self.select(TimeRange(start, end))

    def set_out(self) -> None:
        """End the selection at the playhead; it starts where it did, or at the start of the clip."""
        end = self._playback.playhead
        start = self.selection.start if self.selection and self.selection.start < end else self._view.whole.start
        if start < end:
            self.select(TimeRange(start, end))

    def mark(self, sign: Sign) -> None:
        """Make the selection a mark of the current stem."""
        if self.selection is None:
            self.message.emit(self.tr("Select a sound first: click it, or drag over it."))
            return
        self._mark_range(sign, self.selection)

    def flip(self) -> None:
        """Change the sign of the mark at the playhead."""
        mark = self._marks.at(self._playback.playhead)
        if mark is not None:
            self._marks.flip(mark.number)
            self.changed.emit()

    def delete(self) -> None:
        """Delete the mark at the playhead, or the selection if there is none."""
        mark = self._marks.at(self._playback.playhead)
        if mark is None:
            self.select(None)
            return
        self._marks.remove(mark.number)
        self.changed.emit()

    def zoom_selection(self) -> None:
        """Zoom to the selection with a margin; if it fills the view already, to the whole clip."""
        part = self.selection
        if part is None or self._view.shown.duration <= part.duration * (1 + 2 * _MARGIN):
            self._view.show_range(self._view.whole)
            return
        margin = part.duration * _MARGIN
        self._view.show_range(TimeRange(part.start - margin, part.end + margin))

    @property
    def _marks(self) -> MarkSet:
        return self._session.stems.current.marks

    def _mark_range(self, sign: Sign, part: TimeRange) -> None:
        whole = self._view.whole
        start, end = max(part.start, whole.start), min(part.end, whole.end)
        if start < end:
            self._marks.add(sign, start, end)
            self.changed.emit()
        self.select(None)

    def _explain_box(self, low_hz: float, high_hz: float) -> None:
        text = self.tr("Box from {low} to {high}: models use its time, not its frequencies.")
        self.message.emit(text.format(low=format_hertz(low_hz), high=format_hertz(high_hz)))

    def _move(self, number: int, part: TimeRange) -> None:
        self._marks.move(number, part.start, part.end)
        self.changed.emit()

    def _select_extent(self, part: TimeRange | None) -> None:
        self.select(part)
        if part is None:
            self.message.emit(self.tr("No single sound stands out here; drag over it instead."))
