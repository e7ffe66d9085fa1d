# SPDX-License-Identifier: GPL-3.0-or-later
"""Suggestions for the shown clip: asks the server what is heard, and makes prompts and marks of the answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from PyQt5.QtCore import QObject, pyqtSignal

import stemline
from stemline.api.voices import VoiceStems
from stemline.clips import ClipRange, StemTrack
from stemline.errors import StemlineError
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline_panel.model.marks import Sign
from stemline_panel.model.session import Session
from stemline_panel.model.stems import StemEntry
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.workers import Worker

_SPEECH = "speech"
_OFFERED_S = 120


class SuggestController(QObject):
    """Connects the chips. `changed` is emitted when a chip has changed the request."""

    changed = pyqtSignal()

    def __init__(self, session: Session, window: MainWindow) -> None:
        """Connect the chips of the prompt box."""
        super().__init__()
        self._session, self._window = session, window
        self._chips = window.prompt.suggestions
        self._worker = Worker("suggest", self)
        self._stop = threading.Event()
        self._asked_clip = ""
        self._heard: tuple[stemline.Suggestion, ...] = ()
        self._places: stemline.ObjectSpans | None = None
        self._chips.wanted.connect(self.ask)
        self._chips.voice_wanted.connect(self.find_voices)
        self._chips.chosen.connect(self.use)

    def ask(self) -> None:
        """Ask what is heard in the shown clip."""
        clip = self._session.clip
        if clip is None:
            self._window.show_status(self.tr("Open a media file or an edit first."))
            return
        self._ask(clip, self._show_error)

    def offer(self) -> None:
        """Offer words for an object that was marked in the picture without any, once for each clip.

        A long clip is left alone, because listening to it takes long, and so is a server that cannot suggest.
        """
        clip, chips = self._session.clip, self._chips
        if clip is None or self._session.stems.current.text.strip() or not chips.ask.isEnabled():
            return
        if self._asked_clip != clip.clip_id and clip.record_range.duration <= _OFFERED_S:
            self._ask(clip, lambda _: chips.show_suggestions(()))

    def _ask(self, clip: ClipRange, failed: Callable[[StemlineError], None]) -> None:
        self._asked_clip, self._heard = clip.clip_id, ()
        self._chips.show_busy(self.tr("Listening…"))
        server = self._session.server
        self._worker.do(
            lambda: stemline.suggest(OneClip(clip), server=server, cancelled=self._stop.is_set),
            lambda found: self._show(clip, found),
            failed,
        )

    def clear(self) -> None:
        """Drop the chips: another clip is shown."""
        if self._session.clip is None or self._session.clip.clip_id != self._asked_clip:
            self._heard = ()
            self._chips.show_suggestions(())

    def rank(self, places: stemline.ObjectSpans | None) -> None:
        """Show the sounds that are heard where the marked object stops first; None for no such places."""
        self._places = places
        if self._heard and self._chips.ask.isEnabled():
            self._show_heard()

    def _show_heard(self) -> None:
        there = self._places.words(self._heard) if self._places is not None else ()
        self._chips.show_suggestions((*there, *(one for one in self._heard if one not in there)), there)
        if there:
            names = ", ".join(one.sound for one in there)
            self._window.show_status(self.tr("Heard where the object stops: {sounds}.").format(sounds=names))

    def use(self, suggestion: stemline.Suggestion, with_marks: bool) -> None:
        """Make a suggestion the current stem, or another one if the current one is in use.

        An object in the picture without words gets those of the suggestion.
        """
        stems = self._session.stems
        if stems.current.lacks_words:
            stems.current.text = suggestion.sound
        else:
            stems.add(suggestion.sound)
        marks = stems.current.marks
        for span in suggestion.stem(marks=with_marks).prompt.spans:
            found = span.resolve(None)
            marks.add(Sign.PLUS, found.start, found.end)
        self.changed.emit()

    def find_voices(self) -> None:
        """Mark wherever the marked voices speak: that of the current stem, and of every other stem of speech."""
        clip, stems = self._session.clip, self._session.stems
        current = stems.current
        is_voice = [entry is current or entry.text.strip() == _SPEECH for entry in stems]
        entries = [entry for entry, chosen in zip(stems, is_voice, strict=True) if chosen and len(entry.marks)]
        if clip is None or current not in entries:
            self._window.show_status(self.tr("Mark two seconds or more in which one voice alone speaks."))
            return
        voices = {
            str(number): [stemline.Span(span.start, span.end) for span in entry.marks.ranges(Sign.PLUS)]
            for number, entry in enumerate(entries)
        }
        self._chips.show_busy(self.tr("Listening…"))
        server = self._session.server
        self._worker.do(
            lambda: stemline.find_voices(OneClip(clip), voices, server=server, cancelled=self._stop.is_set),
            lambda found: self._mark_turns(entries, found),
            self._show_voice_error,
        )

    def _mark_turns(self, entries: Sequence[StemEntry], found: VoiceStems) -> None:
        """Replace the marks of the entries by the turns. Undo takes them back one by one."""
        self._chips.show_idle()
        for entry, stem in zip(entries, found, strict=True):
            for mark in list(entry.marks):
                entry.marks.remove(mark.number)
            for span in stem.prompt.spans:
                turn = span.resolve(None)
                entry.marks.add(Sign.PLUS, turn.start, turn.end)
            entry.text = _SPEECH
        self.changed.emit()
        if warning := found.overlap_warning():
            self._window.show_status(warning)

    def _show_voice_error(self, error: StemlineError) -> None:
        self._chips.show_idle()
        self._window.show_status(str(error))

    def close(self) -> bool:
        """Stop listening. Return True if the thread ended."""
        self._stop.set()
        return self._worker.close()

    def _show(self, clip: ClipRange, found: stemline.Suggestions) -> None:
        if self._session.clip is None or self._session.clip.clip_id != clip.clip_id:
            self.clear()
            return
        self._heard = found.sounds
        self._show_heard()
        if not found.sounds:
            self._window.show_status(self.tr("No sound is likely enough to be suggested."))

    def _show_error(self, error: StemlineError) -> None:
        self._chips.show_suggestions(())
        self._window.show_status(str(error))


class OneClip:
    """A host with one clip, whose times are those of its timeline."""

    capabilities = HostCapabilities(name="panel", version=stemline.__version__, writes_tracks=False)

    def __init__(self, clip: ClipRange) -> None:
        """Hold the clip."""
        self._clip = clip

    def read_clips(self, selection: Selection) -> ReadClips:
        """Return the clip."""
        return ReadClips((self._clip,))

    def write_tracks(self, tracks: Sequence[StemTrack], options: WriteOptions) -> Written:
        """Write nothing."""
        return Written(())
