# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a folder: what appears in it is separated with the stems of the request, until the user stops it."""

from __future__ import annotations

import threading
from pathlib import Path

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QFileDialog

import stemline
from stemline.errors import StemlineError
from stemline_panel.model.session import Session
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.main_window import MainWindow
from stemline_panel.workers import Worker


class WatchController(QObject):
    """Runs `stemline.watch` in a thread. `changed` is emitted with each event; `folder` is what is watched, or None."""

    changed = pyqtSignal(object)

    def __init__(self, session: Session, window: MainWindow) -> None:
        """Watch nothing yet."""
        super().__init__()
        self._session, self._window = session, window
        self._worker = Worker("watch", self)
        self._stop = threading.Event()
        self.folder: Path | None = None

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {"watch": self.toggle}

    def toggle(self) -> None:
        """Choose a folder and watch it, or stop watching."""
        if self.folder is not None:
            self._stop.set()
            return
        if not any(entry.text.strip() for entry in self._session.stems):
            self._window.show_status(self.tr("Type what to make of each file first, or choose a preset."))
            return
        try:
            requests = [stem for stem in self._session.stems.requests() if stem.prompt.text]
            stems = [stemline.Stem(stem.name, stem.prompt.text) for stem in requests]
        except StemlineError as error:
            self._window.show_status(str(error))
            return
        name = QFileDialog.getExistingDirectory(self._window, self.tr("Watch a folder"))
        if name:
            self._start(Path(name), stems)

    def close(self) -> bool:
        """Stop watching. Return True if the thread ended."""
        self._stop.set()
        return self._worker.close()

    def _start(self, folder: Path, stems: list[stemline.Stem]) -> None:
        chosen, stop = self._session.settings, threading.Event()
        settings = stemline.Settings(
            server=self._session.server,
            model=chosen.model,
            quality=chosen.quality,
            channels=chosen.channels,
            sample_format=chosen.sample_format or None,
            seed=chosen.seed,
        )
        self._stop, self.folder = stop, folder
        names = ", ".join(stem.name for stem in stems)
        text = self.tr("Watching {folder} for {stems}. Choose File > Watch a folder again to stop.")
        self._window.show_progress(text.format(folder=folder, stems=names))

        def work() -> None:
            for event in stemline.watch(folder, stems, settings=settings, stopped=stop.is_set):
                self._report(event)

        def failed(error: StemlineError) -> None:
            self.folder = None
            self._window.show_banner(str(error))

        self._worker.do(work, self._ended, failed)

    def _report(self, event: stemline.WatchEvent) -> None:
        def show() -> None:
            text = {
                stemline.WatchState.WAITING: self.tr("{file} is waiting. {reason}"),
                stemline.WatchState.WORKING: self.tr("{file} is being separated."),
                stemline.WatchState.DONE: self.tr("{file} is done: {output}"),
                stemline.WatchState.FAILED: self.tr("{file} failed. {reason}"),
            }[event.state].format(file=event.path.name, reason=event.message, output=event.output)
            if event.state is stemline.WatchState.DONE and event.message:
                text += f". {event.message}"
            if event.state is stemline.WatchState.DONE and event.output.endswith(".otio"):
                text = text.removesuffix(".")
                text += self.tr(". In DaVinci Resolve: File > Import > Timeline, and choose this file.")
            self._window.show_progress(text)
            if event.state in (stemline.WatchState.DONE, stemline.WatchState.FAILED):
                self._window.notify(self.tr("Stemline"), text)
            self.changed.emit(event)

        self._worker.post(show)

    def _ended(self, _: object) -> None:
        self.folder = None
        self._window.show_status(self.tr("The folder is no longer watched."))
