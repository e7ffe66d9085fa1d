# SPDX-License-Identifier: GPL-3.0-or-later
"""The first page: where to drop files, the example, and recent files."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtWidgets import QFrame, QWidget

from stemline_panel.widgets.buttons import Button
from stemline_panel.widgets.layout import button, column, label, row_widget

_MOST_RECENT = 6
_WIDTH = 620


class StartPage(QWidget):
    """Shown while no document is open. `opened` has the path of a recent file."""

    open_wanted = pyqtSignal()
    example_wanted = pyqtSignal()
    opened = pyqtSignal(str)

    def __init__(self) -> None:
        """Start without recent files."""
        super().__init__()
        target = QFrame()
        target.setObjectName("drop")
        self.open = button(self.tr("Open a file or an edit…"), self.tr("Choose a file (Ctrl+O)"), self.open_wanted.emit)
        self.open.setObjectName("primary")
        tip = self.tr("Open a copy of a short street interview with dialogue, rain and a guitar")
        self.example = button(self.tr("Try the example"), tip, self.example_wanted.emit)
        title = label(self.tr("Drop media or an edit here"), "title")
        hint = label(
            self.tr(
                "Sound or video files, or an edit: OpenTimelineIO (.otio), Final Cut 7 XML, AAF or EDL. "
                "Several files and folders work, too. Nothing is changed until you apply a result."
            ),
            "dim",
            wrap=True,
        )
        for text in (title, hint):
            text.setAlignment(Qt.AlignCenter)
        target.setLayout(column(title, hint, row_widget(1, self.open, self.example, 1), margins=28, spacing=14))
        target.setMaximumWidth(_WIDTH)
        self._caption = label(self.tr("RECENT"), "caption")
        self._recent = QWidget()
        self._buttons: list[Button] = []
        self._recent.setLayout(column(spacing=2))
        middle = QWidget()
        middle.setLayout(column(target, self._caption, self._recent, spacing=10))
        middle.setFixedWidth(_WIDTH)
        self.setLayout(column(1, row_widget(1, middle, 1), 2))
        self.show_recent(())

    def show_recent(self, paths: Sequence[str]) -> None:
        """Show recent files, newest first."""
        layout = self._recent.layout()
        for old in self._buttons:
            layout.removeWidget(old)
            old.deleteLater()
        self._buttons = []
        for path in paths[:_MOST_RECENT]:
            made = button(Path(path).name, path, partial(self.opened.emit, path), "recent")
            made.most_pixels = _WIDTH
            layout.addWidget(made)
            self._buttons.append(made)
        self._caption.setVisible(bool(paths))
