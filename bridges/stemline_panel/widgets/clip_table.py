# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of clips beside the waveform: sorted, filtered, several selected. It draws only the visible rows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from PyQt5.QtCore import (
    QAbstractTableModel,
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QSize,
    QSortFilterProxyModel,
    Qt,
    pyqtSignal,
)
from PyQt5.QtGui import QColor, QImage, QPixmap
from PyQt5.QtWidgets import QAbstractItemView, QComboBox, QHeaderView, QLineEdit, QTableView, QWidget

from stemline.clips import ClipRange, MediaFacts, MediaSource
from stemline_panel.model.clips import ClipFilter, ClipRow, ClipState, ClipStatus, with_source_times
from stemline_panel.model.formatting import translate
from stemline_panel.theme import COLOURS
from stemline_panel.widgets.layout import ElidedLabel, column, row

_NAME, _TRACK, _RECORD, _STATE, _FOUND, _LENGTH, _LEVEL, _SOURCE = range(8)
_WIDTHS = {_NAME: 122, _TRACK: 44, _RECORD: 92, _STATE: 78, _FOUND: 130, _LENGTH: 88, _LEVEL: 74, _SOURCE: 90}
_TEXTS: Mapping[int, Callable[[ClipRow], str]] = {
    _NAME: lambda row: row.name,
    _TRACK: lambda row: row.track,
    _RECORD: lambda row: row.record,
    _LENGTH: lambda row: row.length,
    _STATE: lambda row: row.state,
    _FOUND: lambda row: row.status.found,
    _LEVEL: lambda row: row.level,
    _SOURCE: lambda row: row.source,
}
_STATES = list(ClipState)
_KEYS: Mapping[int, Callable[[ClipRow], Any]] = {
    _NAME: lambda row: row.name.casefold(),
    _TRACK: lambda row: row.track,
    _RECORD: lambda row: row.start,
    _LENGTH: lambda row: row.duration,
    _STATE: lambda row: (_STATES.index(row.status.state), row.status.reason),
    _FOUND: lambda row: (row.status.confidence, row.status.found),
    _LEVEL: lambda row: row.status.level_db if row.status.level_db is not None else float("-inf"),
    _SOURCE: lambda row: row.source_start,
}
_COLOURS = {
    ClipState.RUNNING: COLOURS.accent,
    ClipState.FOUND: COLOURS.plus,
    ClipState.SILENT: COLOURS.warn,
    ClipState.FAILED: COLOURS.minus,
    ClipState.SKIPPED: COLOURS.dim,
}
_ROOT = QModelIndex()
_ROW_PIXELS = 24
_MAX_THUMBNAILS = 512
THUMBNAIL = QSize(39, 22)
"""The largest size of a thumbnail in pixels of Qt, which fits the height of a row."""


