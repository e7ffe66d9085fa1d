# SPDX-License-Identifier: GPL-3.0-or-later
"""The transport: play, loop, seek, zoom, and the view of the waveform."""

from __future__ import annotations

from fractions import Fraction

from PyQt5.QtCore import QObject

from stemline.clips import TimeRange
from stemline_panel.control.mark_controller import MarkController
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.formatting import display_frame_rate, next_frame, time_format_of
from stemline_panel.model.marks import Sign
from stemline_panel.model.session import Session
from stemline_panel.sound.opened_clip import OpenedClip
from stemline_panel.sound.waveform import first_view
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.wave_view import exact

_ZOOM = 1.5
_DEFAULT_RATE = Fraction(25)
_HIGHEST_HZ = 20000.0


class TransportController(QObject):
    """Moves and shows the playhead."""

    def __init__(
        self, session: Session, window: MainWindow, playback: PlaybackController, marks: MarkController
    ) -> None:
        """Connect waveform, overview and transport."""
        super().__init__()
        self._session, self._window, self._playback, self._marks = session, window, playback, marks
        wave, strip, transport = window.wave, window.strip, window.transport
        playback.waveform_ready.connect(wave.draw)
        playback.layer_drawn.connect(wave.show_layer)
        playback.overview_ready.connect(strip.draw)
        playback.overview_ready.connect(wave.note_peak)
        playback.moved.connect(lambda _: self._show_playhead())
        playback.play_changed.connect(self.show_player)
        playback.decoding.connect(self._show_decoding)
        wave.waveform_wanted.connect(self._request_waveform)
        strip.moved.connect(self._centre_view)
        transport.play_pressed.connect(self.play)
        transport.loop_toggled.connect(self._set_loop)
        transport.matched_toggled.connect(self._match_loudness)
        transport.mark_plus.connect(lambda: marks.mark(Sign.PLUS))
        transport.mark_minus.connect(lambda: marks.mark(Sign.MINUS))
        marks.selection_changed.connect(self._loop_selection)
        transport.matched.setChecked(session.settings.loudness_matched)

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        wave, playback = self._window.wave, self._playback
        return {
            "play": self.play,
            "shuttle_back": lambda: playback.shuttle(-1),
            "pause": playback.pause,
            "shuttle_forward": lambda: playback.shuttle(1),
            "loop": self._window.transport.loop.toggle,
            "back": lambda: self.step_frame(-1),
            "forward": lambda: self.step_frame(1),
            "back_second": lambda: self.nudge(-1),
            "forward_second": lambda: self.nudge(1),
            "start": lambda: playback.seek(wave.whole.start),
            "end": lambda: playback.seek(wave.whole.end),
            "zoom_in": lambda: wave.zoom(1 / _ZOOM),
            "zoom_out": lambda: wave.zoom(_ZOOM),
            "zoom_selection": self._marks.zoom_selection,
            "match_loudness": self._window.transport.matched.toggle,
        }

    def play(self) -> None:
        """Play or pause."""
        self._playback.toggle(self._marks.selection, loop=self._window.transport.loop.isChecked())

    def _show_decoding(self, share: float) -> None:
        """Say why a place of compressed sound is not drawn or heard yet."""
        if share < 1:
            self._window.show_progress(self.tr("Reading the sound: {percent} %").format(percent=int(100 * share)))
        else:
            self._window.show_status(self.tr("The sound was read."))

    def nudge(self, seconds: int) -> None:
        """Move the playhead by seconds."""
        self._playback.seek(self._playback.playhead + seconds)

    def step_frame(self, by: int) -> None:
        """Move the playhead to the next frame (+1) or the previous one (-1)."""
        opened = self._playback.clip
        if opened is not None:
            rate = display_frame_rate(opened.clip, opened.facts) or _DEFAULT_RATE
            self._playback.seek(next_frame(self._playback.playhead, rate, by, opened.slack))

    def show_clip(self, opened: OpenedClip) -> None:
        """Show the waveform of a clip that was opened."""
        time_format = time_format_of(self._session.read, opened.clip, opened.facts)
        record = opened.clip.record_range
        highest_hz = min(_HIGHEST_HZ, opened.facts.sample_rate / 2)
        self._window.wave.show_clip(record, first_view(opened), time_format, highest_hz)
        self._window.strip.show_clip(record)

    def show_player(self) -> None:
        """Show whether it plays, and why nothing is heard."""
        player, transport = self._playback.player, self._window.transport
        transport.show_playing(playing=player.playing, speed=player.speed)
        transport.show_problem(player.problem)

    def _show_playhead(self) -> None:
        time, clip, opened = self._playback.playhead, self._session.clip, self._playback.clip
        if clip is None or opened is None:
            return
        self._window.wave.set_playhead(time, follow=self._playback.player.playing)
        self._window.strip.set_playhead(float(time))
        time_format = time_format_of(self._session.read, clip, opened.facts)
        self._window.transport.clock.setText(time_format.of(time + opened.slack))

    def _request_waveform(self, shown: TimeRange, columns: int) -> None:
        self._window.strip.show_range(shown)
        self._playback.request_waveform(shown, columns)

    def _centre_view(self, time: float) -> None:
        half = self._window.wave.shown.duration / 2
        self._window.wave.show_range(TimeRange(exact(time) - half, exact(time) + half))

    def _set_loop(self, looping: bool) -> None:
        self._playback.set_loop(self._marks.selection if looping else None)

    def _loop_selection(self, selection: TimeRange | None) -> None:
        if self._window.transport.loop.isChecked():
            self._playback.set_loop(selection)

    def _match_loudness(self, matched: bool) -> None:
        self._session.settings.loudness_matched = matched
        self._playback.match_loudness(matched=matched)
