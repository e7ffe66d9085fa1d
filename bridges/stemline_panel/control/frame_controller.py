# SPDX-License-Identifier: GPL-3.0-or-later
"""The picture of the shown clip: the frame at the playhead, the filmstrip, marks on the object, and following it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from fractions import Fraction

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QWidget

from stemline.clips import ClipRange
from stemline.errors import Cancelled, StemlineError
from stemline.identity import digest
from stemline.media.pictures.cache import picture_cache
from stemline.media.pictures.following import BACKWARD, FORWARD, MaskAt, write_mask_film
from stemline.media.pictures.frames import Frame
from stemline.media.pictures.trackers import find_tracker
from stemline.media.pictures.tracking import Marks, Mask
from stemline.prompts import Mask as MaskFilm
from stemline_panel.control.filmstrip_controller import FilmstripController
from stemline_panel.control.frame_loader import FrameLoader
from stemline_panel.control.object_follower import ObjectFollower
from stemline_panel.control.object_spans_controller import ObjectSpansController
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.control.server_connection import ServerConnection
from stemline_panel.model.picture_marks import MarkedObject, box_around
from stemline_panel.model.session import Session
from stemline_panel.widgets.buttons import Button
from stemline_panel.widgets.frame_view import FrameStrip, FrameView, MarkTools
from stemline_panel.widgets.layout import ElidedLabel, button, column, row_widget
from stemline_panel.widgets.main_window import MainWindow

_SHOW_EVERY = 6
_LEAST_BUTTON = 40


class FrameController(QObject):
    """Shows the picture of the clip, if its media has one, and turns marks on it into a box or masks of the stem.

    `changed` is emitted when the prompt of the current stem changes, `word_wanted` after an object was marked;
    `message` has a sentence for the user.
    """

    changed = pyqtSignal()
    word_wanted = pyqtSignal()
    message = pyqtSignal(str)

    def __init__(
        self, session: Session, window: MainWindow, playback: PlaybackController, server: ServerConnection
    ) -> None:
        """Put the widgets into the window's place for the picture."""
        super().__init__()
        self._session, self._window, self._playback, self._server = session, window, playback, server
        self.view, self.strip = FrameView(), FrameStrip()
        self._loader = FrameLoader()
        self._filmstrip = FilmstripController(self.strip, window.wave)
        self._follower = ObjectFollower(lambda: session.settings.tracker)
        self.spans = ObjectSpansController(session, self.strip, server)
        self._clip: ClipRange | None = None
        self.has_picture = False
        self._serial = 0
        self._shown: Frame | None = None
        self._first: tuple[Fraction, Marks] | None = None
        self._earlier: list[Marks] = []
        self._masks: dict[Fraction, MaskAt] = {}
        self._films: dict[MaskFilm, dict[Fraction, MaskAt]] = {}
        self._following: ClipRange | None = None
        self._prompt: tuple[MarkedObject | None, MaskFilm | None] = None, None
        """The part of the current stem's prompt that the view shows."""
        self.status, self._buttons, self.tools = ElidedLabel("dim"), self._make_buttons(), MarkTools(self.view)
        self._build()
        self._connect()

    def close(self) -> bool:
        """Stop everything. Return True if all threads ended."""
        self.has_picture = False
        self._serial += 1
        ended = [part.close() for part in (self._loader, self._filmstrip, self._follower, self.spans)]
        return all(ended)

    # -- the clip and the playhead -------------------------------------------------------------------------------------

    def show_clip(self) -> None:
        """Show the picture of the opened clip, or give its place back where there is none."""
        opened = self._playback.clip
        self._clip = opened.clip if opened else None
        self._serial += 1
        self._shown = None
        self.has_picture = False
        self._restore()
        self._window.picture_place.hide()
        self._filmstrip.show_clip(None)
        self._loader.open(self._clip)

    def _show_picture(self) -> None:
        self.has_picture = self.view.can_mark = True
        self._window.picture_place.show()
        self._filmstrip.show_clip(self._clip)
        self.seek(self._playback.playhead)

    def seek(self, time: Fraction) -> None:
        """Show the frame at a time of the timeline: the nearest key frame at once, then the exact one."""
        self.strip.show_playhead(time)
        if self._clip is not None and self.has_picture:
            self._loader.seek(self._media_time(time))

    def _show_preparing(self, share: float) -> None:
        """Say how far the proxies are, where nothing else is said."""
        text = self.tr("Preparing frames: {percent} %")
        if not self.status.text() or self.status.text().startswith(text.partition("{")[0]):
            self._note("" if share >= 1 else text.format(percent=round(100 * share)))

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
        if self._shown is None:
            return
        time = self._shown.time
        if self._first is not None and self._first[0] == time:
            self._earlier.append(self._first[1])
        else:
            followed = self._mask_at(time)
            self._earlier = [] if followed is None else [Marks(mask=followed)]
        self._find(self._shown, marks)

    def _find(self, frame: Frame, marks: Marks) -> None:
        serial = self._serial
        try:
            find_tracker(self._session.settings.tracker)
        except StemlineError as error:
            self.message.emit(str(error))
            return
        self._first = frame.time, marks

        def then(mask: Mask) -> None:
            if serial == self._serial:
                self._masks[frame.time] = MaskAt.of(frame.time, mask, 1.0)
                self._use(frame, marks, mask)
                if self._shown is not None and self._shown.time == frame.time:
                    self.view.show_mask(mask)
                self._note(self._after_marking(marks))
                self.word_wanted.emit()

        self._follower.find(frame, marks, then, lambda error: self._note(str(error)))

    def _after_marking(self, marks: Marks) -> str:
        if not self._server.takes_pictures:
            return self.tr("This model takes no pictures. Name the sound, suggest places, or choose SAM Audio.")
        if marks.mask is not None:
            return self.tr("Drawn. Follow it: until then only the box around it is used. A word helps the model.")
        return self.tr("Marked. Follow it, or separate now. A word helps the model.")

    def _after_places(self) -> None:
        """Show the prompt after places were marked."""
        entry = self._session.stems.current
        self._prompt = entry.marked, entry.mask
        self._note(self.tr("Marked on the waveform: keep, move or delete each mark."))
        self.changed.emit()

    def clear(self) -> None:
        """Remove the object from the stem's prompt."""
        entry = self._session.stems.current
        entry.box = entry.mask = entry.marked = None
        self._restore()
        self.changed.emit()

    def refresh(self) -> None:
        """Show the object of the current stem, where the shown one is another or was undone."""
        entry = self._session.stems.current
        if self._prompt != (entry.marked, entry.mask):
            self._restore()

    def _restore(self) -> None:
        """Show the marks and the masks of the current stem in this media."""
        self._follower.stop()
        self._following = None
        self.spans.clear()
        self._buttons["stop"].setEnabled(False)
        entry, media = self._session.stems.current, self._clip.source.path if self._clip else ""
        self._prompt = entry.marked, entry.mask
        self._first, self._earlier, self._masks = None, [], {}
        if entry.mask is not None and entry.mask.media == media:
            self._masks = dict(self._films.get(entry.mask, {}))
        if entry.marked is not None and entry.marked.media == media:
            found = entry.marked.found
            self._first = found.time, entry.marked.marks
            self._masks.setdefault(found.time, found)
        self.strip.show_followed(self._followed() if len(self._masks) > 1 else [])
        if self._shown is not None:
            self._show(self._shown)
        self._note("")

    def undo_mark(self) -> None:
        """Take back the last mark: the box, a point or a stroke."""
        if not self._earlier or self._first is None or self._shown is None or self._first[0] != self._shown.time:
            self.clear()
            return
        marks = self._earlier.pop()
        self.view.set_marks(marks)
        self._find(self._shown, marks)

    def follow(self, directions: Iterable[int]) -> None:
        """Follow the object from the marked frame, up to a cut or the end of the clip."""
        clip, start = self._clip, self._first
        if clip is None or start is None or self._shown is None:
            self.message.emit(self.tr("Mark what makes the sound in the picture first."))
            return
        self._buttons["stop"].setEnabled(True)
        self._following = clip
        self._follower.follow(clip, start, directions)

    def stop(self) -> None:
        """Stop following; what was followed is used."""
        self._follower.stop()

    def _add_mask(self, at: MaskAt, number: int, share: float) -> None:
        if self._following is not self._clip:
            return
        self._masks[at.time] = at
        if number % _SHOW_EVERY == 0:
            self.strip.show_followed(self._followed())
            self._note(self._progress(share))
            if self._shown is not None and self._shown.time == at.time:
                self.view.show_mask(at.mask)

    def _failed(self, error: StemlineError) -> None:
        if self._following is None:
            return
        self._buttons["stop"].setEnabled(False)
        self._note("" if isinstance(error, Cancelled) else str(error))
        self._finish(0)

    def _progress(self, share: float) -> str:
        """Return the share of the range that is followed, and the time left at the speed so far."""
        percent = self.tr("Following: {percent} %").format(percent=min(100, round(100 * share)))
        if share <= 0:
            return percent
        left_s = max(0, round((time.monotonic() - self._follower.began_s) * (1 - share) / share))
        return self.tr("{percent}, {time} left").format(percent=percent, time=f"{left_s // 60}:{left_s % 60:02}")

    def _followed(self) -> list[tuple[Fraction, bool]]:
        return [(self._record_time(time), at.is_doubtful) for time, at in sorted(self._masks.items()) if not at.is_cut]

    def _finish(self, cuts: int) -> None:
        """Store the masks and use them in the stem's prompt."""
        clip, self._following = self._following, None
        if clip is None or clip is not self._clip or not self._masks:
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
        entry = self._session.stems.current
        entry.mask = MaskFilm(str(film), played.start, clip.source.path)
        self._films[entry.mask] = dict(self._masks)
        self._prompt = entry.marked, entry.mask
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

    def _use(self, frame: Frame, marks: Marks, mask: Mask) -> None:
        """Make the box around a mask the stem's prompt: the object is followed from there when it is separated."""
        assert self._clip is not None  # noqa: S101 - a frame is shown
        entry = self._session.stems.current
        entry.box, entry.mask = box_around(mask, self._record_time(frame.time)), None
        entry.marked = MarkedObject.of(self._clip.source.path, frame.time, marks, mask)
        self._prompt = entry.marked, None
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
        tools: list[QWidget] = [self.tools, *self._buttons.values(), self.spans.ask, self.spans.use, self.status]
        for made in (*self._buttons.values(), self.spans.ask, self.spans.use):
            made.shrink_to(_LEAST_BUTTON)
        picture = QWidget()
        picture.setLayout(column(self.view, row_widget(*tools, grow=len(tools) - 1), self.strip, spacing=4, grow=0))
        self._window.picture_place.layout().addWidget(picture)

    def _connect(self) -> None:
        self._playback.opened.connect(lambda _: self.show_clip())
        self._playback.moved.connect(self.seek)
        self.strip.sought.connect(self._playback.seek)
        self.view.marked.connect(self.mark)
        self.spans.connect_clip(lambda: self._clip)
        self.spans.note.connect(self._note)
        self.spans.changed.connect(self._after_places)
        self._loader.opened.connect(self._show_picture)
        self._loader.shown.connect(self._show)
        self._loader.preparing.connect(self._show_preparing)
        self._follower.followed.connect(self._add_mask)
        self._follower.ended.connect(self._finish)
        self._follower.failed.connect(self._failed)
