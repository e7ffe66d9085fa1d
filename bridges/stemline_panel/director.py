# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings the parts together: what the user does changes the session, and the window shows the session."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from PyQt5.QtCore import QObject, QPoint
from PyQt5.QtWidgets import QFileDialog, QMenu

from stemline.clips import TimeRange
from stemline.errors import Code, NoServerError, StemlineError
from stemline.hosts.base import ReadClips, Rendered
from stemline_panel.control.action_handlers import handlers
from stemline_panel.control.host_controller import HostController
from stemline_panel.control.mark_controller import MarkController
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.control.request_controller import RequestController
from stemline_panel.control.result_controller import ResultController
from stemline_panel.control.run_controller import RunController
from stemline_panel.control.server_connection import ServerConnection, ServerState
from stemline_panel.documents import Document, HostDocument
from stemline_panel.model.formatting import clip_summary, display_frame_rate, next_frame, time_format_of
from stemline_panel.model.marks import Sign
from stemline_panel.model.queue import QueueItem
from stemline_panel.model.session import Session
from stemline_panel.sound.opened_clip import OpenedClip
from stemline_panel.sound.sink import AudioSink
from stemline_panel.sound.waveform import first_view
from stemline_panel.user_data import UserData
from stemline_panel.widgets.actions import bind_actions
from stemline_panel.widgets.badge import Health
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.shortcut_dialog import ShortcutDialog
from stemline_panel.widgets.wave_view import exact

_HOST_TROUBLE = {
    Code.HOST_TIMEOUT: (Health.BAD, "does not answer", "Try again"),
    Code.EDIT_NO_CLIPS: (Health.WAITING, "no clips", "Read again"),
}
"""What the badge of the host says, and its button."""


