# SPDX-License-Identifier: GPL-3.0-or-later
"""The next request: its verb, stems, clips and settings, and the main button."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Protocol

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QApplication, QFileDialog

from stemline.client import Model
from stemline.client.generation import SoundGenerator
from stemline.clips import RESIDUAL, TimeRange
from stemline.errors import StemlineError
from stemline.prompts import StemRequest
from stemline.workflow.replacing import Replace
from stemline_panel.model.formatting import join_names
from stemline_panel.model.queue import QueueItem
from stemline_panel.model.request import RunRequest
from stemline_panel.model.session import Action, Session, Verb
from stemline_panel.model.settings import PanelSettings
from stemline_panel.model.stems import names_person
from stemline_panel.sound.sink import device_names
from stemline_panel.user_data import UserData
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.fill_choice import FILE, OPTIONS, ROOM_TONE, WORDS
from stemline_panel.widgets.fill_dialog import FillDialog
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.widgets.settings_dialog import SettingsDialog, SettingsOffers


class RunCommands(Protocol):
    """Starts and stops runs, which are identified by their numbers."""

    def add(self, request: RunRequest) -> QueueItem:
        """Queue a run."""
        ...

    def cancel(self, number: int) -> None:
        """Stop a run."""
        ...

    def cancel_all(self) -> None:
        """Stop all runs."""
        ...

    def retry(self, number: int) -> None:
        """Queue an ended run again."""
        ...

    def forget(self, number: int) -> None:
        """Remove an ended run from the list."""
        ...

    def move(self, number: int, by: int) -> None:
        """Run a waiting run earlier (-1) or later (+1)."""
        ...


class ServerCommands(Protocol):
    """Connects to the server and lists its models."""

    @property
    def models(self) -> tuple[Model, ...]:
        """The models of the server; empty before the first connection."""
        ...

    @property
    def generators(self) -> tuple[SoundGenerator, ...]:
        """The generators of the server; empty before the first connection."""
        ...

    def connect_now(self) -> None:
        """Connect, and start a private server."""
        ...

    def use(self, settings: PanelSettings) -> str | None:
        """Use the server of the settings, and return its address; None for the private one."""
        ...

    def test(self, address: str, token_file: str, ca_file: str, show: Callable[[str], None]) -> None:
        """Connect to a server, and call `show` with one sentence about it."""
        ...


class PlayheadSource(Protocol):
    """The time of the timeline that is heard, in seconds, and the device that plays it."""

    def use_device(self, name: str) -> None:
        """Play on another device from the next start; an empty name is the system's default."""
        ...

    @property
    def playhead(self) -> Fraction:
        """The time that is heard."""
        ...


class ApplyCommand(Protocol):
    """Applies the result of the current request."""

    def apply_requested(self) -> None:
        """Apply that result, if there is one."""
        ...


@dataclass(frozen=True, slots=True)
class RequestServices:
    """What a request needs from the other controllers."""

    runs: RunCommands
    server: ServerCommands
    playback: PlayheadSource
    results: ApplyCommand


