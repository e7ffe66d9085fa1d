# SPDX-License-Identifier: GPL-3.0-or-later
"""The selection, and the marks that are made of it."""

from __future__ import annotations

from fractions import Fraction

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import TimeRange
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.marks import MarkSet, Sign
from stemline_panel.model.session import Session
from stemline_panel.widgets.wave_view import WaveView

_MARGIN = Fraction(1, 5)


class MarkController(QObject):
    """`changed` after every change of the marks; `said` is a sentence for the user."""

    changed = pyqtSignal()
    said = pyqtSignal(str)
    selection_changed = pyqtSignal(object)

    def __init__(self, session: Session, view: WaveView, sound: PlaybackController) -> None:
        super().__init__()
        self._session, self._view, self._playback = session, view, sound
        self.selection: TimeRange | None = None
        view.clicked.connect(self.click)
        view.selected.connect(self.select)
        view.marked.connect(self._mark_range)
        view.mark_moved.connect(self._moved)
        sound.extent_found.connect(self._found)

    def click(self, time: Fraction) -> None:
        """The playhead goes there, and the sound that is heard there is selected from onset to offset."""
        self._playback.seek(time)
        self._playback.find_extent(time)

    def select_extent(self) -> None:
        self._playback.find_extent(self._playback.playhead)

    def select(self, part: TimeRange | None) -> None:
        self.selection = part
        self._view.select(part)
        self.selection_changed.emit(part)

    def set_in(self) -> None:
        """The selection begins at the playhead; it ends where it did, or at the end of the clip."""
        start = self._playback.playhead
        end = self.selection.end if self.selection and self.selection.end > start else self._view.whole.end
        self.select(TimeRange(start, end))

    def set_out(self) -> None:
        end = self._playback.playhead
        start = self.selection.start if self.selection and self.selection.start < end else self._view.whole.start
        if start < end:
            self.select(TimeRange(start, end))

    def mark(self, sign: Sign) -> None:
        """The selection becomes a mark of the edited stem."""
        if self.selection is None:
            self.said.emit("Select a sound first: click on it, or drag over it.")
            return
        self._mark_range(sign, self.selection)

    def turn(self) -> None:
        mark = self._marks.at(self._playback.playhead)
        if mark is not None:
            self._marks.turn(mark.number)
            self.changed.emit()

    def delete(self) -> None:
        """The mark at the playhead goes; without one the selection does."""
        mark = self._marks.at(self._playback.playhead)
        if mark is None:
            self.select(None)
            return
        self._marks.remove(mark.number)
        self.changed.emit()

    def undo(self) -> None:
        if self._marks.undo():
            self.changed.emit()

    def zoom_selection(self) -> None:
        """To the selection with a little around it; once it fills the view, to the whole clip."""
        part = self.selection
        if part is None or self._view.shown.duration <= part.duration * (1 + 2 * _MARGIN):
            self._view.show_range(self._view.whole)
            return
        around = part.duration * _MARGIN
        self._view.show_range(TimeRange(part.start - around, part.end + around))

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

    def _moved(self, number: int, part: TimeRange) -> None:
        self._marks.move(number, part.start, part.end)
        self.changed.emit()

    def _found(self, part: TimeRange | None) -> None:
        self.select(part)
        if part is None:
            self.said.emit("Nothing stands out from the background here: drag over the sound instead.")