class Director(QObject):
    """One window and all that works behind it. `close` it."""

    def __init__(self, session: Session, user_data: UserData, sink: AudioSink) -> None:
        super().__init__()
        self.session, self._user_data = session, user_data
        self.window = MainWindow(user_data.history)
        self.connection = ServerConnection(session.server)
        self.hosts = HostController(session.server, user_data.waiting)
        self.playback = PlaybackController(sink, matched=session.settings.loudness_matched)
        self.runs = RunController(session, user_data.journal)
        self.marks = MarkController(session, self.window.wave, self.playback)
        self.results = ResultController(session, self.window, self.playback, self.hosts, self.runs)
        self.requests = RequestController(session, self.window, user_data, self)
        self._closed = False
        self._wire()
        self.actions = bind_actions(self.window, handlers(self))
        self.window.prompt.show_verb(session.verb)
        self.window.transport.matched.setChecked(session.settings.loudness_matched)
        self.window.clip_bar.show_host(shown=False)
        self.refresh()

    # -- opening -------------------------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        self.window.show_status(f"Opening {path.name} …")
        self.hosts.open(path)

    def ask_for_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self.window, "Open a media file or an edit")
        if name:
            self.open(Path(name))

    def close(self) -> bool:
        """Ends everything; True if all threads ended. What runs is kept as interrupted."""
        if self._closed:
            return True
        self._closed = True
        self.runs.save_journal()
        self._user_data.save(self.session.settings)
        ended = [part.close() for part in (self.runs, self.playback, self.hosts, self.connection)]
        return all(ended)

    # -- showing -------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Everything that follows from the session."""
        session, window = self.session, self.window
        window.prompt.prompt.show_text(session.stems.current.text)
        window.prompt.stems.show_stems(session.stems, session.clip.record_range if session.clip else None)
        window.wave.show_marks(session.stems.current.marks)
        self._refresh_runs()

    def _refresh_runs(self) -> None:
        self.session.lost, self.session.busy = self.hosts.lost, self.hosts.busy
        self.window.prompt.show_primary(self.session.primary_action())
        self.actions["render"].setEnabled(self.hosts.connected and self.session.host.renders_ranges)
        self.window.queue.show_items(self.session.queue)
        self.results.refresh()

    def _show_clip_summary(self) -> None:
        session, clip = self.session, self.session.clip
        opened = self.playback.clip
        facts = opened.facts if opened and clip and opened.clip.clip_id == clip.clip_id else None
        line = (
            clip_summary(clip, facts, time_format_of(session.read, clip, facts))
            if clip
            else "No clip with sound was found."
        )
        skipped = [f"{skip.clip} ({skip.track}): {skip.reason}" for skip in session.read.skipped]
        self.window.clip_bar.show_clip_summary(
            line, session.clip_index, len(session.clips), skipped, session.read.notes
        )
        self.window.setWindowTitle(f"{clip.name} - Stemline" if clip else "Stemline")

    def _show_clip(self) -> None:
        self._show_clip_summary()
        if self.session.clip is not None:
            self.playback.show(self.session.clip)

    # -- what comes back -----------------------------------------------------------------------------------------------

    def _opened_document(self, document: Document, read: ReadClips) -> None:
        session = self.session
        if session.document_key not in ("", document.key):
            self._leave_document()
        session.host, session.apply_label = document.capabilities, document.apply_label
        session.default_output, session.document_key = document.default_output, document.key
        session.show(read)
        self.window.clip_bar.show_host(shown=self.hosts.connected)
        self._show_host(slow=False)
        self.window.clip_bar.part.setVisible(not session.host.writes_tracks)
        self.window.hide_banner()
        self.window.raise_()
        self._show_clip()
        self.runs.restore_runs(read)
        self.window.show_status(" ".join(read.notes))
        if read.warnings:
            self.window.show_banner(" ".join(read.warnings))
        self.refresh()

    def _found_earlier(self, count: int) -> None:
        if count:
            again = f"{count} earlier runs were" if count > 1 else "An earlier run on this was"
            self.window.show_status(" ".join([f"{again} found again.", *self.session.read.notes]))

    def _leave_document(self) -> None:
        """Marks and the selection are times of the sound that was shown: they mean nothing in another."""
        self.session.stems.clear_marks()
        self.marks.select(None)

    def _show_host(self, *, slow: bool) -> None:
        document, badge = self.hosts.document, self.window.clip_bar.host
        if slow and self.hosts.connected:
            label = document.label if isinstance(document, HostDocument) else "The host"
            words = f"{label} has not answered for half a minute: it may be rendering, or show a dialog."
            self.window.clip_bar.show_host(shown=True)
            badge.show_state(Health.WAITING, "still waiting", words)
        elif isinstance(document, HostDocument) and self.hosts.connected:
            badge.show_state(
                Health.GOOD, document.label, f"{document.label} {document.capabilities.version} is connected."
            )

    def _host_failed(self, error: StemlineError, of_host: bool) -> None:
        """Nothing may have been read yet: the badge then shows for the first time, with what is wrong."""
        self.window.show_banner(str(error))
        if of_host and self.hosts.connected:
            self.window.clip_bar.show_host(shown=True)
            state = _HOST_TROUBLE.get(error.code)
            if state is None and not isinstance(self.hosts.document, HostDocument):
                state = (Health.BAD, "cannot be read", "Try again")
            if state is not None:
                health, words, fix = state
                self.window.clip_bar.host.show_state(health, words, str(error), fix)
        self.refresh()

    def _host_gone(self) -> None:
        """A panel that has nothing of the user's goes with its host; a file that is shown is not lost with it."""
        if not self.hosts.lost:
            self.window.clip_bar.show_host(shown=False)
            self.window.show_status("The host program has ended. What is shown here stays.")
            self._refresh_runs()
            return
        if not len(self.session.queue) and not self.session.stems.has_request:
            self.window.close()
            return
        label = self.hosts.document.label if self.hosts.document else "The host"
        words = (
            f"{label} has ended. What was separated is kept, and what runs goes on. When it is back, choose Stemline "
            "from its menu again: this panel takes over where it was."
        )
        self.window.clip_bar.show_host(shown=True, gone=True)
        self.window.clip_bar.host.show_state(Health.BAD, f"{label} is gone", words, "Work on the file")
        self.window.show_banner(words)
        self.session.host = replace(self.session.host, removes_results=False)
        self._refresh_runs()

    def _fix_host(self) -> None:
        if self.hosts.connected:
            self.hosts.read()
        elif self.session.clip is not None:
            self.window.clip_bar.show_host(shown=False)
            self.open(Path(self.session.clip.source.path))

    def _server_changed(self, state: ServerState) -> None:
        self.session.server_ready = state.health is Health.GOOD
        self.window.clip_bar.server.show_state(state.health, state.words, state.details, state.fix)
        self.window.prompt.show_primary(self.session.primary_action())

    def _opened_clip(self, opened: OpenedClip) -> None:
        clip = opened.clip
        time_format = time_format_of(self.session.read, clip, opened.facts)
        record = clip.record_range
        self.window.wave.show_clip(record, first_view(opened), time_format, min(20000.0, opened.facts.sample_rate / 2))
        self.window.strip.show_clip(record)
        self.marks.select(None)
        self._show_clip_summary()
        self.refresh()
        self._transport_changed()
        self.results.compare_again()

    def _clip_failed(self, error: StemlineError) -> None:
        self.window.show_banner(str(error))
        self._show_clip_summary()

    def _run_failed(self, item: QueueItem) -> None:
        if isinstance(item.error, NoServerError):
            self.connection.lost(item.error)
        if item.error is not None:
            self.window.show_banner(str(item.error))

    def _moved(self) -> None:
        time, clip, opened = self.playback.playhead, self.session.clip, self.playback.clip
        if clip is None or opened is None:
            return
        self.window.wave.set_playhead(time, follow=self.playback.player.playing)
        self.window.strip.set_playhead(float(time))
        time_format = time_format_of(self.session.read, clip, opened.facts)
        self.window.transport.clock.setText(time_format.of(time + opened.slack))

    def _transport_changed(self) -> None:
        player, transport = self.playback.player, self.window.transport
        transport.show_playing(playing=player.playing)
        transport.show_problem(player.problem)
        self.results.show_layers()

    def _request_waveform(self, shown: TimeRange, columns: int) -> None:
        self.window.strip.show_range(shown)
        self.playback.request_waveform(shown, columns)

    def _centre(self, time: float) -> None:
        half = self.window.wave.shown.duration / 2
        self.window.wave.show_range(TimeRange(exact(time) - half, exact(time) + half))

    def _show_mark_menu(self, time: Fraction, where: QPoint) -> None:
        """What can be done at a place of the picture; the playhead goes there."""
        self.playback.seek(time)
        menu = QMenu(self.window)
        for name in ("select_sound", "mark_plus", "mark_minus", "flip_mark", "delete_mark", "zoom_selection"):
            menu.addAction(self.actions[name])
        menu.popup(where)

    def step_clip(self, by: int) -> None:
        count = len(self.session.clips)
        if count > 1:
            self.session.clip_index = (self.session.clip_index + by) % count
            self._show_clip()
            self._refresh_runs()

    def nudge(self, seconds: int) -> None:
        """Moves the playhead."""
        self.playback.seek(self.playback.playhead + seconds)

    def step_frame(self, by: int) -> None:
        """Moves the playhead to the next frame (+1) or the one before (-1)."""
        opened = self.playback.clip
        if opened is not None:
            rate = display_frame_rate(opened.clip, opened.facts) or Fraction(25)
            self.playback.seek(next_frame(self.playback.playhead, rate, by, opened.slack))

    def play(self) -> None:
        self.playback.toggle(self.marks.selection, loop=self.window.transport.loop.isChecked())

    def _change_loop(self, looping: bool) -> None:
        """While it plays."""
        self.playback.set_loop(self.marks.selection if looping else None)

    def _loop_selection(self, selection: TimeRange | None) -> None:
        if self.window.transport.loop.isChecked():
            self.playback.set_loop(selection)

    def render(self) -> None:
        """Has the host render the shown clip, so that its effects are heard and separated too."""
        clip = self.session.clip
        if clip is not None and self.hosts.document is not None:
            self.window.show_status("The host renders the clip …")
            self.hosts.render(clip, self.session.output_dir / "renders")

    def _rendered(self, rendered: Rendered) -> None:
        self.session.replace_clip(rendered.clip)
        self.window.show_status("This is the sound as the host plays it.")
        if rendered.notes:
            self.window.show_banner(" ".join(rendered.notes))
        self._show_clip()
        self._refresh_runs()

    def show_help(self) -> None:
        ShortcutDialog(self.window).exec_()

    def _match(self, matched: bool) -> None:
        self.session.settings.loudness_matched = matched
        self.playback.match_loudness(matched=matched)

    # -- wiring --------------------------------------------------------------------------------------------------------

    def _wire(self) -> None:
        self._wire_window()
        self._wire_places()
        self._wire_sound()
        self._wire_asking()

    def _wire_window(self) -> None:
        window = self.window
        window.closing.connect(self.close)
        window.activated.connect(self.runs.refresh_applied)
        window.dropped.connect(lambda name: self.open(Path(name)))

    def _wire_places(self) -> None:
        """Where clips come from, and the server."""
        hosts, target = self.hosts, self.window.clip_bar
        hosts.opened.connect(self._opened_document)
        hosts.failed.connect(self._host_failed)
        hosts.gone.connect(self._host_gone)
        hosts.slow.connect(lambda slow: self._show_host(slow=slow))
        hosts.rendered.connect(self._rendered)
        hosts.busy_changed.connect(self._refresh_runs)
        target.step.connect(self.step_clip)
        target.refresh.connect(hosts.read)
        target.host.fix_wanted.connect(self._fix_host)
        self.connection.changed.connect(self._server_changed)
        target.server.fix_wanted.connect(self.connection.connect_now)

    def _wire_sound(self) -> None:
        """What is seen and heard of the clip, and moving in it."""
        playback, wave, strip, transport = self.playback, self.window.wave, self.window.strip, self.window.transport
        playback.opened.connect(self._opened_clip)
        playback.failed.connect(self._clip_failed)
        playback.waveform_ready.connect(wave.draw)
        playback.layer_drawn.connect(wave.show_layer)
        playback.overview_ready.connect(strip.draw)
        playback.overview_ready.connect(wave.note_peak)
        playback.moved.connect(lambda _: self._moved())
        playback.play_changed.connect(self._transport_changed)
        wave.waveform_wanted.connect(self._request_waveform)
        strip.moved.connect(self._centre)
        transport.play_pressed.connect(self.play)
        transport.loop_toggled.connect(self._change_loop)
        transport.layer_chosen.connect(self.results.choose)
        transport.matched_toggled.connect(self._match)

    def _wire_asking(self) -> None:
        """Marks and words, and the runs that come of them."""
        marks, requests, target, transport = self.marks, self.requests, self.window.clip_bar, self.window.transport
        marks.changed.connect(self.refresh)
        marks.said.connect(self.window.show_status)
        marks.selection_changed.connect(requests.set_part)
        marks.selection_changed.connect(self._loop_selection)
        transport.mark_plus.connect(lambda: marks.mark(Sign.PLUS))
        transport.mark_minus.connect(lambda: marks.mark(Sign.MINUS))
        self.window.wave.menu_wanted.connect(self._show_mark_menu)
        target.part_toggled.connect(lambda _: requests.set_part(marks.selection))
        target.all_toggled.connect(requests.set_all_clips)
        requests.changed.connect(self.refresh)
        requests.open_wanted.connect(self.ask_for_file)
        self.runs.changed.connect(self._refresh_runs)
        self.runs.failed.connect(self._run_failed)
        self.runs.restored.connect(self._found_earlier)
        self.runs.journal_failed.connect(lambda error: self.window.show_banner(str(error)))
