# SPDX-License-Identifier: GPL-3.0-or-later
"""The clip in words, stepping through the clips, and the badges of host and server for the menu's corner."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QWidget

from stemline_panel.widgets.badge import Badge
from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.layout import ElidedLabel, button, label, row, row_widget


class ClipBar(QWidget):
    """The top line. `step` asks for another clip (+1 or -1), `reload` for the clips of the host again."""

    step = pyqtSignal(int)
    all_toggled = pyqtSignal(bool)
    part_toggled = pyqtSignal(bool)
    reload = pyqtSignal()

    def __init__(self) -> None:
        """Start without a clip."""
        super().__init__()
        self.line = ElidedLabel("title")
        self._count = label("", "dim")
        self._before = button("‹", self.tr("Previous clip (Page Up)"), lambda: self.step.emit(-1))
        self._after = button("›", self.tr("Next clip (Page Down)"), lambda: self.step.emit(1))
        self._all = CheckBox(self.tr("All clips"))
        self._all.setToolTip(self.tr("Separate all clips in one run instead of the shown one"))
        self._all.toggled.connect(self.all_toggled.emit)
        self.part = CheckBox(self.tr("Selection only"))
        self.part.setToolTip(self.tr("Separate the selected part instead of the whole file"))
        self.part.toggled.connect(self.part_toggled.emit)
        self.part.hide()
        self.reload_button = button(
            self.tr("Read again"), self.tr("Read the selected clips of the host again (F5)"), self.reload.emit
        )
        self.host = Badge(self.tr("Host"))
        self.server = Badge(self.tr("Server"))
        steps = (self._before, self._count, self._after, self._all, self.part, self.reload_button)
        self.setLayout(row(self.line, *steps, grow=0))
        self.badges = row_widget(self.host, self.server, spacing=14)
        self.badges.layout().setContentsMargins(0, 4, 10, 0)
        self.show_clip_summary(self.tr("No document is open."), 0, 0)

    def show_clip_summary(
        self, line: str, index: int, count: int, skipped: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> None:
        """Show the clip `index` of `count`. `skipped` (clips and reasons) and `notes` go into the tooltip."""
        number = self.tr("{count} skipped").format(count=len(skipped))
        self.line.setText(f"{line}  ({number})" if skipped else line)
        self.line.setToolTip("\n".join([line, *skipped, *notes]))
        for widget in (self._before, self._count, self._after, self._all):
            widget.setVisible(count > 1)
        self._count.setText(self.tr("{number} of {count}").format(number=index + 1, count=count))

    def show_host(self, *, shown: bool, gone: bool = False) -> None:
        """Show or hide the badge of the host, and the button that reads it unless it has gone."""
        self.host.setVisible(shown)
        self.reload_button.setVisible(shown and not gone)
