# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggests where the marked object sounds: shown on the filmstrip, and marks only where the user takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

from PyQt5.QtCore import QObject, pyqtSignal

import stemline
from stemline.api.object_spans import ADVICE
from stemline.clips import ClipRange
from stemline.errors import Cancelled, StemlineError
from stemline_panel.control.server_connection import ServerConnection
from stemline_panel.control.suggest_controller import OneClip
from stemline_panel.model.marks import Sign
from stemline_panel.model.session import Session
from stemline_panel.widgets.frame_view import FrameStrip
from stemline_panel.widgets.layout import button
from stemline_panel.workers import Worker


class ObjectSpansController(QObject):
    """Two buttons: one asks for places, the other makes them marks of the current stem.

    `changed` is emitted when marks were added, `note` with a sentence for the line beside the buttons, `found` with the
    `stemline.ObjectSpans`, and with None where they no longer apply.
    """

    changed = pyqtSignal()
    found = pyqtSignal(object)
    note = pyqtSignal(str)

    def __init__(self, session: Session, strip: FrameStrip, server: ServerConnection) -> None:
        """Make the buttons and the thread."""
        super().__init__()
        self._session, self._strip, self._server = session, strip, server
        self._worker = Worker("object-spans", self)
        self._stop = threading.Event()
        self._spans: tuple[stemline.Span, ...] = ()
        self.ask = button(
            self.tr("Suggest places"), self.tr("Find where the object stops and a sound begins"), self._ask
        )
        self.use = button("", self.tr("Mark these places for this stem, to keep or to change"), self._use)
        self.use.hide()
        self._clip: Callable[[], ClipRange | None] = lambda: None

    def connect_clip(self, clip: Callable[[], ClipRange | None]) -> None:
        """Look at the clip that `clip` returns."""
        self._clip = clip

    def close(self) -> bool:
        """Stop. Return True if the thread ended."""
        self._stop.set()
        return self._worker.close()

    def clear(self) -> None:
        """Drop the suggestions: another clip, stem or object is shown."""
        self._stop.set()
        self._show(())
        self.found.emit(None)

    def _ask(self) -> None:
        clip, entry = self._clip(), self._session.stems.current
        shown = entry.mask or entry.box
        if clip is None or shown is None:
            self.note.emit(self.tr("Mark what makes the sound in the picture first."))
            return
        self.clear()
        self._stop = stop = threading.Event()
        tracker = self._session.settings.tracker

        def work() -> stemline.ObjectSpans:
            return stemline.suggest_spans(
                OneClip(clip),
                shown,
                tracker=tracker,
                progress=lambda step: self._worker.post(partial(self._say_progress, stop, step)),
                cancelled=stop.is_set,
            )

        def then(found: stemline.ObjectSpans) -> None:
            if not stop.is_set():
                self._show(found.spans)
                self.found.emit(found)
                self.note.emit(f"{found.text} {ADVICE}" if found.spans else found.text)

        self._worker.do(work, then, self._say_error)

    def _say_progress(self, stop: threading.Event, step: stemline.Progress) -> None:
        if not stop.is_set():
            percent = round(100 * step.done / max(1, step.total))
            self.note.emit(self.tr("Looking at the object: {percent} %").format(percent=percent))

    def _say_error(self, error: StemlineError) -> None:
        if not isinstance(error, Cancelled):
            self.note.emit(str(error))

    def _show(self, spans: tuple[stemline.Span, ...]) -> None:
        self._spans = spans
        self._strip.show_suggested([span.resolve(None) for span in spans])
        self.use.setText(self.tr("Mark {count} places").format(count=len(spans)))
        self.use.setVisible(bool(spans))

    def _use(self) -> None:
        """Make the suggestions marks. A model without pictures goes by these alone."""
        entry = self._session.stems.current
        for span in self._spans:
            place = span.resolve(None)
            entry.marks.add(Sign.PLUS, place.start, place.end)
        if not self._server.takes_pictures:
            entry.box = entry.mask = None
        self._show(())
        self.changed.emit()
