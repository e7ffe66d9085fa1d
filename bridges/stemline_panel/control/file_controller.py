# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: choosing what to open, and the files of the shown result for other programs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PyQt5.QtCore import QObject, QPoint, QUrl, pyqtSignal
from PyQt5.QtGui import QDesktopServices
from PyQt5.QtWidgets import QFileDialog, QMenu

from stemline_panel.control.result_controller import ResultController
from stemline_panel.model.session import Session
from stemline_panel.user_data import copy_example, dragged_folder, plain_copy
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.main_window import MainWindow


class FileController(QObject):
    """Lets the user choose what to open, and hands out the files of the shown result. `opening` has a list of paths."""

    opening = pyqtSignal(object)

    def __init__(self, session: Session, window: MainWindow, results: ResultController) -> None:
        """Connect the list of sounds."""
        super().__init__()
        self._session, self._window, self._results = session, window, results
        window.results.list.find_file = self.file_to_drag
        window.results.menu_wanted.connect(self._show_menu)
        window.dropped.connect(lambda names: self.opening.emit([*map(Path, names)]))
        window.start.open_wanted.connect(self.ask_for_file)
        window.start.opened.connect(lambda name: self.opening.emit([Path(name)]))
        window.start.example_wanted.connect(self.open_example)

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {"open": self.ask_for_file, "show_in_folder": self.show_in_folder}

    def ask_for_file(self) -> None:
        """Let the user choose files to open."""
        names, _ = QFileDialog.getOpenFileNames(self._window, self.tr("Open media files or an edit"))
        if names:
            self.opening.emit([*map(Path, names)])

    def open_example(self) -> None:
        """Open a copy of the example edit in the user's folder of videos."""
        try:
            self.opening.emit([copy_example()])
        except OSError as error:
            self._window.show_banner(self.tr("The example cannot be copied: {reason}.").format(reason=error.strerror))

    def show_in_folder(self) -> None:
        """Open the folder of what was applied, else the folder of the shown stems."""
        item = self._results.shown
        if item is None:
            self._window.show_status(self.tr("There are no files yet."))
            return
        files = [name for name, *_ in item.applied.files] if item.applied else []
        files += [item.applied.output] if item.applied and item.applied.output else []
        files += [stem.path for stem in self._results.shown_stems().values()]
        folder = next((path if path.is_dir() else path.parent for path in map(Path, files) if path.exists()), None)
        if folder is None or not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            self._window.show_status(self.tr("The folder is {folder}.").format(folder=folder))

    def file_to_drag(self, name: str) -> Path | None:
        """Return a file with a plain name for another program: the stem of a sound. None if it has none."""
        stem, clip = self._results.shown_stems().get(name), self._session.clip
        if stem is None or clip is None:
            return None
        try:
            return plain_copy(Path(stem.path), f"{Path(clip.name).stem}.{name}", dragged_folder())
        except OSError as error:
            text = self.tr("The file cannot be copied: {reason}.")
            self._window.show_status(text.format(reason=error.strerror or error))
            return None

    def _show_menu(self, name: str, where: QPoint) -> None:
        menu = QMenu(self._window)
        menu.addAction(self.tr("Hear it alone"), partial(self._results.choose, name))
        menu.addAction(self.tr("Show in folder"), self.show_in_folder)
        menu.popup(where)
