# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of what takes the place of a sound: nothing, room tone, a file or a sound from words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QComboBox

from stemline.workflow.replacing import Replace

NOTHING, ROOM_TONE, FILE, WORDS, OPTIONS = "nothing", "room", "file", "words", "options"
_SAME = "same"
_CHARACTERS = 9


class FillChoice(QComboBox):
    """A list with Nothing, Room tone, File… and Words…, a line for the chosen file or words, and Options….

    `chosen` has one of the constants.
    """

    chosen = pyqtSignal(str)

    def __init__(self) -> None:
        """Start with Nothing."""
        super().__init__()
        self.setObjectName("fill")
        self.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(_CHARACTERS)
        self.activated[int].connect(self._report)
        self.show_fill("", None)

    def show_fill(self, stem: str, fill: Replace | None) -> None:
        """Show what takes the place of a stem."""
        lines = [(self.tr("Nothing"), NOTHING), (self.tr("Room tone"), ROOM_TONE)]
        chosen = NOTHING if fill is None else ROOM_TONE
        if fill is not None and (fill.path or fill.words):
            chosen = _SAME
            lines.append((Path(fill.path).name if fill.path else fill.words, _SAME))
        lines += [(self.tr("File…"), FILE), (self.tr("Words…"), WORDS)]
        if fill is not None:
            lines.append((self.tr("Options…"), OPTIONS))
        self.blockSignals(True)
        self.clear()
        for text, kind in lines:
            self.addItem(text, kind)
        self.setCurrentIndex(self.findData(chosen))
        self.blockSignals(False)
        self.setAccessibleName(self.tr("In place of {stem}").format(stem=stem))
        tip = self.tr("Sound to put in the place of this one, on another track")
        self.setToolTip((fill.path or fill.words or tip) if fill is not None else tip)

    def wheelEvent(self, event: Any) -> None:
        """Scroll the list of stems."""
        event.ignore()

    def _report(self, index: int) -> None:
        kind = self.itemData(index)
        if kind != _SAME:
            self.chosen.emit(kind)
