# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the shown clip: the frame at the playhead, the filmstrip, marks on the object, and following it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from fractions import Fraction
from functools import partial

import numpy as np
from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QLabel, QWidget

from stemline.clips import ClipRange
from stemline.errors import Cancelled, StemlineError
from stemline.identity import digest
from stemline.media.pictures.cache import picture_cache
from stemline.media.pictures.following import BACKWARD, FORWARD, MaskAt, follow, write_mask_film
from stemline.media.pictures.frames import Frame, FrameReader, has_picture
from stemline.media.pictures.tracking import TRACKED_PIXELS, Marks, Mask, require_tracker
from stemline.prompts import Box
from stemline.prompts import Mask as MaskFilm
from stemline_panel.control.filmstrip_controller import FilmstripController
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.control.server_connection import ServerConnection
from stemline_panel.model.session import Session
from stemline_panel.widgets.buttons import Button
from stemline_panel.widgets.frame_view import FrameStrip, FrameView
from stemline_panel.widgets.layout import button, column, label, row_widget
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.workers import Worker

_CACHED_FRAMES = 64
_SHOW_EVERY = 6


class FrameController(QObject):
    """Shows the picture of the clip, if its media has one, and turns marks on it into a box or masks of the stem.

    `changed` is emitted when the prompt of the current stem changes, `message` has a sentence for the user.
    """

    changed = pyqtSignal()
    message = pyqtSignal(str)

    def __init__(
        self, session: Session, window: MainWindow, playback: PlaybackController, server: ServerConnection
    ) -> None:
        """Put the widgets into the window's place for the picture."""
        super().__init__()
        self._session, self._window, self._playback, self._server = session, window, playback, server
        self.view, self.strip = FrameView(), FrameStrip()
        self._frames = Worker("picture", self)
        self._filmstrip = FilmstripController(self.strip, window.wave)
        self._follower = Worker("follow", self)
        self._clip: ClipRange | None = None
        self.has_picture = False
        self._serial = self._wanted = 0
        self._is_stale: Callable[[], bool] | None = None
        self._reader: FrameReader | None = None
        """The open film. Only the worker of frames uses it."""
        self._cache: OrderedDict[int, Frame] = OrderedDict()
        self._shown: Frame | None = None
        self._first: tuple[Fraction, Marks] | None = None
        self._masks: dict[Fraction, MaskAt] = {}
        self._stop = threading.Event()
        self.status, self._buttons = label("", "dim"), self._make_buttons()
        self._build()
        self._connect()

    def close(self) -> bool:
        """Stop everything. Return True if all threads ended."""
        self._stop.set()
        self.has_picture = False
        self._serial += 1
        self._frames.do(self._close_reader, lambda _: None, lambda _: None)
        ended = [worker.close() for worker in (self._frames, self._filmstrip, self._follower)]
        return all(ended)

    # -- the clip and the playhead -------------------------------------------------------------------------------------

    def show_clip(self) -> None:
        """Show the picture of the opened clip, or give its place back where there is none."""
        opened = self._playback.clip
        self._clip = opened.clip if opened else None
        self._serial += 1
        self._stop.set()
        self._shown, self._first = None, None
        self._masks, self._cache = {}, OrderedDict()
        self.has_picture = False
        self._window.picture_place.hide()
        self._filmstrip.show_clip(None)
        if self._clip is None:
            return
        clip, serial = self._clip, self._serial

        def then(shown: bool) -> None:
            if serial == self._serial and shown:
                self.has_picture = self.view.can_mark = True
                self._window.picture_place.show()
                self._filmstrip.show_clip(clip)
                self.seek(self._playback.playhead)

        self._frames.do(lambda: self._open(clip), then, lambda _: None)

    def seek(self, time: Fraction) -> None:
        """Show the frame at a time of the timeline: the nearest key frame at once, then the exact one."""
        self.strip.show_playhead(time)
        if self._clip is None or not self.has_picture:
            return
        at = self._media_time(time)
        self._wanted += 1
        wanted, serial = self._wanted, self._serial

        def is_stale() -> bool:
            return wanted != self._wanted or serial != self._serial

        def show(frame: Frame) -> None:
            if not is_stale():
                self._show(frame)

        def work() -> Frame | None:
            return None if is_stale() else self._read(at, lambda key: self._frames.post(lambda: show(key)), is_stale)

        self._frames.do(work, lambda frame: show(frame) if frame else None, lambda _: None)

    def _open(self, clip: ClipRange) -> bool:
        self._close_reader()
        if not has_picture(clip.source.path):
            return False
        self._reader = FrameReader(clip.source.path, longest=TRACKED_PIXELS, stop=self._is_interrupted)
        return True

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _is_interrupted(self) -> bool:
        return self._is_stale is not None and self._is_stale()

    def _read(self, at: Fraction, show_key: Callable[[Frame], None], is_stale: Callable[[], bool]) -> Frame | None:
        """Return the frame at a time of the media, from the cache or the film. In the worker of frames."""
        reader = self._reader
        if reader is None:
            return None
        number = int(at * (reader.frame_rate or 1))
        held = self._cache.get(number)
        if held is not None:
            return held
        if not reader.is_near(at):
            show_key(reader.key_frame(at))
        self._is_stale = is_stale
        try:
            frame = reader.at(at)
        except Cancelled:
            return None
        finally:
            self._is_stale = None
        self._cache[number] = frame
        while len(self._cache) > _CACHED_FRAMES:
            self._cache.popitem(last=False)
        return frame

    def _show(self, frame: Frame) -> None:
        self._shown = frame
        first = self._first
        self.view.set_marks(first[1] if first is not None and first[0] == frame.time else Marks())
        self.view.show_frame(frame.pixels, self._mask_at(frame.time))

    def _mask_at(self, time: Fraction) -> Mask | None:
        return self._masks[time].mask if time in self._masks else None

    def _media_time(self, time: Fraction) -> Fraction:
        assert self._clip is not None  # noqa: S101 - callers check it
        return self._clip.source_range.start + time - self._clip.record_range.start

    def _record_time(self, time: Fraction) -> Fraction:
        assert self._clip is not None  # noqa: S101 - callers check it
        return self._clip.record_range.start + time - self._clip.source_range.start

    # -- marks and following -------------------------------------------------------------------------------------------

    def mark(self, marks: Marks) -> None:
        """Show the object that the marks of the shown frame describe, and make it part of the stem's prompt."""
        frame, serial = self._shown, self._serial
        if frame is None:
            return
        try:
            require_tracker()
        except StemlineError as error:
            self.message.emit(str(error))
            return
        self._first = frame.time, marks

        def work() -> Mask:
            from stemline.media.pictures.corner_tracker import first_mask  # noqa: PLC0415 - an optional package

            return first_mask(frame.pixels, marks)

        def then(mask: Mask) -> None:
            if serial == self._serial:
                self._masks[frame.time] = MaskAt.of(frame.time, mask, 1.0)
                self._use_box(frame, mask)
                if self._shown is frame:
                    self.view.show_mask(mask)
                self._note(self._after_marking())

        self._follower.do(work, then, lambda error: self._note(str(error)))

    def _after_marking(self) -> str:
        if not self._server.takes_pictures:
            return self.tr("This model takes no pictures: name the sound in words, or choose SAM Audio.")
        return self.tr("Marked. Follow it, or separate now. A word beside it helps the model.")

    def clear(self) -> None:
        """Remove the object from the stem's prompt."""
        self._stop.set()
        self._first, self._masks = None, {}
        entry = self._session.stems.current
        entry.box = entry.mask = None
        self._hide()
        self.changed.emit()

    def refresh(self) -> None:
        """Hide the object where the prompt of the current stem no longer has one."""
        entry = self._session.stems.current
        if self._masks and entry.box is None and entry.mask is None:
            self._first, self._masks = None, {}
            self._hide()

    def _hide(self) -> None:
        self.view.set_marks(Marks())
        self.view.show_mask(None)
        self.strip.show_followed([])
        self._note("")

    def undo_mark(self) -> None:
        """Take back the last point, or the box."""
        marks = self.view.marks
        if marks.minus or marks.plus:
            points = "minus" if marks.minus else "plus"
            left = {points: getattr(marks, points)[:-1]}
            marks = Marks(marks.box, left.get("plus", marks.plus), left.get("minus", marks.minus))
        else:
            marks = Marks()
        self.view.set_marks(marks)
        if marks == Marks():
            self.clear()
        else:
            self.mark(marks)

    def follow(self, directions: Iterable[int]) -> None:
        """Follow the object from the marked frame, up to a cut or the end of the clip."""
        clip, start = self._clip, self._first
        if clip is None or start is None or self._shown is None:
            self.message.emit(self.tr("Mark what makes the sound in the picture first."))
            return
        self._stop = stop = threading.Event()
        played, wanted = clip.source_range, tuple(directions)
        self._buttons["stop"].setEnabled(True)

        def work() -> int:
            from stemline.media.pictures.corner_tracker import CornerTracker  # noqa: PLC0415 - an optional package

            cuts = 0
            for direction in wanted:
                end = played.end if direction == FORWARD else played.start
                with FrameReader(clip.source.path, longest=TRACKED_PIXELS, stop=stop.is_set) as reader:
                    for number, at in enumerate(follow(reader, CornerTracker(), start, end, direction)):
                        cuts += at.is_cut
                        self._follower.post(partial(self._add_mask, stop, at, number))
            return cuts

        def failed(error: StemlineError) -> None:
            self._buttons["stop"].setEnabled(False)
            self._note("" if isinstance(error, Cancelled) else str(error))
            self._finish(stop, clip, 0)

        self._follower.do(work, lambda cuts: self._finish(stop, clip, cuts), failed)

    def stop(self) -> None:
        """Stop following; what was followed is used."""
        self._stop.set()

    def _add_mask(self, stop: threading.Event, at: MaskAt, number: int) -> None:
        if stop is not self._stop:
            return
        self._masks[at.time] = at
        if number % _SHOW_EVERY == 0:
            self.strip.show_followed(self._followed())
            self._note(self.tr("Following: {count} frames").format(count=len(self._masks)))
            if self._shown is not None and self._shown.time == at.time:
                self.view.show_mask(at.mask)

    def _followed(self) -> list[tuple[Fraction, bool]]:
        return [(self._record_time(time), at.is_doubtful) for time, at in sorted(self._masks.items()) if not at.is_cut]

    def _finish(self, stop: threading.Event, clip: ClipRange, cuts: int) -> None:
        """Store the masks and use them in the stem's prompt."""
        if stop is not self._stop or clip is not self._clip or not self._masks:
            return
        self._buttons["stop"].setEnabled(False)
        masks = [at for _, at in sorted(self._masks.items())]
        played = clip.source_range
        identity = [clip.source.path, str(played), [[str(at.time), digest(at.mask.tobytes().hex())] for at in masks]]
        try:
            film = picture_cache().get(identity, ".mov", lambda path: write_mask_film(path, masks, played.start))
        except StemlineError as error:
            self.message.emit(str(error))
            return
        self._session.stems.current.mask = MaskFilm(str(film), played.start, clip.source.path)
        self.strip.show_followed(self._followed())
        doubtful = sum(at.is_doubtful and not at.is_cut for at in masks)
        text = self.tr("{count} frames followed").format(count=len(masks) - cuts)
        if doubtful:
            text += self.tr("; look at {count} doubtful ones").format(count=doubtful)
        if cuts:
            text += self.tr("; it ends at a cut")
        self._note(text + ".")
        if self._shown is not None:
            self.view.show_mask(self._mask_at(self._shown.time))
        self.changed.emit()

    def _use_box(self, frame: Frame, mask: Mask) -> None:
        """Make the box around a mask the stem's prompt: the object is followed from there when it is separated."""
        height, width = mask.shape
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        across, down = int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top
        place = [Fraction(100 * left, width), Fraction(100 * top, height)]
        size = [Fraction(100 * across, width), Fraction(100 * down, height)]
        entry = self._session.stems.current
        entry.box = Box(*place, *size, time=max(Fraction(0), self._record_time(frame.time)), percent=True)
        entry.mask = None
        self.changed.emit()

    def _note(self, text: str) -> None:
        self.status.setText(text)

    def _make_buttons(self) -> dict[str, Button]:
        both = (BACKWARD, FORWARD)
        return {
            "back": button("◀", self.tr("Follow the object backwards"), lambda: self.follow((BACKWARD,))),
            "both": button(self.tr("Follow"), self.tr("Follow the object both ways"), lambda: self.follow(both)),
            "on": button("▶", self.tr("Follow the object forwards"), lambda: self.follow((FORWARD,))),
            "stop": button(self.tr("Stop"), self.tr("Stop following"), self.stop),
            "undo": button(self.tr("Undo mark"), self.tr("Take back the last mark in the picture"), self.undo_mark),
            "clear": button(self.tr("Clear"), self.tr("Remove the object from this stem"), self.clear),
        }

    def _build(self) -> None:
        self._buttons["stop"].setEnabled(False)
        tools: list[QWidget | QLabel] = [*self._buttons.values(), self.status]
        picture = QWidget()
        picture.setLayout(column(self.view, row_widget(*tools, grow=len(tools) - 1), self.strip, spacing=4, grow=0))
        self._window.picture_place.layout().addWidget(picture)

    def _connect(self) -> None:
        self._playback.opened.connect(lambda _: self.show_clip())
        self._playback.moved.connect(self.seek)
        self.strip.sought.connect(self._playback.seek)
        self.view.marked.connect(self.mark)
