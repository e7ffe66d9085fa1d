# SPDX-License-Identifier: GPL-3.0-or-later
"""Playing, and switching between what is compared."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QWidget

from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layer_switch import LayerSwitch
from stemline_panel.widgets.layout import button, label, row


class Transport(QWidget):
    """`layer_chosen` tells the name of a sound: the mix, a stem, the residual."""

    play_pressed = pyqtSignal()
    loop_toggled = pyqtSignal(bool)
    layer_chosen = pyqtSignal(str)
    matched_toggled = pyqtSignal(bool)
    mark_plus = pyqtSignal()
    mark_minus = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.play = button("▶  Play", "Play or pause (Space)", self.play_pressed.emit)
        self.play.setMinimumWidth(90)
        self.clock = label("", "clock")
        self.loop = CheckBox("Loop")
        self.loop.setToolTip("Play the selection over and over (L)")
        self.loop.toggled.connect(self.loop_toggled.emit)
        self.plus = button("+ sounds here", "It sounds in the selection (P)", self.mark_plus.emit, "plus")
        self.minus = button("− not here", "It does not sound in the selection (M)", self.mark_minus.emit, "minus")
        self.matched = CheckBox("Equally loud")
        self.matched.setToolTip("Make what is compared equally loud (E): louder is not better")
        self.matched.toggled.connect(self.matched_toggled.emit)
        self.problem = ElidedLabel("dim")
        self.layers = LayerSwitch()
        self.layers.chosen.connect(self.layer_chosen.emit)
        parts = (self.play, self.clock, self.loop, self.plus, self.minus, self.problem, self.layers, self.matched)
        layout = row(*parts)
        layout.setStretchFactor(self.problem, 1)
        self.setLayout(layout)

    def show_layers(self, names: Sequence[str], chosen: str, tips: Sequence[str] = ()) -> None:
        self.layers.show_layers(names, chosen, tips)
        self.matched.setVisible(len(names) > 1)

    def show_playing(self, *, playing: bool) -> None:
        self.play.setText("❚❚  Pause" if playing else "▶  Play")

    def show_problem(self, why: str) -> None:
        """Why nothing can be heard; everything else goes on."""
        self.problem.setText(why)