class ClipModel(QAbstractTableModel):
    """The rows of the table. Only rows that differ are drawn again."""

    def __init__(self) -> None:
        """Start without clips."""
        super().__init__()
        self.rows: list[ClipRow] = []
        self._by_id: dict[str, int] = {}
        self._thumbnails: OrderedDict[str, QPixmap] = OrderedDict()

    def set_rows(self, rows: Sequence[ClipRow]) -> None:
        """Replace all rows."""
        self.beginResetModel()
        self.rows = list(rows)
        self._by_id = {row.clip.clip_id: index for index, row in enumerate(rows) if row.clip is not None}
        self._thumbnails = OrderedDict()
        self.endResetModel()

    def set_statuses(self, statuses: Mapping[str, ClipStatus]) -> bool:
        """Show what the runs say about the clips. Return whether any row changed."""
        changed = [
            index
            for clip_id, index in self._by_id.items()
            if self.rows[index].status != statuses.get(clip_id, ClipStatus())
        ]
        for index in changed:
            clip = self.rows[index].clip
            status = statuses.get(clip.clip_id, ClipStatus()) if clip is not None else ClipStatus()
            self.rows[index] = replace(self.rows[index], status=status)
        if changed:
            self._report_rows(changed)
        return bool(changed)

    def set_facts(self, source: MediaSource, facts: MediaFacts) -> None:
        """Show the source timecodes of all clips of a media file."""
        changed = [i for i, row in enumerate(self.rows) if row.clip is not None and row.clip.source == source]
        for index in changed:
            self.rows[index] = with_source_times(self.rows[index], facts)
        if changed:
            self._report_rows(changed)

    def set_thumbnail(self, clip_id: str, picture: QImage, ratio: float) -> None:
        """Show a picture beside the name of a clip, on a screen with `ratio` pixels of the device for each of Qt's.

        The oldest of too many pictures is dropped.
        """
        index = self._by_id.get(clip_id)
        if index is not None:
            scaled = QPixmap.fromImage(picture.scaled(THUMBNAIL * ratio, Qt.KeepAspectRatio, Qt.SmoothTransformation))
            scaled.setDevicePixelRatio(ratio)
            self._thumbnails[clip_id] = scaled
            if len(self._thumbnails) > _MAX_THUMBNAILS:
                self._thumbnails.popitem(last=False)
            self._report_rows([index])

    def has_thumbnail(self, clip_id: str) -> bool:
        """Return whether a clip has a picture."""
        return clip_id in self._thumbnails

    def index_of(self, clip_id: str) -> QModelIndex:
        """Return the place of a clip; an invalid one if it has none."""
        index = self._by_id.get(clip_id)
        return self.index(index, 0) if index is not None else QModelIndex()

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of rows."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(_TEXTS)

    def data(self, index: QModelIndex, role: int = Qt.DisplayRole) -> Any:
        """Return text, tooltip, colour or picture of a cell."""
        shown = self.rows[index.row()]
        if role == Qt.DisplayRole:
            return _TEXTS[index.column()](shown)
        if role == Qt.ToolTipRole:
            return "\n".join(filter(None, (shown.name, shown.status.text, shown.status.found)))
        if role == Qt.ForegroundRole and index.column() == _STATE and shown.status.state in _COLOURS:
            return QColor(_COLOURS[shown.status.state])
        if role == Qt.ForegroundRole and shown.clip is None:
            return QColor(COLOURS.dim)
        if role == Qt.DecorationRole and index.column() == _NAME and shown.clip is not None:
            return self._thumbnails.get(shown.clip.clip_id)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.DisplayRole) -> Any:
        """Return the title of a column."""
        if orientation == Qt.Horizontal and role == Qt.DisplayRole:
            return _titles()[section]
        return None

    def _report_rows(self, rows: Sequence[int]) -> None:
        self.dataChanged.emit(self.index(min(rows), 0), self.index(max(rows), len(_TEXTS) - 1))


class _SortedClips(QSortFilterProxyModel):
    """Sorts by values, not texts, and applies a `ClipFilter`."""

    def __init__(self, clips: ClipModel) -> None:
        super().__init__()
        self._clips = clips
        self.chosen = ClipFilter()
        self.setSourceModel(clips)
        self.setDynamicSortFilter(False)  # a row that changes its state must not jump away under the mouse

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        key = _KEYS[left.column()]
        rows = self._clips.rows
        return bool((key(rows[left.row()]), left.row()) < (key(rows[right.row()]), right.row()))

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        return self.chosen.accepts(self._clips.rows[row])


