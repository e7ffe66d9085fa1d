# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection in one word and a colour, what is wrong with it, and the button that mends it."""

from __future__ import annotations

from enum import StrEnum

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QPushButton, QWidget

from stemline_panel.theme import COLOURS
from stemline_panel.widgets.layout import button, label, row


class Health(StrEnum):
    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"


_COLOURS = {Health.WAITING: COLOURS.warn, Health.GOOD: COLOURS.plus, Health.BAD: COLOURS.minus}


class Badge(QWidget):
    """`fix_wanted` is the button's press; it shows only where something is wrong."""

    fix_wanted = pyqtSignal()

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what
        self._dot = label("●")
        self._words = label()
        self.fix: QPushButton = button("", "", self.fix_wanted.emit)
        self.setLayout(row(self._dot, self._words, self.fix, spacing=5))
        self.health = Health.WAITING
        self.show_state(Health.WAITING, "not looked at yet")

    @property
    def words(self) -> str:
        return self._words.text()

    def show_state(self, health: Health, words: str, details: str = "", fix: str = "") -> None:
        """`words` stand beside the dot, `details` in the tooltip; `fix` is the button's text, empty for none."""
        self.health = health
        self._dot.setStyleSheet(f"color: {_COLOURS[health]};")
        self._words.setText(words)
        self.setToolTip(f"{self._what}: {details or words}")
        self.setAccessibleName(f"{self._what}: {words}. {details}")
        self.fix.setText(fix)
        self.fix.setToolTip(details)
        self.fix.setVisible(bool(fix))
