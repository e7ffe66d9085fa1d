# SPDX-License-Identifier: GPL-3.0-or-later
"""What is worked on, in words, and stepping through the clips; the connections stand in the corner of the menu."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt5.QtCore import pyqtSignal
from PyQt5.QtWidgets import QWidget

from stemline_panel.widgets.badge import Badge
from stemline_panel.widgets.buttons import CheckBox
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, label, row


class ClipBar(QWidget):
    """`step` asks for another clip (+1, -1); `refresh` for the host's clips anew."""

    step = pyqtSignal(int)
    all_toggled = pyqtSignal(bool)
    part_toggled = pyqtSignal(bool)
    refresh = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.line = ElidedLabel("title")
        self._count = label("", "dim")
        self._before = button("‹", "Previous clip (Page Up)", lambda: self.step.emit(-1))
        self._after = button("›", "Next clip (Page Down)", lambda: self.step.emit(1))
        self._all = CheckBox("All clips")
        self._all.setToolTip("Separate all clips at once instead of the one that is shown")
        self._all.toggled.connect(self.all_toggled.emit)
        self.part = CheckBox("Only the selection")
        self.part.setToolTip("Separate the selected part of the file instead of all of it")
        self.part.toggled.connect(self.part_toggled.emit)
        self._refresh = button("Read again", "Read the selected clips of the host again (F5)", self.refresh.emit)
        self.host = Badge("Host")
        self.server = Badge("Server")
        steps = (self._before, self._count, self._after, self._all, self.part, self._refresh)
        self.setLayout(row(self.line, *steps, grow=0))
        self.badges = QWidget()
        self.badges.setLayout(row(self.host, self.server, spacing=14))
        self.badges.layout().setContentsMargins(0, 4, 10, 0)
        self.show_clip_summary("Nothing is open.", 0, 0)

    def show_clip_summary(
        self, line: str, index: int, count: int, skipped: Sequence[str] = (), notes: Sequence[str] = ()
    ) -> None:
        """`skipped` says what was left out and why, `notes` what else was said of the clips: for the tooltip."""
        self.line.setText(f"{line}  ({len(skipped)} left out)" if skipped else line)
        self.line.setToolTip("\n".join([line, *skipped, *notes]))
        many = count > 1
        for widget in (self._before, self._count, self._after, self._all):
            widget.setVisible(many)
        self._count.setText(f"{index + 1} of {count}")

    def show_host(self, *, shown: bool, gone: bool = False) -> None:
        self.host.setVisible(shown)
        self._refresh.setVisible(shown and not gone)
