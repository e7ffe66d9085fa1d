# SPDX-License-Identifier: GPL-3.0-or-later
"""The main window and its layout. It makes no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PyQt5.QtCore import QByteArray, Qt, pyqtSignal
from PyQt5.QtGui import QGuiApplication
from PyQt5.QtWidgets import (
    QApplication,
    QFrame,
    QMainWindow,
    QMenuBar,
    QScrollArea,
    QSplitter,
    QStackedWidget,
    QWidget,
)

from stemline_panel.desktop import Desktop
from stemline_panel.model.history import PromptHistory
from stemline_panel.widgets.clip_bar import ClipBar
from stemline_panel.widgets.clip_table import ClipTable
from stemline_panel.widgets.layout import (
    CARD_MARGIN,
    ElidedLabel,
    button,
    card,
    column,
    label,
    row_widget,
    single_shot_timer,
)
from stemline_panel.widgets.overview_strip import OverviewStrip
from stemline_panel.widgets.prompt_box import PromptBox
from stemline_panel.widgets.run_drawer import RunDrawer
from stemline_panel.widgets.sounds_view import SoundsView
from stemline_panel.widgets.start_page import StartPage
from stemline_panel.widgets.transport import Transport
from stemline_panel.widgets.wave_view import WaveView

_SIDE_WIDTH = 330
_SCROLL_BAR_WIDTH = 12
_CLIPS_WIDTH = 350
_CLIPS_MIN_WIDTH = 200
_SCROLLED_MIN_HEIGHT = 200
_FRAME_PIXELS = 40
_BANNER_LINES, _BANNER_PADDING = 3, 14
_STATUS_MS = 12_000


class MainWindow(QMainWindow):
    """The window.

    `closing` is emitted once before it closes, `activated` when the user comes back to it, and `dropped` with the
    paths of files and folders that are dropped on it.
    """

    closing = pyqtSignal()
    activated = pyqtSignal()
    dropped = pyqtSignal(object)

    def __init__(self, history: PromptHistory) -> None:
        """Build all widgets."""
        super().__init__()
        self.setWindowTitle("Stemline")
        self.setAcceptDrops(True)
        self.resize(1366, 768)
        self.clip_bar, self.menus = ClipBar(), QMenuBar()
        self.banner = label("", "banner", wrap=True)
        self.banner.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self.banner.setMaximumHeight(_BANNER_PADDING + _BANNER_LINES * self.banner.fontMetrics().lineSpacing())
        self.strip, self.wave, self.transport = OverviewStrip(), WaveView(), Transport()
        self.picture_place = QWidget()
        """The place above the waveform for the picture at the playhead. It has no height while it is empty."""
        self.clips, self.results = ClipTable(), SoundsView()
        self.prompt = PromptBox(history)
        self.drawer = RunDrawer(history)
        self.queue = self.drawer.queue
        self.start = StartPage()
        self._clips_useful, self._clips_wanted = False, True
        self.desktop = Desktop(self)
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
        self.show_document(shown=False)

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
        self.banner.setToolTip(text)
        self._banner_row.show()

    def hide_banner(self) -> None:
        """Dismiss the banner."""
        self._banner_row.hide()

    def notify(self, title: str, text: str) -> None:
        """Notify the user, unless this window is the active one."""
        if not self.isActiveWindow():
            self.desktop.notify(title, text)

    def show_title(self, document: str, fraction: float | None) -> None:
        """Show the name of what is open and the progress of the current run in the title and the taskbar."""
        percent = "" if fraction is None else self.tr("{percent} % ").format(percent=round(100 * fraction))
        self.setWindowTitle(f"{percent}{document} - Stemline" if document else f"{percent}Stemline")
        self.desktop.show_progress(fraction)

    def show_document(self, *, shown: bool) -> None:
        """Show the work on a document, or the first page without one."""
        self._pages.setCurrentWidget(self._work if shown else self.start)

    def toggle_clips(self) -> None:
        """Show or hide the column of clips."""
        self._clips_wanted = not self._clips_wanted
        self._show_clips()

    def show_clip_column(self, *, useful: bool) -> None:
        """Show the column of clips if the document has several and the user has not hidden it."""
        self._clips_useful = useful
        self._show_clips()

    def layout_state(self) -> dict[str, str]:
        """Return place and size of the window and its columns, as text."""
        parts = {"window": self.saveGeometry(), "columns": self._columns.saveState(), "rows": self._rows.saveState()}
        parts["table"] = self.clips.view.horizontalHeader().saveState()
        return {name: bytes(state.toBase64()).decode("ascii") for name, state in parts.items()}

    def restore_layout(self, state: Mapping[str, str]) -> None:
        """Take over what `layout_state` returned in an earlier session. Invalid parts are ignored."""
        parts = {name: QByteArray.fromBase64(text.encode("ascii", "ignore")) for name, text in state.items()}
        for name, restore in (
            ("window", self.restoreGeometry),
            ("columns", self._columns.restoreState),
            ("rows", self._rows.restoreState),
            ("table", self.clips.view.horizontalHeader().restoreState),
        ):
            if name in parts:
                restore(parts[name])
        self.clips.view.horizontalHeader().setSortIndicator(-1, Qt.AscendingOrder)

    def fit_screen(self) -> None:
        """Maximise the window if it is larger than its screen, with room for its frame."""
        place = QGuiApplication.primaryScreen().availableGeometry()
        if self.width() > place.width() or self.height() + _FRAME_PIXELS > place.height():
            self.setWindowState(Qt.WindowMaximized)

    def showEvent(self, event: Any) -> None:
        """Focus the waveform, or the button of the first page."""
        (self.wave if self._pages.currentWidget() is self._work else self.start.open).setFocus()
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
        """Report the local files and folders."""
        files = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if files:
            self.dropped.emit(files)

    def _note_state(self, state: Qt.ApplicationState) -> None:
        if state == Qt.ApplicationActive:
            self.activated.emit()

    def _show_clips(self) -> None:
        self._clips_card.setVisible(self._clips_useful and self._clips_wanted)

    def _build(self) -> None:
        sound = QWidget()
        sound.setLayout(column(self.strip, self.wave, self.transport, grow=1))
        self.picture_place.setLayout(column())
        self.picture_place.hide()
        self._clips_card = card(column(self.clips))
        self._clips_card.setMinimumWidth(_CLIPS_MIN_WIDTH)
        request = QWidget()
        request.setLayout(column(self.results, self.prompt, spacing=8, grow=0))
        side = card(column(_ScrolledColumn(request), self.prompt.foot, spacing=8, grow=0))
        side.setMinimumWidth(max(_SIDE_WIDTH, request.minimumSizeHint().width() + _SCROLL_BAR_WIDTH + 2 * CARD_MARGIN))
        self._rows = _splitter(Qt.Vertical, (self.picture_place, sound), (240, 420))
        self._rows.setStretchFactor(1, 1)
        columns = (self._clips_card, self._rows, side)
        self._columns = _splitter(Qt.Horizontal, columns, (_CLIPS_WIDTH, 680, _SIDE_WIDTH))
        self._columns.setStretchFactor(1, 1)
        drawer = card(column(self.drawer))
        drawer.layout().setContentsMargins(8, 3, 8, 3)
        self._work = QWidget()
        self._work.setLayout(column(self._columns, drawer, grow=0))
        self._pages = QStackedWidget()
        for page in (self.start, self._work):
            self._pages.addWidget(page)
        body = QWidget()
        body.setLayout(column(self.clip_bar, self._banner_row, self._pages, margins=8, spacing=6, grow=2))
        self.setCentralWidget(body)
        self.setMenuWidget(row_widget(self.menus, self.clip_bar.badges, grow=0))
        self._show_clips()


class _ScrolledColumn(QScrollArea):
    """A column that scrolls where the window is too low for all of it, to the control that gets the focus."""

    def __init__(self, inside: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.NoFocus)
        self.setMinimumHeight(_SCROLLED_MIN_HEIGHT)
        self.setWidget(inside)
        inside.setAutoFillBackground(False)
        self.viewport().setAutoFillBackground(False)
        QApplication.instance().focusChanged.connect(self._show_focus)  # type: ignore[union-attr]

    def _show_focus(self, _: QWidget | None, now: QWidget | None) -> None:
        if now is not None and self.widget().isAncestorOf(now):
            self.ensureWidgetVisible(now)


def _splitter(direction: Qt.Orientation, widgets: tuple[QWidget, ...], sizes: tuple[int, ...]) -> QSplitter:
    splitter = QSplitter(direction)
    for widget in widgets:
        splitter.addWidget(widget)
    splitter.setSizes(list(sizes))
    splitter.setChildrenCollapsible(False)
    splitter.setHandleWidth(8)
    return splitter
