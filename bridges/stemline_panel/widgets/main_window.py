# SPDX-License-Identifier: GPL-3.0-or-later
"""The main window and its layout. It makes no decisions."""

from __future__ import annotations

from typing import Any

from PyQt5.QtCore import Qt, pyqtSignal
from PyQt5.QtGui import QGuiApplication
from PyQt5.QtWidgets import QMainWindow, QMenuBar, QSplitter, QWidget

from stemline_panel.model.history import PromptHistory
from stemline_panel.widgets.clip_bar import ClipBar
from stemline_panel.widgets.elided_label import ElidedLabel
from stemline_panel.widgets.layout import button, card, column, label, row_widget, single_shot_timer
from stemline_panel.widgets.overview_strip import OverviewStrip
from stemline_panel.widgets.prompt_box import PromptBox
from stemline_panel.widgets.queue_view import QueueView
from stemline_panel.widgets.results_view import ResultsView
from stemline_panel.widgets.transport import Transport
from stemline_panel.widgets.wave_view import WaveView

_SIDE_WIDTH = 308
_STATUS_MS = 12_000


class MainWindow(QMainWindow):
    """The window.

    `closing` is emitted once before it closes, `activated` when the user comes back to it, and `dropped` with the path
    of a file that is dropped on it.
    """

    closing = pyqtSignal()
    activated = pyqtSignal()
    dropped = pyqtSignal(str)

    def __init__(self, history: PromptHistory) -> None:
        """Build all widgets."""
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
        self._banner_row = row_widget(self.banner, button("✕", self.tr("Dismiss"), self.hide_banner), grow=0)
        self._banner_row.hide()
        self._status = ElidedLabel("dim")
        self.statusBar().setSizeGripEnabled(False)
        self.statusBar().setContentsMargins(8, 0, 8, 0)
        self.statusBar().addWidget(self._status, 1)
        self._status_timer = single_shot_timer(self, _STATUS_MS)
        self._status_timer.timeout.connect(self._status.clear)  # not a lambda, which would outlive the window
        QGuiApplication.instance().applicationStateChanged.connect(self._note_state)  # type: ignore[union-attr]
        self._build()

    @property
    def status_text(self) -> str:
        """The text of the status bar."""
        return self._status.text()

    def show_status(self, text: str) -> None:
        """Show a message in the status bar for some seconds; an empty one clears it."""
        self._status.setText(text)
        self._status_timer.start()

    def show_progress(self, text: str) -> None:
        """Show what is being done in the status bar until another message replaces it."""
        self._status_timer.stop()
        self._status.setText(text)

    def show_banner(self, text: str) -> None:
        """Show a message that stays until it is dismissed."""
        self.banner.setText(text)
        self._banner_row.show()

    def hide_banner(self) -> None:
        """Dismiss the banner."""
        self._banner_row.hide()

    def showEvent(self, event: Any) -> None:
        """Set the height of the side panel, which is known only now, and focus the waveform."""
        self._side.setMinimumHeight(self._side.minimumSizeHint().height())
        self.wave.setFocus()
        super().showEvent(event)

    def closeEvent(self, event: Any) -> None:
        """Report the end."""
        self.closing.emit()
        event.accept()

    def dragEnterEvent(self, event: Any) -> None:
        """Accept local files."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Report the first local file."""
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            self.dropped.emit(files[0])

    def _note_state(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationActive:
            self.activated.emit()

    def _build(self) -> None:
        sound = QWidget()
        sound.setLayout(column(self.strip, self.wave, self.transport, grow=1))
        self._side = card(column(self.prompt))
        self._side.setMinimumWidth(_SIDE_WIDTH)
        upper = _splitter(Qt.Horizontal, (sound, self._side), (1280 - _SIDE_WIDTH, _SIDE_WIDTH))
        lower = _splitter(Qt.Horizontal, (card(column(self.queue)), card(column(self.results))), (600, 680))
        whole = _splitter(Qt.Vertical, (upper, lower), (570, 230))
        upper.setStretchFactor(0, 1)
        whole.setStretchFactor(0, 1)
        body = QWidget()
        body.setLayout(column(self.clip_bar, self._banner_row, whole, margins=10, spacing=8, grow=2))
        self.setCentralWidget(body)
        self.setMenuWidget(row_widget(self.menus, self.clip_bar.badges, grow=0))


def _splitter(direction: Qt.Orientation, widgets: tuple[QWidget, ...], sizes: tuple[int, ...]) -> QSplitter:
    splitter = QSplitter(direction)
    for widget in widgets:
        splitter.addWidget(widget)
    splitter.setSizes(list(sizes))
    splitter.setChildrenCollapsible(False)
    splitter.setHandleWidth(8)
    return splitter
