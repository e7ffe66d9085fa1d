# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch between layers: a button for each, or a list if they don't fit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from PyQt5.QtCore import QSize, Qt, pyqtSignal
from PyQt5.QtWidgets import QButtonGroup, QComboBox, QSizePolicy, QWidget

from stemline_panel.widgets.buttons import Button
from stemline_panel.widgets.layout import button, row, row_widget

_MAX_WIDTH = 150
_LIST_CHARACTERS = 9


class LayerSwitch(QWidget):
    """Chooses which layer is heard. `chosen` has its name: the mix, a stem or the residual."""

    chosen = pyqtSignal(str)

    def __init__(self) -> None:
        """Start without layers."""
        super().__init__()
        self._group = QButtonGroup(self)
        self._row = row_widget(spacing=2)
        self.list = QComboBox()
        self.list.setAccessibleName(self.tr("Sound to listen to"))
        self.list.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.list.setMinimumContentsLength(_LIST_CHARACTERS)
        self.list.activated[str].connect(self.chosen.emit)
        self.buttons: dict[str, Button] = {}
        self.setLayout(row(self._row, self.list))
        self.layout().setAlignment(Qt.AlignRight)
        self.setSizePolicy(QSizePolicy.Preferred, QSizePolicy.Fixed)

    def sizeHint(self) -> QSize:
        """Return the size with all buttons."""
        return QSize(self._row.sizeHint().width(), super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Return the size of the buttons or of the list, whichever is smaller."""
        widths = (self.list.sizeHint().width(), self._row.sizeHint().width())
        return QSize(min(widths), super().minimumSizeHint().height())

    def show_layers(self, names: Sequence[str], chosen: str, tips: Sequence[str] = ()) -> None:
        """Show the layers, the number of each being its key. `tips` are their tooltips."""
        if list(self.buttons) != list(names):
            self._rebuild(names)
        for name, tip in zip(names, tips, strict=False):
            self.buttons[name].setToolTip(tip)
            self.buttons[name].setAccessibleName(tip)
        if chosen in self.buttons:
            self.buttons[chosen].setChecked(True)
            self.list.setCurrentText(chosen)
        self.setVisible(len(names) > 1)

    def resizeEvent(self, event: Any) -> None:
        """Choose between buttons and list."""
        super().resizeEvent(event)
        self._fit()

    def _rebuild(self, names: Sequence[str]) -> None:
        for old in self.buttons.values():
            self._group.removeButton(old)
            self._row.layout().removeWidget(old)
            old.deleteLater()
        self.buttons = {}
        for name in names:
            made = button(name, "", partial(self.chosen.emit, name), "layer")
            made.most_pixels = _MAX_WIDTH
            made.setCheckable(True)
            self._group.addButton(made)
            self._row.layout().addWidget(made)
            self.buttons[name] = made
        self.list.clear()
        self.list.addItems(list(names))
        self.updateGeometry()
        self._fit()

    def _fit(self) -> None:
        fits = self._row.sizeHint().width() <= self.width()
        self._row.setVisible(fits)
        self.list.setVisible(not fits)
