# SPDX-License-Identifier: GPL-3.0-or-later
"""A badge: the state of a connection as a colour and a word, with a button that fixes a problem."""

from __future__ import annotations

from enum import StrEnum

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QPushButton, QWidget

from stemline_panel.theme import COLOURS
from stemline_panel.widgets.layout import button, label, row


class Health(StrEnum):
    """The state of a connection."""

    WAITING = "waiting"
    GOOD = "good"
    BAD = "bad"


_COLOURS = {Health.WAITING: COLOURS.warn, Health.GOOD: COLOURS.plus, Health.BAD: COLOURS.minus}


class Badge(QWidget):
    """The state of one connection. `fix_wanted` is emitted by its button, which is visible only if there is a fix."""

    fix_wanted = pyqtSignal()

    def __init__(self, connection: str) -> None:
        """Name the connection, for example "Server"."""
        super().__init__()
        self._connection = connection
        self._dot = label("●")
        self._status = label()
        self.fix: QPushButton = button("", "", self.fix_wanted.emit)
        self.setLayout(row(self._dot, self._status, self.fix, spacing=5))
        self.health = Health.WAITING
        self.show_state(Health.WAITING, self.tr("unknown"))

    @property
    def status(self) -> str:
        """The text beside the dot."""
        return self._status.text()

    def show_state(self, health: Health, status: str, details: str = "", fix: str = "") -> None:
        """Show `status` beside the dot and `details` in the tooltip. `fix` labels the button; empty hides it."""
        self.health = health
        self._dot.setStyleSheet(f"color: {_COLOURS[health]};")
        self._status.setText(status)
        self.setToolTip(f"{self._connection}: {details or status}")
        self.setAccessibleName(f"{self._connection}: {status}. {details}")
        self.fix.setText(fix)
        self.fix.setToolTip(details)
        self.fix.setVisible(bool(fix))
