# SPDX-License-Identifier: GPL-3.0-or-later
"""The document where clips come from: opening, reading, applying, taking back; and the pipe to a host program."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from PyQt5.QtCore import QObject, QTimer, pyqtSignal

from stemline.clips import ClipRange
from stemline.companion.services import Doctor, EditServices, no_doctor
from stemline.errors import Code, HostError, StemlineError
from stemline.hosts.base import ReadClips
from stemline_bridge.lines import ByteStream
from stemline_panel.documents import Document, HostDocument, open_document
from stemline_panel.host_connection import HostConnection
from stemline_panel.model.queue import AppliedResult, QueueItem
from stemline_panel.reconnect import ReconnectListener, SocketStream
from stemline_panel.workers import Worker

_NOT_OPEN = "Nothing is open."
_PATIENCE_MS = 30_000


class HostController(QObject):
    """`opened` tells the document and its clips; `failed` an error, and whether it was the host program that was asked;
    `gone` that the host program ended; `slow` whether it has let us wait for half a minute; `busy_changed` that
    something is begun or ended."""

    opened = pyqtSignal(object, object)
    failed = pyqtSignal(object, bool)
    gone = pyqtSignal()
    slow = pyqtSignal(bool)
    busy_changed = pyqtSignal()
    applied = pyqtSignal(object)
    taken_back = pyqtSignal(object, object)
    rendered = pyqtSignal(object)
    _greeted = pyqtSignal()
    _ended = pyqtSignal(object)
    _back = pyqtSignal(object)

    def __init__(self, server: str | None, waiting_place: Path) -> None:
        super().__init__()
        self._server = server
        self.doctor: Doctor = no_doctor
        self._waiting_place = waiting_place
        self._waiting: ReconnectListener | None = None
        self._worker = Worker("host", self)
        self._connection: HostConnection | None = None
        self.document: Document | None = None
        self._open_tasks = 0
        self.lost = False
        """Whether the clips came from a program that is gone."""
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(_PATIENCE_MS)
        self._patience.timeout.connect(self._tell_slow)
        self._is_slow = self._asks_host = False
        self._greeted.connect(self._meet)
        self._ended.connect(self._end)
        self._back.connect(self._come_back)

    @property
    def busy(self) -> bool:
        """Whether something is being read or written."""
        return self._open_tasks > 0

    @property
    def connected(self) -> bool:
        return self._connection is not None

    def attach(self, incoming: ByteStream, outgoing: ByteStream) -> None:
        """Becomes the companion of the program at the other end; its clips are read as soon as it says hello."""
        services = EditServices(self._server, self.doctor)
        connection = HostConnection(
            incoming, outgoing, services, self._greeted.emit, lambda: self._ended.emit(connection)
        )
        self._connection = connection
        connection.start()
        threading.Thread(target=connection.watch, name="stemline-panel-connection", daemon=True).start()

    def open(self, path: Path) -> None:
        self._do(None, lambda: open_document(path), self._read_place)

    def read(self) -> None:
        """The clips as they are now: those of the host program where one is connected."""
        if self._connection is not None:
            self._meet()
        elif self.document is not None:
            self._read_place(self.document)

    def apply(self, item: QueueItem, folder: Path) -> None:
        """Puts a result in."""
        document, outcome = self._needed(), item.outcome
        if outcome is None:
            return

        def done(applied: AppliedResult) -> None:
            item.applied = applied
            self.applied.emit(item)

        self._do(document, lambda: document.apply(outcome, folder), done)

    def replace(self, old: QueueItem, item: QueueItem, folder: Path) -> None:
        """Takes the earlier result out, then puts this one in: its host could not tell whose clips are disabled."""
        document, applied = self._needed(), old.applied
        if applied is None:
            self.apply(item, folder)
            return

        def done(notes: tuple[str, ...]) -> None:
            old.applied = None
            self.taken_back.emit(old, notes)
            self.apply(item, folder)

        self._do(document, lambda: document.take_back(applied), done)

    def take_back(self, item: QueueItem) -> None:
        document, applied = self._needed(), item.applied
        if applied is None:
            return

        def done(notes: tuple[str, ...]) -> None:
            item.applied = None
            self.taken_back.emit(item, notes)

        self._do(document, lambda: document.take_back(applied), done)

    def render(self, clip: ClipRange, folder: Path) -> None:
        document = self._needed()
        self._do(document, lambda: document.render(clip, folder), self.rendered.emit)

    def close(self) -> bool:
        self._stop_waiting()
        connection, self._connection = self._connection, None
        ended = connection.stop() if connection is not None else True
        return self._worker.close() and ended

    def _needed(self) -> Document:
        if self.document is None:
            raise HostError(_NOT_OPEN, code=Code.HOST_GONE)
        return self.document

    def _read_place(self, document: Document) -> None:
        """What was open stays open until this one was read."""

        def done(read: ReadClips) -> None:
            self.document, self.lost = document, False
            self.opened.emit(document, read)

        self._do(document, document.read, done)

    def _meet(self) -> None:
        connection = self._connection
        if connection is not None:
            self._do(connection, lambda: HostDocument(connection.host), self._read_place)

    def _end(self, connection: HostConnection) -> None:
        if connection is self._connection:
            self._connection = None
            self.lost = self.document is None or isinstance(self.document, HostDocument)
            with contextlib.suppress(OSError):  # without it the user opens the clips anew
                self._waiting = ReconnectListener(self._waiting_place, self._back.emit)
            self.gone.emit()
            threading.Thread(target=connection.stop, name="stemline-panel-unlink", daemon=True).start()

    def _come_back(self, connection: socket.socket) -> None:
        """The host was started again: the panel that it started is a relay to us."""
        self._stop_waiting()
        self.attach(SocketStream(connection), SocketStream(connection))

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.close()

    def _do(
        self, asked: Document | HostConnection | None, work: Callable[[], object], then: Callable[..., object]
    ) -> None:
        of_host = self._asks_host = isinstance(asked, HostDocument | HostConnection)
        self._open_tasks += 1
        self._patience.start()
        self.busy_changed.emit()

        def done(result: object) -> None:
            self._ended_one()
            then(result)

        def failed(error: StemlineError) -> None:
            self._ended_one()
            self.failed.emit(error, of_host)

        self._worker.do(work, done, failed)

    def _ended_one(self) -> None:
        self._open_tasks -= 1
        if not self.busy:
            self._patience.stop()
        self.busy_changed.emit()
        if self._is_slow:
            self._is_slow = False
            self.slow.emit(False)

    def _tell_slow(self) -> None:
        if self._connection is not None and self._asks_host:
            self._is_slow = True
            self.slow.emit(True)
