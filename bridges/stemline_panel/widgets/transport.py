# SPDX-License-Identifier: GPL-3.0-or-later
"""The transport: play, loop, mark, and switch between layers."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QWidget

from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.layer_switch import LayerSwitch
from stemline_panel.widgets.layout import ElidedLabel, button, label, row


class Transport(QWidget):
    """The row below the waveform. `layer_chosen` has the name of a layer: the mix, a stem or the residual."""

    play_pressed = pyqtSignal()
    loop_toggled = pyqtSignal(bool)
    layer_chosen = pyqtSignal(str)
    matched_toggled = pyqtSignal(bool)
    mark_plus = pyqtSignal()
    mark_minus = pyqtSignal()

    def __init__(self) -> None:
        """Build all widgets."""
        super().__init__()
        self.play = button("", self.tr("Play or pause (Space)"), self.play_pressed.emit)
        self.play.setMinimumWidth(78)
        self.clock = label("", "clock")
        self.loop = CheckBox(self.tr("Loop"))
        self.loop.setToolTip(self.tr("Play the selection in a loop (Shift+L)"))
        self.loop.toggled.connect(self.loop_toggled.emit)
        tip = self.tr("Mark the selection: the target sounds here (M)")
        self.plus = button(self.tr("+ Target here"), tip, self.mark_plus.emit, "plus")
        tip = self.tr("Mark the selection: the target doesn't sound here (N)")
        self.minus = button(self.tr("− Not here"), tip, self.mark_minus.emit, "minus")
        self.matched = CheckBox(self.tr("Match"))
        self.matched.setToolTip(
            self.tr("Match loudness: play all sounds equally loud (E); louder tends to sound better")
        )
        self.matched.setAccessibleName(self.tr("Match loudness"))
        self.matched.toggled.connect(self.matched_toggled.emit)
        self.problem = ElidedLabel("dim")
        self.layers = LayerSwitch()
        self.layers.chosen.connect(self.layer_chosen.emit)
        parts = (self.play, self.clock, self.loop, self.plus, self.minus, self.problem, self.layers, self.matched)
        layout = row(*parts, spacing=4)
        layout.setStretchFactor(self.problem, 1)
        self.setLayout(layout)
        self.show_playing(playing=False)

    def show_layers(self, names: Sequence[str], chosen: str, tips: Sequence[str] = ()) -> None:
        """Show the layers that can be compared."""
        self.layers.show_layers(names, chosen, tips)
        self.matched.setVisible(len(names) > 1)

    def show_playing(self, *, playing: bool, speed: int = 1) -> None:
        """Label the play button; with another speed than normal with the speed."""
        if playing and speed != 1:
            self.play.setText(f"{'◀' if speed < 0 else '▶'} {abs(speed)}×")
        else:
            self.play.setText(self.tr("❚❚  Pause") if playing else self.tr("▶  Play"))

    def show_problem(self, why: str) -> None:
        """Show why nothing can be heard; empty if all is well."""
        self.problem.setText(why)
