# SPDX-License-Identifier: GPL-3.0-or-later
"""From words and marks to a run: the right side of the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QApplication

from stemline.clips import TimeRange
from stemline.errors import StemlineError
from stemline_panel.model.history import Preset
from stemline_panel.model.request import RunRequest
from stemline_panel.model.session import Action, Session, Verb
from stemline_panel.user_data import UserData
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.settings_dialog import SettingsDialog

if TYPE_CHECKING:
    from stemline_panel.director import Director


class RequestController(QObject):
    """`changed` after every change of what is asked for."""

    changed = pyqtSignal()
    open_wanted = pyqtSignal()

    def __init__(self, session: Session, window: MainWindow, user_data: UserData, director: Director) -> None:
        super().__init__()
        self._session, self._window, self._user_data, self._director = session, window, user_data, director
        box, stems = window.prompt, session.stems
        box.verb_chosen.connect(self.set_verb)
        box.pressed.connect(self.trigger_primary)
        box.audition_wanted.connect(self.audition)
        box.prompt.edited.connect(self._type)
        box.prompt.entered.connect(self._enter)
        box.prompt.left.connect(window.wave.setFocus)
        box.prompt.preset_chosen.connect(self._take_preset)
        box.stems.selected.connect(lambda index: self._then(partial(stems.select, index)))
        box.stems.add_wanted.connect(self.add_stem)
        box.stems.remove_wanted.connect(lambda index: self._then(partial(stems.remove, index)))
        box.stems.renamed.connect(self._rename)
        window.queue.cancel_wanted.connect(director.runs.cancel)
        window.queue.cancel_all_wanted.connect(director.runs.cancel_all)
        window.queue.retry_wanted.connect(director.runs.retry)
        window.queue.copy_wanted.connect(self.copy_job)
        window.queue.forget_wanted.connect(director.runs.forget)
        window.queue.reuse_wanted.connect(self.reuse_request)

    # -- running -------------------------------------------------------------------------------------------------------

    def trigger_primary(self) -> None:
        presses: dict[Action, Callable[[], object]] = {
            Action.OPEN: self.open_wanted.emit,
            Action.CONNECT: self._director.connection.connect_now,
            Action.SEPARATE: self.separate,
            Action.STOP: self.stop,
            Action.APPLY: self._director.results.apply_asked,
        }
        press = presses.get(self._session.primary_action().action)
        if press is not None:
            press()

    def separate(self) -> None:
        """Asks for what is typed and marked."""
        self._try(lambda: self._ask(self._session.request()))

    def audition(self) -> None:
        self._try(lambda: self._ask(self._session.audition(self._director.playback.playhead)))

    def stop(self) -> None:
        running = self._session.queue.running
        if running is not None:
            self._director.runs.cancel(running.number)

    def copy_job(self, number: int | None = None) -> None:
        """Of an item of the queue, or of what would be asked for now."""
        item = self._session.queue.item(number) if number is not None else None

        def copy() -> None:
            request = item.request if item is not None else self._session.request()
            QApplication.clipboard().setText(request.as_job())
            self._window.show_status("The job is in the clipboard as JSON.")

        self._try(copy)

    def _ask(self, request: RunRequest) -> None:
        for stem in request.stems:
            self._user_data.history.add(stem.prompt.text)
        self._window.hide_banner()
        self._director.runs.add(request)

    def _enter(self) -> None:
        """Enter in the prompt line separates, and the keys act again; it never stops or applies."""

        def ask() -> None:
            self._ask(self._session.request())
            self._window.wave.setFocus()

        if self._session.primary_action().action in (Action.SEPARATE, Action.NOTHING):
            self._try(ask)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except StemlineError as error:
            self._window.show_status(str(error))

    # -- what is wanted ------------------------------------------------------------------------------------------------

    def set_verb(self, verb: Verb) -> None:
        self._session.verb = verb
        self._window.prompt.show_verb(verb)
        self.changed.emit()

    def next_verb(self) -> None:
        verbs = list(Verb)
        self.set_verb(verbs[(verbs.index(self._session.verb) + 1) % len(verbs)])

    def set_all_clips(self, every: bool) -> None:
        self._session.all_clips = every
        self.changed.emit()

    def set_part(self, selection: TimeRange | None) -> None:
        """The selection is all that is meant, where "Only the selection" is on."""
        part = selection if self._window.clip_bar.part.isChecked() else None
        if part != self._session.part:
            self._session.part = part
            self.changed.emit()

    def add_stem(self) -> None:
        self._session.stems.add()
        self.changed.emit()
        self.to_prompt()

    def remove_stem(self) -> None:
        self._then(lambda: self._session.stems.remove(self._session.stems.current_index))

    def to_prompt(self) -> None:
        edit = self._window.prompt.prompt.edit
        edit.setFocus()
        edit.selectAll()

    def change_settings(self) -> None:
        session = self._session
        models = self._director.connection.models
        folder = str(session.output_now or session.default_output)
        dialog = SettingsDialog(session.settings, models, folder, self._window)
        if dialog.exec_():
            chosen = dialog.chosen()
            if chosen.output_dir != session.settings.output_dir:
                session.output_now = None
            session.settings = chosen
            self._user_data.save(session.settings)
            self.changed.emit()

    def reuse_request(self, number: int) -> None:
        """The words and marks of an earlier run, to be changed."""
        item = self._session.queue.item(number)
        if item is not None:
            self._session.stems.take(item.request.stems)
            if item.document_key != self._session.document_key:
                self._session.stems.clear_marks()
            self.set_verb(Verb(item.request.settings.play))

    def _type(self, text: str) -> None:
        self._session.stems.current.text = text
        self.changed.emit()

    def _take_preset(self, preset: Preset) -> None:
        self._then(lambda: self._session.stems.replace(preset.stems))

    def _rename(self, index: int, name: str) -> None:
        entries = list(self._session.stems)
        if index < len(entries):
            entries[index].own_name = name
        self.changed.emit()

    def _then(self, change: Callable[[], None]) -> None:
        change()
        self.changed.emit()
