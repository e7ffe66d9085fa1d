# SPDX-License-Identifier: GPL-3.0-or-later
"""The window: its parts and where they stand. It decides nothing."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QGuiApplication
from PyQt5.QtWidgets import QMainWindow, QMenuBar, QSplitter, QWidget

from stemline_panel.model.history import PromptHistory
from stemline_panel.widgets.clip_bar import ClipBar
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, card, column, label, row, single_shot_timer
from stemline_panel.widgets.overview_strip import OverviewStrip
from stemline_panel.widgets.prompt_box import PromptBox
from stemline_panel.widgets.queue_view import QueueView
from stemline_panel.widgets.results_view import ResultsView
from stemline_panel.widgets.transport import Transport
from stemline_panel.widgets.wave_view import WaveView

_SIDE_WIDTH = 330
_SAID_MS = 12_000


class MainWindow(QMainWindow):
    """`closing` comes once, before it goes; `activated` when the user comes back to it. Files that are dropped on it
    are told by `dropped`."""

    closing = pyqtSignal()
    activated = pyqtSignal()
    dropped = pyqtSignal(str)

    def __init__(self, history: PromptHistory) -> None:
        super().__init__()
        self.setWindowTitle("Stemline")
        self.setAcceptDrops(True)
        self.resize(1280, 820)
        self.clip_bar, self.menus = ClipBar(), QMenuBar()
        self.banner = label("", "banner", wrap=True)
        self.banner.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self.strip, self.wave, self.transport = OverviewStrip(), WaveView(), Transport()
        self.prompt = PromptBox(history)
        self.queue, self.results = QueueView(), ResultsView()
        self._banner_row = QWidget()
        self._banner_row.setLayout(row(self.banner, button("✕", "Dismiss", self.hide_banner), grow=0))
        self._banner_row.hide()
        self._said = ElidedLabel("dim")
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().setContentsMargins(8, 0, 8, 0)
        self.statusBar().addWidget(self._said, 1)
        self._forget = single_shot_timer(self, _SAID_MS)
        self._forget.timeout.connect(self._said.clear)  # no lambda: it would outlive the window
        QGuiApplication.instance().applicationStateChanged.connect(self._note_state)  # type: ignore[union-attr]
        self._build()

    def show_status(self, text: str) -> None:
        """A passing remark in the bottom line."""
        self._said.setText(text)
        self._forget.start()

    @property
    def status_text(self) -> str:
        return self._said.text()

    def show_banner(self, text: str) -> None:
        """Something that stays until it is dismissed."""
        self.banner.setText(text)
        self._banner_row.show()

    def hide_banner(self) -> None:
        self._banner_row.hide()

    def showEvent(self, event: Any) -> None:
        """Only now the style has told how high things are; a splitter does not ask again by itself."""
        self._side.setMinimumHeight(self._side.minimumSizeHint().height())
        self.wave.setFocus()
        super().showEvent(event)

    def closeEvent(self, event: Any) -> None:
        self.closing.emit()
        event.accept()

    def dragEnterEvent(self, event: Any) -> None:
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            self.dropped.emit(files[0])

    def _note_state(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationActive:
            self.activated.emit()

    def _build(self) -> None:
        sound = QWidget()
        sound.setLayout(column(self.strip, self.wave, self.transport, grow=1))
        side = card(column(self.prompt))
        self._side = side
        side.setMinimumWidth(_SIDE_WIDTH)
        upper = QSplitter(Qt.Horizontal)
        upper.addWidget(sound)
        upper.addWidget(side)
        upper.setStretchFactor(0, 1)
        upper.setSizes([1280 - _SIDE_WIDTH, _SIDE_WIDTH])
        lower = QSplitter(Qt.Horizontal)
        lower.addWidget(card(column(self.queue)))
        lower.addWidget(card(column(self.results)))
        lower.setSizes([600, 680])
        whole = QSplitter(Qt.Vertical)
        whole.addWidget(upper)
        whole.addWidget(lower)
        whole.setStretchFactor(0, 1)
        whole.setSizes([570, 230])
        for splitter in (upper, lower, whole):
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(8)
        body = QWidget()
        body.setLayout(column(self.clip_bar, self._banner_row, whole, margins=10, spacing=8, grow=2))
        self.setCentralWidget(body)
        top = QWidget()
        top.setLayout(row(self.menus, self.clip_bar.badges, grow=0))
        self.setMenuWidget(top)
