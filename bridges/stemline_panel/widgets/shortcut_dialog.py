# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of keys."""

from __future__ import annotations

from PyQt5.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QVBoxLayout, QWidget

from stemline_panel.model.shortcuts import SHORTCUTS
from stemline_panel.widgets.layout import label

_COLUMNS = 2


class ShortcutDialog(QDialog):
    """Every shortcut once; the numbers stand on one line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        lines = [(" or ".join(short.keys), short.words) for short in SHORTCUTS if not short.action.startswith("layer_")]
        lines.append(("1 to 9", "Hear the mix, a stem, the residual"))
        lines += [("Drag", "Select"), ("Shift+drag, Alt+drag", "Mark + or −"), ("Wheel, Shift+wheel", "Zoom, move")]
        lines.append(("Tab, then Space or Enter", "Go to a button, press it"))
        half = -(-len(lines) // _COLUMNS)
        for index, (keys, words) in enumerate(lines):
            side, line = divmod(index, half)
            grid.addWidget(label(keys, "title"), line, 2 * side)
            grid.addWidget(label(words), line, 2 * side + 1)
        buttons = QDialogButtonBox(QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(buttons)
