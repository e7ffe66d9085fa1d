# SPDX-License-Identifier: GPL-3.0-or-later
"""Playing, and switching between what is compared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QButtonGroup, QCheckBox, QPushButton, QSizePolicy, QWidget

from stemline_panel.widgets.layout import button, label, row


class Transport(QWidget):
    """`take_chosen` tells the name of a sound: the mix, a stem, the residual."""

    play_pressed = pyqtSignal()
    loop_toggled = pyqtSignal(bool)
    take_chosen = pyqtSignal(str)
    matched_toggled = pyqtSignal(bool)
    mark_plus = pyqtSignal()
    mark_minus = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.play = button("▶  Play", "Play or pause (Space)", self.play_pressed.emit)
        self.play.setMinimumWidth(90)
        self.clock = label("", "clock")
        self.loop = QCheckBox("Loop")
        self.loop.setToolTip("Play the selection over and over (L)")
        self.loop.toggled.connect(self.loop_toggled.emit)
        self.plus = button("+ sounds here", "It sounds in the selection (P)", self.mark_plus.emit, "plus")
        self.minus = button("− not here", "It does not sound in the selection (M)", self.mark_minus.emit, "minus")
        self.matched = QCheckBox("Equally loud")
        self.matched.setToolTip("Make what is compared equally loud (E): louder is not better")
        self.matched.toggled.connect(self.matched_toggled.emit)
        self.trouble = label("", "dim")
        self.trouble.setSizePolicy(QSizePolicy.Ignored, QSizePolicy.Preferred)
        self._group = QButtonGroup(self)
        self._takes = QWidget()
        self._takes.setLayout(row(spacing=2))
        self._buttons: dict[str, QPushButton] = {}
        self.setLayout(
            row(
                self.play, self.clock, self.loop, self.plus, self.minus, self.trouble, self._takes, self.matched, grow=5
            )
        )

    def show_takes(self, names: Sequence[str], chosen: str, tips: Sequence[str] = ()) -> None:
        """A button for each sound; its key is its number."""
        if list(self._buttons) != list(names):
            for old in self._buttons.values():
                self._group.removeButton(old)
                old.deleteLater()
            self._buttons = {}
            for number, name in enumerate(names, 1):
                made = button(name, f"Hear the {name} ({number})", partial(self.take_chosen.emit, name), "take")
                made.setCheckable(True)
                self._group.addButton(made)
                self._takes.layout().addWidget(made)
                self._buttons[name] = made
        for name, tip in zip(names, tips, strict=False):
            self._buttons[name].setToolTip(tip)
        if chosen in self._buttons:
            self._buttons[chosen].setChecked(True)
        self._takes.setVisible(len(names) > 1)
        self.matched.setVisible(len(names) > 1)

    def show_playing(self, *, playing: bool) -> None:
        self.play.setText("❚❚  Pause" if playing else "▶  Play")

    def show_trouble(self, why: str) -> None:
        """Why nothing can be heard; everything else goes on."""
        self.trouble.setText(why)
        self.trouble.setToolTip(why)
