# SPDX-License-Identifier: GPL-3.0-or-later
"""The composition of the panel: builds the controllers and connects their signals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from PyQt5.QtCore import QObject, QPoint

from stemline.errors import NoServerError, StemlineError
from stemline.hosts.base import ReadClips, Rendered
from stemline_panel.control.clip_controller import ClipController
from stemline_panel.control.estimate_controller import EstimateController
from stemline_panel.control.file_controller import FileController
from stemline_panel.control.frame_controller import FrameController
from stemline_panel.control.host_controller import HostController
from stemline_panel.control.host_status import HostStatus
from stemline_panel.control.live_controller import LiveController
from stemline_panel.control.mark_controller import MarkController
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.control.preset_controller import PresetController
from stemline_panel.control.remix_controller import RemixController
from stemline_panel.control.request_controller import RequestController, RequestServices
from stemline_panel.control.result_controller import ResultController
from stemline_panel.control.run_controller import RunController
from stemline_panel.control.server_connection import ServerConnection, ServerState
from stemline_panel.control.suggest_controller import SuggestController
from stemline_panel.control.thumbnail_controller import ThumbnailController
from stemline_panel.control.transport_controller import TransportController
from stemline_panel.control.undo_controller import UndoController
from stemline_panel.control.watch_controller import WatchController
from stemline_panel.control.word_controller import WordController
from stemline_panel.documents import Document
from stemline_panel.model.formatting import clip_summary, join_names, time_format_of
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.model.result_text import history_entries
from stemline_panel.model.session import Session
from stemline_panel.sound.opened_clip import OpenedClip
from stemline_panel.sound.sink import AudioSink
from stemline_panel.user_data import UserData
from stemline_panel.widgets.actions import Handlers, bind_actions, mark_menu, set_keys
from stemline_panel.widgets.badge import Health
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.shortcut_dialog import ShortcutDialog


class Director(QObject):
    """One window with its controllers. Close it."""

    def __init__(self, session: Session, user_data: UserData, sink: AudioSink) -> None:
        """Build everything. The window is not shown yet."""
        super().__init__()
        self.session, self._user_data = session, user_data
        self.window = MainWindow(user_data.history)
        self.server = ServerConnection(session.server, session.server_at_start)
        self.host = HostController(session.server, user_data.reconnect_file)
        self.host_status = HostStatus(self.window, self.host)
        self.playback = PlaybackController(sink, matched=session.settings.loudness_matched)
        self.live = LiveController(session, self.playback)
        self.runs = RunController(session, user_data.journal, self.live.listen)
        self.runs.finished.connect(self.live.leave)  # before the results, which compare the files
        self.marks = MarkController(session, self.window.wave, self.playback)
        self.clips = ClipController(session, self.window.clips, self.playback)
        self.thumbnails = ThumbnailController(self.window.clips)
        self.transport = TransportController(session, self.window, self.playback, self.marks)
        self.results = ResultController(session, self.window, self.playback, self.host, self.runs)
        self.remix = RemixController(self.window, self.playback, self.results, self.runs)
        services = RequestServices(self.runs, self.server, self.playback, self.results)
        self.requests = RequestController(session, self.window, user_data, services)
        self.suggestions = SuggestController(session, self.window)
        self.words = WordController(session, self.window)
        self.estimates = EstimateController(session, self.window)
        self.presets = PresetController(session, self.window, self.results)
        self.watching = WatchController(session, self.window)
        self.files = FileController(session, self.window, self.results)
        self.undo = UndoController(session, self.marks, self.results, self.remix)
        self.frames = FrameController(session, self.window, self.playback, self.server)
        self._closed = False
        self._connect_window()
        self._connect_documents()
        self._connect_playback()
        self._connect_requests()
        self._connect_undo()
        self.actions = bind_actions(self.window, self._all_actions())
        set_keys(self.actions, session.settings.keys)
        self.window.prompt.show_verb(session.verb)
        self.window.restore_layout(user_data.layout())
        self.window.start.show_recent(user_data.recent())
        self.refresh()

    # -- opening and closing -------------------------------------------------------------------------------------------

    def open(self, *paths: Path) -> None:
        """Open an edit, or media files and folders."""
        self.window.show_progress(self.tr("Opening {file}…").format(file=join_names([path.name for path in paths], 1)))
        self.host.open(paths, self.session.chosen_output)

    def close(self) -> bool:
        """End everything; the journal records the current run as interrupted. Return True if all threads ended."""
        if self._closed:
            return True
        self._closed = True
        self.remix.close()
        self.window.desktop.show_progress(None)
        self.runs.save_journal()
        self._user_data.save(self.session.settings)
        self._user_data.save_layout(self.window.layout_state())
        shown = (self.frames, self.thumbnails, self.watching, self.suggestions, self.words, self.estimates)
        parts = (*shown, self.runs, self.clips, self.playback, self.live, self.host, self.server)
        ended = [part.close() for part in parts]
        return all(ended)

    # -- showing -------------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show everything that follows from the session."""
        session, window = self.session, self.window
        window.prompt.prompt.show_text(session.stems.current.text)
        window.prompt.stems.show_stems(session.stems, session.clip.record_range if session.clip else None)
        window.wave.show_marks(session.stems.current.marks)
        self.frames.refresh()
        self.words.refresh()
        self.server.set_model(session.settings.model)
        set_keys(self.actions, session.settings.keys)
        self._refresh_runs()

    def render(self) -> None:
        """Have the host render the shown clip, so that its effects are heard and separated too."""
        clip = self.session.clip
        if clip is not None and self.host.document is not None:
            self.window.show_progress(self.tr("Rendering the clip in the host…"))
            self.host.render(clip, self.session.output_dir / "renders")

    def show_help(self) -> None:
        """Show the keyboard shortcuts."""
        ShortcutDialog(self.window, self.session.settings.keys).exec_()

    def _refresh_runs(self) -> None:
        self.session.lost, self.session.busy = self.host.lost, self.host.busy
        self.window.prompt.show_primary(self.session.primary_action())
        self.estimates.refresh()
        self.actions["render"].setEnabled(self.host.connected and self.session.host.renders_ranges)
        self.window.drawer.show_items(self.session.queue)
        self._show_title()
        self.clips.refresh()
        self.results.refresh()

    def _show_clip_summary(self) -> None:
        session, clip = self.session, self.session.clip
        opened = self.playback.clip
        facts = opened.facts if opened and clip and opened.clip.clip_id == clip.clip_id else None
        line = self.tr("No clip with sound was found.")
        if clip is not None:
            line = clip_summary(clip, facts, time_format_of(session.read, clip, facts))
        skipped = [f"{skip.clip} ({skip.track}): {skip.reason}" for skip in session.read.skipped]
        index, count = session.clip_index, len(session.clips)
        self.window.clip_bar.show_clip_summary(line, index, count, skipped, session.read.notes)
        self._show_title()

    def _show_title(self) -> None:
        clip, running = self.session.clip, self.session.queue.running
        self.window.show_title(clip.name if clip else "", running.fraction if running else None)

    def _show_clip(self) -> None:
        self._show_clip_summary()
        self.suggestions.clear()
        if self.session.clip is not None:
            self.playback.show(self.session.clip)

    def _show_stepped_clip(self) -> None:
        """Show the clip that the user stepped to, with the newest result that a run has for it."""
        self._show_clip()
        self.results.select_for_clip()
        self._refresh_runs()

    def _show_mark_menu(self, time: Fraction, where: QPoint) -> None:
        """Move the playhead to a time and open the menu of marks there."""
        self.playback.seek(time)
        mark_menu(self.window, self.actions).popup(where)

    # -- signals of the controllers ------------------------------------------------------------------------------------

    def _opened_document(self, document: Document, read: ReadClips) -> None:
        session = self.session
        if session.document_key != document.key:
            if session.document_key:
                session.stems.clear_marks()  # marks and selection are times of the old document
                self.marks.select(None)
                self.undo.clear()
            read = replace(read, notes=(*read.notes, *self.requests.load_recorded(document.recorded_stems)))
        session.host, session.apply_label = document.capabilities, document.apply_label
        session.default_output, session.document_key = document.default_output, document.key
        session.grows, session.applied_clips = document.grows, document.applied_clips()
        session.applied_tracks = document.applied_tracks()
        session.show(read)
        self.host_status.show_connected()
        self.window.clip_bar.part.setVisible(not session.host.writes_tracks)
        self.window.hide_banner()
        self.window.raise_()
        self.window.show_document(shown=True)
        self.window.show_clip_column(useful=len(read.clips) + len(read.skipped) > 1)
        self.clips.show_document()
        self._show_clip()
        if document.path is not None:
            self._user_data.add_recent(str(document.path))
        self.runs.restore_runs(read)
        self.window.show_status(" ".join(read.notes))
        if read.warnings:
            self.window.show_banner(" ".join(read.warnings))
        self.refresh()
        self.undo.note()

    def _show_restored(self, count: int) -> None:
        if count:
            text = self.tr("1 earlier run was restored.")
            if count > 1:
                text = self.tr("{count} earlier runs were restored.").format(count=count)
            self.window.show_status(" ".join([text, *self.session.read.notes]))
            if any(item.state is ItemState.INTERRUPTED for item in self.session.queue):
                self.window.drawer.open_page(self.window.queue)

    def _document_failed(self, error: StemlineError, of_host: bool) -> None:
        self.window.show_status("")
        self.window.show_banner(str(error))
        if of_host:
            self.host_status.show_error(error)
        self.refresh()

    def _host_gone(self) -> None:
        """Close a panel without any work of the user, else keep it open. An open file stays in any case."""
        if not self.host.lost:
            self.host_status.hide()
            self.window.show_status(self.tr("The host program has quit. The open file stays open."))
        elif not len(self.session.queue) and not self.session.stems.has_request:
            self.window.close()
            return
        else:
            self.host_status.show_gone()
            self.session.host = replace(self.session.host, removes_results=False)
        self._refresh_runs()

    def _fix_host(self) -> None:
        if self.host.connected:
            self.host.read()
        elif self.session.clip is not None:
            self.host_status.hide()
            self.open(Path(self.session.clip.source.path))

    def _server_changed(self, state: ServerState) -> None:
        self.session.server_ready = state.health is Health.GOOD
        self.window.clip_bar.server.show_state(state.health, state.status, state.details, state.fix)
        self.window.prompt.show_primary(self.session.primary_action())
        self.words.refresh()
        self.estimates.refresh()

    def _opened_clip(self, opened: OpenedClip) -> None:
        self.transport.show_clip(opened)
        self.marks.select(None)
        self._show_clip_summary()
        self.refresh()
        self.transport.show_player()
        self.results.compare_again()

    def _clip_failed(self, error: StemlineError) -> None:
        self.window.show_banner(str(error))
        self._show_clip_summary()

    def _run_failed(self, item: QueueItem) -> None:
        if isinstance(item.error, NoServerError):
            self.server.lost(item.error)
        if item.error is not None:
            self.window.show_banner(str(item.error))

    def _announce_end(self, item: QueueItem) -> None:
        """Notify a user who works in another window that the queue is empty."""
        if not item.restored and not item.request.audition and self.session.queue.running is None:
            self.window.notify(self.tr("Stemline is done"), f"{item.request.title}: {item.status}")

    def _results_changed(self) -> None:
        """Take over which runs and clips are applied: a run may have replaced the stems of another."""
        document = self.host.document
        if document is not None and document.applied_clips() is not None:
            self.session.applied_clips = document.applied_clips()
            self.session.applied_tracks = document.applied_tracks()
            self.runs.drop_applied_except(document.results() or ())
            self._refresh_runs()

    def _clips_taken_back(self, notes: tuple[str, ...]) -> None:
        self.window.show_status(" ".join([self.tr("The stems were taken back."), *notes]))
        self._results_changed()

    def _note_prompts(self, item: QueueItem) -> None:
        """Put the prompts that were understood into the history, with what they found."""
        if item.outcome is not None and not item.restored:
            for entry in history_entries(item, item.outcome):
                self._user_data.history.add(entry)

    def _rendered(self, rendered: Rendered) -> None:
        self.session.replace_clip(rendered.clip)
        self.window.show_status(self.tr("You now hear the clip as the host plays it, effects included."))
        if rendered.notes:
            self.window.show_banner(" ".join(rendered.notes))
        self._show_clip()
        self._refresh_runs()

    # -- connections ---------------------------------------------------------------------------------------------------

    def _all_actions(self) -> Handlers:
        drawer = self.window.drawer
        own: Handlers = {
            "toggle_clips": self.window.toggle_clips,
            "queue": lambda: drawer.toggle(drawer.queue),
            "history": lambda: drawer.toggle(drawer.history),
            "reload": self.host.read,
            "render": self.render,
            "help": self.show_help,
        }
        shown = (self.transport, self.clips, self.marks, self.results)
        parts = (*shown, self.requests, self.undo, self.watching, self.files)
        return own | {name: handler for part in parts for name, handler in part.actions().items()}

    def _connect_window(self) -> None:
        self.window.closing.connect(self.close)
        self.window.activated.connect(self.runs.refresh_applied)
        self.files.opening.connect(lambda paths: self.open(*paths))
        self.clips.stepped.connect(self._show_stepped_clip)
        self.clips.changed.connect(self.refresh)
        self.window.wave.menu_wanted.connect(self._show_mark_menu)

    def _connect_undo(self) -> None:
        """Record every change of the request, the marks, the selection and the amounts, and every apply."""
        for part in (self.requests, self.marks, self.suggestions, self.presets, self.frames):
            part.changed.connect(self.undo.note)
        self.remix.changing.connect(self.undo.note)
        self.remix.changed.connect(self.undo.note)
        self.marks.selection_changed.connect(lambda _: self.undo.note())
        self.host.applied.connect(lambda item: self.undo.note_applied(item, applied=True))
        self.host.taken_back.connect(lambda item, _: self.undo.note_applied(item, applied=False))
        self.words.choosing.connect(self.undo.end_typing)
        self.undo.changed.connect(self._show_undone)
        self.undo.message.connect(self.window.show_status)

    def _show_undone(self) -> None:
        self.window.prompt.show_verb(self.session.verb)
        self.refresh()

    def _connect_documents(self) -> None:
        host, clip_bar = self.host, self.window.clip_bar
        host.opened.connect(self._opened_document)
        host.failed.connect(self._document_failed)
        host.gone.connect(self._host_gone)
        host.slow.connect(self.host_status.show_slow)
        host.rendered.connect(self._rendered)
        host.applied.connect(lambda _: self._results_changed())
        host.taken_back.connect(lambda *_: self._results_changed())
        host.clips_taken_back.connect(self._clips_taken_back)
        host.busy_changed.connect(self._refresh_runs)
        clip_bar.step.connect(self.clips.step)
        clip_bar.reload.connect(host.read)
        clip_bar.host.fix_wanted.connect(self._fix_host)
        self.server.changed.connect(self._server_changed)
        clip_bar.server.fix_wanted.connect(self.server.connect_now)

    def _connect_playback(self) -> None:
        self.playback.opened.connect(self._opened_clip)
        self.playback.failed.connect(self._clip_failed)
        self.playback.play_changed.connect(self.results.show_layers)
        self.window.transport.layer_chosen.connect(self.results.choose)

    def _connect_requests(self) -> None:
        marks, requests, clip_bar = self.marks, self.requests, self.window.clip_bar
        marks.changed.connect(self.refresh)
        marks.message.connect(self.window.show_status)
        marks.selection_changed.connect(requests.set_part)
        clip_bar.part_toggled.connect(lambda _: requests.set_part(marks.selection))
        clip_bar.all_toggled.connect(requests.set_all_clips)
        requests.changed.connect(self.refresh)
        self.suggestions.changed.connect(self.refresh)
        self.presets.changed.connect(self.refresh)
        self.frames.changed.connect(self.refresh)
        self.frames.message.connect(self.window.show_status)
        self.frames.word_wanted.connect(self.suggestions.offer)
        self.frames.spans.found.connect(self.suggestions.rank)
        self.frames.word_wanted.connect(lambda: self.words.offer_beside(self.frames.view))
        requests.open_wanted.connect(self.files.ask_for_file)
        for slot in (self._refresh_runs, self.live.leave_stopped):
            self.runs.changed.connect(slot)
        self.live.changed.connect(self.results.compare_again)
        self.runs.failed.connect(self._run_failed)
        for then in (self.live.close_ended, self._note_prompts, self._announce_end):
            self.runs.finished.connect(then)
        self.runs.restored.connect(self._show_restored)
        self.runs.journal_failed.connect(lambda error: self.window.show_banner(str(error)))