class RequestController(QObject):
    """Edits the request. `changed` is emitted after every change of it, `open_wanted` asks for a file."""

    changed = pyqtSignal()
    open_wanted = pyqtSignal()

    def __init__(self, session: Session, window: MainWindow, user_data: UserData, services: RequestServices) -> None:
        """Connect the widgets."""
        super().__init__()
        self._session, self._window, self._user_data, self._services = session, window, user_data, services
        box, stems, runs = window.prompt, session.stems, services.runs
        box.verb_chosen.connect(self.set_verb)
        box.primary_pressed.connect(self.trigger_primary)
        box.audition_wanted.connect(self.audition)
        box.consent_dismissed.connect(self._dismiss_consent)
        self.changed.connect(self._show_consent)
        box.prompt.edited.connect(self._set_text)
        box.prompt.entered.connect(self._enter)
        box.prompt.left.connect(window.wave.setFocus)
        box.prompt.prompt_chosen.connect(self.use_prompt)
        box.stems.selected.connect(lambda index: self._change(partial(stems.select, index)))
        box.stems.add_wanted.connect(self.add_stem)
        box.stems.remove_wanted.connect(lambda index: self._change(partial(stems.remove, index)))
        box.stems.fill_chosen.connect(self.set_fill)
        box.stems.renamed.connect(lambda index, name: self._change(partial(stems.rename, index, name)))
        window.queue.cancel_wanted.connect(runs.cancel)
        window.queue.cancel_all_wanted.connect(runs.cancel_all)
        window.queue.retry_wanted.connect(runs.retry)
        window.queue.copy_wanted.connect(self.copy_job)
        window.queue.forget_wanted.connect(runs.forget)
        window.queue.move_wanted.connect(runs.move)
        window.queue.reuse_wanted.connect(self.reuse_request)
        window.drawer.stop_wanted.connect(self.stop)
        window.drawer.prompt_chosen.connect(self.use_prompt)
        window.clips.activated.connect(self._enter)

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {
            "prompt": self.focus_prompt,
            "presets": self._window.prompt.prompt.show_presets,
            "add_stem": self.add_stem,
            "remove_stem": self.remove_stem,
            "next_verb": self.next_verb,
            "audition": self.audition,
            "primary": self.trigger_primary,
            "stop": self.stop,
            "copy_job": self.copy_job,
            "settings": self.change_settings,
        }

    # -- runs ----------------------------------------------------------------------------------------------------------

    def trigger_primary(self) -> None:
        """Do what the main button says."""
        handlers: dict[Action, Callable[[], object]] = {
            Action.OPEN: self.open_wanted.emit,
            Action.CONNECT: self._services.server.connect_now,
            Action.SEPARATE: self.separate,
            Action.APPLY: self._services.results.apply_requested,
        }
        handler = handlers.get(self._session.primary_action().action)
        if handler is not None:
            handler()

    def separate(self) -> None:
        """Queue a run of the current request."""
        self._try(lambda: self._add(self._session.request()))

    def audition(self) -> None:
        """Queue an audition around the playhead."""
        self._try(lambda: self._add(self._session.audition(self._services.playback.playhead)))

    def stop(self) -> None:
        """Stop the current run."""
        running = self._session.queue.running
        if running is not None:
            self._services.runs.cancel(running.number)

    def copy_job(self, number: int | None = None) -> None:
        """Copy a run of the queue, or the current request, to the clipboard as JSON."""
        item = self._session.queue.item(number) if number is not None else None

        def copy() -> None:
            request = item.request if item is not None else self._session.request()
            QApplication.clipboard().setText(request.as_job())
            self._window.show_status(self.tr("The job was copied to the clipboard as JSON."))

        self._try(copy)

    def _add(self, request: RunRequest) -> None:
        self._window.hide_banner()
        item = self._services.runs.add(request)
        known = {RESIDUAL, *(stem.name for stem in request.stems)}
        item.amounts = {name: gain_db for name, gain_db in self._session.amounts.items() if name in known}

    def _enter(self) -> None:
        """Queue the current request on Enter, also while another run goes on. Enter never stops or applies."""

        def queue() -> None:
            request, action = self._session.request(), self._session.primary_action()
            if self._session.queue.result_of(request) is not None:
                self._window.show_status(self.tr("This is already separated; see the result."))
            elif self._session.queue.pending(request) is not None:
                self._window.show_status(self.tr("This request is already in the queue."))
            elif action.action is Action.SEPARATE:
                self._add(request)
            else:
                self._window.show_status(action.hint)
                return
            self._window.wave.setFocus()

        self._try(queue)

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except StemlineError as error:
            self._window.show_status(str(error))

    # -- request -------------------------------------------------------------------------------------------------------

    def set_verb(self, verb: Verb) -> None:
        """Choose between isolate, remove and split."""
        self._session.verb = verb
        self._window.prompt.show_verb(verb)
        self.changed.emit()

    def next_verb(self) -> None:
        """Choose the next verb."""
        verbs = list(Verb)
        self.set_verb(verbs[(verbs.index(self._session.verb) + 1) % len(verbs)])

    def set_all_clips(self, every: bool) -> None:
        """Separate all clips, or only the shown one."""
        self._session.all_clips = every
        self.changed.emit()

    def set_part(self, selection: TimeRange | None) -> None:
        """Limit the request to the selection if "Selection only" is checked."""
        part = selection if self._window.clip_bar.part.isChecked() else None
        if part != self._session.part:
            self._session.part = part
            self.changed.emit()

    def add_stem(self) -> None:
        """Add a stem and edit its prompt."""
        self._session.stems.add()
        self.changed.emit()
        self.focus_prompt()

    def set_fill(self, index: int, kind: str) -> None:
        """Put nothing, room tone, or a file or words of the user in the place of a stem, or change its options."""
        before = self._session.stems.fill_of(index)
        fill = Replace() if kind == ROOM_TONE else None
        if kind in (WORDS, OPTIONS):
            fill = self._ask_fill(index, before, from_words=kind == WORDS or bool(before and before.words))
            if fill is None:
                self.changed.emit()
                return
        if kind == FILE:
            name, _ = QFileDialog.getOpenFileName(self._window, self.tr("Choose a sound to put in its place"))
            if not name:
                self.changed.emit()  # the list shows the earlier choice again
                return
            fill = Replace(path=name)
        self._change(partial(self._session.stems.set_fill, index, fill))

    def _ask_fill(self, index: int, before: Replace | None, *, from_words: bool) -> Replace | None:
        """Return the fill that the user chose in the dialog; None where it was cancelled or has no words."""
        fill = before or Replace()
        if from_words and fill.path:
            fill = Replace(gain_db=fill.gain_db)
        names = [entry.name for entry in self._session.stems if not entry.empty]
        stem = self._session.stems.name_of(index)
        others = [name for name in names if name != stem]
        generators = self._services.server.generators
        dialog = FillDialog(stem, fill, others, from_words=from_words, generators=generators, parent=self._window)
        chosen = dialog.chosen() if dialog.exec_() else None
        return None if chosen is None or (from_words and not chosen.words) else chosen

    def remove_stem(self) -> None:
        """Remove the current stem."""
        self._change(lambda: self._session.stems.remove(self._session.stems.current_index))

    def focus_prompt(self) -> None:
        """Focus the prompt and select its text."""
        edit = self._window.prompt.prompt.edit
        edit.setFocus()
        edit.selectAll()

    def change_settings(self) -> None:
        """Open the settings, and save them if they are accepted."""
        session = self._session
        folder = str(session.output_now or session.default_output)
        server = self._services.server
        offers = SettingsOffers(server.models, folder, device_names(), server.test)
        dialog = SettingsDialog(session.settings, offers, self._window)
        if dialog.exec_():
            chosen = dialog.chosen()
            if chosen.output_dir != session.settings.output_dir:
                session.output_now = None
            session.settings = chosen
            session.server = server.use(chosen)
            self._services.playback.use_device(chosen.device)
            self._user_data.save(session.settings)
            self.changed.emit()

    def reuse_request(self, number: int) -> None:
        """Load the stems, marks and verb of an earlier run."""
        item = self._session.queue.item(number)
        if item is not None:
            self._session.stems.load(item.request.stems, item.request.settings.replace)
            if item.document_key != self._session.document_key:
                self._session.stems.clear_marks()
            self.set_verb(Verb(item.request.settings.play))

    def load_recorded(self, stems: Sequence[StemRequest]) -> tuple[str, ...]:
        """Load the stems that an edit names, if any. Return a note, which the caller shows with the change."""
        if not stems:
            return ()
        self._session.stems.load(stems, {})
        names = join_names([stem.name for stem in stems])
        return (self.tr("The stems of this edit were loaded into the request: {names}.").format(names=names),)

    def use_prompt(self, text: str) -> None:
        """Load one prompt of the history."""
        self._change(lambda: self._session.stems.replace([(text, text)]))
        self.focus_prompt()

    def _set_text(self, text: str) -> None:
        self._session.stems.current.text = text
        self.changed.emit()

    def _show_consent(self) -> None:
        """Show the line about consent below a prompt that names a person, unless the user has dismissed it for good."""
        wanted = self._session.settings.consent_line and names_person(self._session.stems.current.text)
        self._window.prompt.consent.setVisible(wanted)

    def _dismiss_consent(self) -> None:
        self._session.settings.consent_line = False
        self._user_data.save(self._session.settings)
        self._show_consent()

    def _change(self, change: Callable[[], None]) -> None:
        change()
        self.changed.emit()
