# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of keyboard shortcuts."""

from __future__ import annotations

from PyQt5.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QVBoxLayout, QWidget

from stemline_panel.model.shortcuts import SHORTCUTS, LayerShortcut, keys_of
from stemline_panel.widgets.layout import label

_COLUMNS = 2


class ShortcutDialog(QDialog):
    """Lists every shortcut once, the number keys on one line."""

    def __init__(self, parent: QWidget | None = None, key_set: str = "stemline") -> None:
        """Build the list for a key set."""
        super().__init__(parent)
        self._key_set = key_set
        self.setWindowTitle(self.tr("Keyboard shortcuts"))
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        lines = self._lines()
        half = -(-len(lines) // _COLUMNS)
        for index, (keys, description) in enumerate(lines):
            side, line = divmod(index, half)
            grid.addWidget(label(keys, "title"), line, 2 * side)
            grid.addWidget(label(description), line, 2 * side + 1)
        buttons = QDialogButtonBox(QDialogButtonBox.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(grid)
        layout.addWidget(buttons)

    def _lines(self) -> list[tuple[str, str]]:
        joined = self.tr(" or ")
        named = [item for item in SHORTCUTS if not isinstance(item, LayerShortcut)]
        lines = [(joined.join(keys_of(item, self._key_set)), item.label) for item in named]
        lines.append((self.tr("1 to 9"), self.tr("Hear the mix, a stem or the residual")))
        lines.append((self.tr("Drag"), self.tr("Select")))
        lines.append((self.tr("Shift+drag, Alt+drag"), self.tr("Mark: target here, mark: not here")))
        lines.append((self.tr("Wheel, Shift+wheel"), self.tr("Zoom, scroll")))
        lines.append((self.tr("Tab, then Space or Enter"), self.tr("Go to a button, press it")))
        return lines
