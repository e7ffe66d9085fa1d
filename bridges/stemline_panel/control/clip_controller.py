# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of clips: stepping and listening, selecting several, and the state of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal

from stemline.clips import MediaSource
from stemline.errors import StemlineError
from stemline.media import media_facts
from stemline_panel.control.playback_controller import PlaybackController
from stemline_panel.model.clips import ClipStatuses, clip_rows, sources_of
from stemline_panel.model.session import Session
from stemline_panel.widgets.actions import Handlers
from stemline_panel.widgets.clip_table import ClipTable
from stemline_panel.workers import Worker


class ClipController(QObject):
    """Chooses the shown clip and the clips of the next run.

    `stepped` is emitted when another clip is to be shown, `changed` when other clips are selected.
    """

    stepped = pyqtSignal()
    changed = pyqtSignal()

    def __init__(self, session: Session, table: ClipTable, playback: PlaybackController) -> None:
        """Connect the table."""
        super().__init__()
        self._session, self._table, self._playback = session, table, playback
        self._statuses = ClipStatuses()
        self._worker = Worker("clips", self)
        self._serial = 0
        self._listen_next = False
        """Whether the clip that is being opened plays at once, because the one before it played."""
        table.current_changed.connect(self.show)
        table.selection_changed.connect(self._select)
        playback.opened.connect(lambda _: self._listen())

    def actions(self) -> Handlers:
        """Return the handlers of the actions of this controller."""
        return {
            "previous_clip": lambda: self.step(-1),
            "next_clip": lambda: self.step(1),
            "clips": self._table.view.setFocus,
            "filter_clips": self._table.search.setFocus,
        }

    def show_document(self) -> None:
        """Show the clips of the session, and find their source timecodes one media file after the other."""
        self._serial += 1
        rows = clip_rows(self._session.read)
        self._session.chosen_ids = ()
        self._table.show_rows(rows)
        self._table.setVisible(len(rows) > 1)
        self.refresh()
        self.show_current()
        self._find_facts(list(sources_of(rows)), self._serial)

    def refresh(self) -> None:
        """Show what the runs say about the clips."""
        statuses = self._statuses.of(self._session.queue, self._session.document_key)
        applied = self._session.applied_clips
        if applied is not None:
            statuses = {name: replace(status, applied=name in applied) for name, status in statuses.items()}
        self._table.show_statuses(statuses)

    def show_current(self) -> None:
        """Move the table to the shown clip."""
        if self._session.clip is not None:
            self._table.show_current(self._session.clip.clip_id)

    def show(self, clip_id: str) -> None:
        """Show a clip. It plays from its start if the one before it plays."""
        index = next((i for i, clip in enumerate(self._session.clips) if clip.clip_id == clip_id), -1)
        if index in (-1, self._session.clip_index):
            return
        self._listen_next = self._listen_next or self._playback.player.playing
        self._session.clip_index = index
        self.stepped.emit()

    def step(self, by: int) -> None:
        """Show another clip, `by` rows further in the order of the table."""
        ids = self._table.visible_ids()
        if self._session.clip is None or not ids:
            return
        shown = self._session.clip.clip_id
        place = (ids.index(shown) + by) % len(ids) if shown in ids else 0
        self.show(ids[place])
        self.show_current()

    def close(self) -> bool:
        """Return True if the worker thread ended."""
        self._serial += 1
        return self._worker.close()

    def _select(self, ids: list[str]) -> None:
        chosen = tuple(ids) if len(ids) > 1 else ()
        if chosen != self._session.chosen_ids:
            self._session.chosen_ids = chosen
            self.changed.emit()

    def _listen(self) -> None:
        listen, self._listen_next = self._listen_next, False
        if listen and self._playback.clip is not None:
            self._playback.seek(self._playback.clip.clip.record_range.start)
            self._playback.toggle(None, loop=False)

    def _find_facts(self, sources: list[MediaSource], serial: int) -> None:
        """Read the facts of one media file after the other. Unreadable media have no source timecode."""
        if not sources or serial != self._serial:
            return
        source, rest = sources[0], sources[1:]
        following: Callable[[], None] = partial(self._find_facts, rest, serial)

        def then(facts: Any) -> None:
            if serial == self._serial:
                self._table.model.set_facts(source, facts)
                following()

        def failed(error: StemlineError) -> None:
            following()

        self._worker.do(partial(media_facts, source), then, failed)