class ClipTable(QWidget):
    """The clips of an edit.

    `current_changed` has the id of the clip that the user steps to, `selection_changed` the ids of all selected clips,
    `activated` is emitted for Enter or a double-click, `menu_wanted` has a place on the screen, and `view_changed` is
    emitted when other rows may be in view.
    """

    current_changed = pyqtSignal(str)
    selection_changed = pyqtSignal(object)
    activated = pyqtSignal()
    menu_wanted = pyqtSignal(QPoint)
    view_changed = pyqtSignal()

    def __init__(self) -> None:
        """Start without clips."""
        super().__init__()
        self._quiet = False
        self.model = ClipModel()
        self.sorted = _SortedClips(self.model)
        self.view = QTableView()
        self.view.setModel(self.sorted)
        self.view.setAccessibleName(self.tr("Clips"))
        self._prepare_view()
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Filter"))
        self.search.setAccessibleName(self.tr("Filter the clips by a text"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.states, self.tracks = QComboBox(), QComboBox()
        for box, name in ((self.states, self.tr("Filter by state")), (self.tracks, self.tr("Filter by track"))):
            box.setAccessibleName(name)
            box.setToolTip(name)
            box.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(4)
            box.activated[int].connect(lambda _: self._filter())
        self.states.addItem(self.tr("All states"), "")
        for state in ClipState:
            self.states.addItem(state.label, str(state))
        self.count = ElidedLabel("dim")
        self.setLayout(column(self.search, row_of(self.states, self.tracks), self.view, self.count, spacing=4, grow=2))

    def show_rows(self, rows: Sequence[ClipRow]) -> None:
        """Show the clips of another document or another reading of it."""
        self.model.set_rows(rows)
        chosen = self.tracks.currentData()
        self.tracks.clear()
        self.tracks.addItem(self.tr("All tracks"), "")
        for track in dict.fromkeys(shown.track for shown in rows):
            self.tracks.addItem(track, track)
        self.tracks.setCurrentIndex(max(0, self.tracks.findData(chosen)))
        self._filter()

    def show_statuses(self, statuses: Mapping[str, ClipStatus]) -> None:
        """Show what the runs say about the clips."""
        if self.model.set_statuses(statuses):
            self._show_count()

    def show_current(self, clip_id: str) -> None:
        """Move to a clip without reporting it. A selection that holds the clip stays."""
        place = self.sorted.mapFromSource(self.model.index_of(clip_id))
        selection = self.view.selectionModel()
        if not place.isValid() or selection.currentIndex().row() == place.row():
            return
        flags = QItemSelectionModel.SelectionFlags(QItemSelectionModel.NoUpdate)
        if not selection.isRowSelected(place.row(), QModelIndex()):
            flags = QItemSelectionModel.ClearAndSelect | QItemSelectionModel.Rows
        self._quiet = True
        selection.setCurrentIndex(place, flags)
        self._quiet = False
        self.view.scrollTo(place)
        self._report_selection()

    def visible_ids(self) -> list[str]:
        """Return the ids of the clips that the filter shows, in their order."""
        return _ids(self._sorted_rows(range(self.sorted.rowCount())))

    def clips_in_view(self) -> list[ClipRange]:
        """Return the clips of the rows that the user sees, from top to bottom."""
        first, last = self.view.rowAt(0), self.view.rowAt(self.view.viewport().height() - 1)
        if first < 0 or not self.view.isVisible():
            return []
        end = last + 1 if last >= 0 else self.sorted.rowCount()
        return [shown.clip for shown in self._sorted_rows(range(first, end)) if shown.clip is not None]

    def selected_ids(self) -> list[str]:
        """Return the ids of the selected clips, in the order of the edit."""
        places = self.view.selectionModel().selectedRows()
        return _ids(self.model.rows[number] for number in sorted(self.sorted.mapToSource(at).row() for at in places))

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Report Enter in the table, and that it shows another number of rows."""
        if event.type() == QEvent.KeyPress and event.key() in (Qt.Key_Return, Qt.Key_Enter):
            self.activated.emit()
            return True
        if event.type() in (QEvent.Show, QEvent.Resize):
            self.view_changed.emit()
        return False

    def _sorted_rows(self, numbers: Iterable[int]) -> Iterator[ClipRow]:
        places = (self.sorted.mapToSource(self.sorted.index(number, 0)) for number in numbers)
        return (self.model.rows[place.row()] for place in places)

    def _prepare_view(self) -> None:
        view = self.view
        view.setSelectionBehavior(QAbstractItemView.SelectRows)
        view.setEditTriggers(QAbstractItemView.NoEditTriggers)
        view.setTabKeyNavigation(False)
        view.setShowGrid(False)
        view.setWordWrap(False)
        view.setIconSize(THUMBNAIL)
        view.verticalHeader().hide()
        view.verticalHeader().setDefaultSectionSize(_ROW_PIXELS)
        view.setHorizontalScrollMode(QAbstractItemView.ScrollPerPixel)
        view.setContextMenuPolicy(Qt.CustomContextMenu)
        view.customContextMenuRequested.connect(lambda at: self.menu_wanted.emit(view.viewport().mapToGlobal(at)))
        view.doubleClicked.connect(lambda _: self.activated.emit())
        view.installEventFilter(self)
        header = view.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsMovable(True)
        header.setSectionResizeMode(QHeaderView.Interactive)
        header.setDefaultAlignment(Qt.AlignLeft | Qt.AlignVCenter)
        for number, width in _WIDTHS.items():
            view.setColumnWidth(number, width)
        view.setSortingEnabled(True)
        header.setSortIndicator(-1, Qt.AscendingOrder)  # the order of the edit
        moved = (view.verticalScrollBar().valueChanged, self.sorted.layoutChanged, self.sorted.modelReset)
        for signal in (*moved, self.sorted.rowsInserted, self.sorted.rowsRemoved):
            signal.connect(lambda *_: self.view_changed.emit())
        view.selectionModel().currentRowChanged.connect(self._report_current)
        view.selectionModel().selectionChanged.connect(lambda *_: self._report_selection())

    def _filter(self) -> None:
        state, track = self.states.currentData() or "", self.tracks.currentData() or ""
        self.sorted.chosen = ClipFilter(self.search.text(), track, state)
        self.sorted.invalidateFilter()
        self._show_count()

    def _show_count(self) -> None:
        shown, total = self.sorted.rowCount(), len(self.model.rows)
        counts = dict.fromkeys(ClipState, 0)
        for clip in self.model.rows:
            counts[clip.status.state] += 1
        text = self.tr("{shown} of {total} clips").format(shown=shown, total=total)
        counts.pop(ClipState.NOT_YET)
        parts = [f"{count} {state.label}" for state, count in counts.items() if count]
        self.count.setText(", ".join([text, *parts]))

    def _report_current(self, place: QModelIndex) -> None:
        if place.isValid() and not self._quiet:
            clip = self.model.rows[self.sorted.mapToSource(place).row()].clip
            if clip is not None:
                self.current_changed.emit(clip.clip_id)

    def _report_selection(self) -> None:
        if not self._quiet:
            self.selection_changed.emit(self.selected_ids())


def row_of(*widgets: QWidget) -> QWidget:
    """Return a widget with its parts in a row, which share the room."""
    holder = QWidget()
    layout = row(*widgets, spacing=4)
    for index in range(len(widgets)):
        layout.setStretch(index, 1)
    holder.setLayout(layout)
    return holder


def _ids(rows: Iterable[ClipRow]) -> list[str]:
    return [row.clip.clip_id for row in rows if row.clip is not None]


def _titles() -> dict[int, str]:
    return {
        _NAME: translate("ClipTable", "Clip"),
        _TRACK: translate("ClipTable", "Track"),
        _RECORD: translate("ClipTable", "Record"),
        _LENGTH: translate("ClipTable", "Length"),
        _STATE: translate("ClipTable", "State"),
        _FOUND: translate("ClipTable", "Found"),
        _LEVEL: translate("ClipTable", "Level"),
        _SOURCE: translate("ClipTable", "Source"),
    }
