# SPDX-License-Identifier: GPL-3.0-or-later
"""Presets: loading one with its amounts, saving the request as one, and exchanging them as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QObject, pyqtSignal
from PyQt5.QtWidgets import QFileDialog, QInputDialog

import stemline
from stemline.clips import RESIDUAL
from stemline.errors import StemlineError
from stemline.presets import remove_preset
from stemline_panel.control.result_controller import ResultController
from stemline_panel.model.session import Session
from stemline_panel.widgets.main_window import MainWindow


class PresetController(QObject):
    """Works on the user's presets, which the command line uses, too. `changed` is emitted when one was loaded."""

    changed = pyqtSignal()

    def __init__(self, session: Session, window: MainWindow, results: ResultController) -> None:
        """Connect the menu of presets."""
        super().__init__()
        self._session, self._window, self._results = session, window, results
        line = window.prompt.prompt
        line.preset_chosen.connect(self.load)
        line.save_wanted.connect(self.save)
        line.remove_wanted.connect(lambda name: self._try(lambda: remove_preset(name)))
        line.import_wanted.connect(self.read_file)
        line.export_wanted.connect(self.write_file)

    def load(self, preset: stemline.Preset) -> None:
        """Load the stems of a preset, and its amounts for the results of the next runs."""
        self._session.stems.replace(tuple(preset.stems.items()))
        self._session.amounts = dict(preset.amounts)
        self.changed.emit()

    def save(self) -> None:
        """Save the stems of the request, and the amounts of its result, under a name."""

        def work() -> None:
            stems = {stem.name: stem.prompt.text for stem in self._session.stems.requests()}
            title = self.tr("Save as preset")
            name, accepted = QInputDialog.getText(self._window, title, self.tr("Name of the preset:"))
            if accepted and name.strip():
                amounts = {key: gain for key, gain in self._amounts().items() if key in (*stems, RESIDUAL)}
                stemline.save_presets([stemline.Preset(name, stems, amounts)])
                self._window.show_status(self.tr("The preset {name} was saved.").format(name=name.strip()))

        self._try(work)

    def read_file(self) -> None:
        """Add the presets of a file, which the user chooses, to the user's own."""
        name, _ = QFileDialog.getOpenFileName(self._window, self.tr("Import presets"), "", "*.json")

        def work() -> None:
            presets = stemline.read_presets(name)
            stemline.save_presets(presets)
            self._window.show_status(self.tr("{count} presets were imported.").format(count=len(presets)))

        if name:
            self._try(work)

    def write_file(self) -> None:
        """Write all presets to a file, which the user chooses."""
        name, _ = QFileDialog.getSaveFileName(self._window, self.tr("Export presets"), "presets.json", "*.json")
        if name:
            self._try(lambda: stemline.write_presets(Path(name), stemline.list_presets()))

    def _amounts(self) -> dict[str, float]:
        shown = self._results.shown
        return dict(shown.amounts) if shown is not None else self._session.amounts

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StemlineError as error:
            self._window.show_status(str(error))
