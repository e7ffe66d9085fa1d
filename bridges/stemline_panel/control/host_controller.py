# SPDX-License-Identifier: GPL-3.0-or-later
"""The open document: opening, reading, applying and taking back; and the pipe to a host program."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
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

_SLOW_MS = 30_000


class HostController(QObject):
    """Works on the open document in a thread of its own.

    Signals: `opened` (document, clips); `failed` (error, whether the host program was asked); `gone` when the host
    program ended; `slow` whether the host has not answered for half a minute; `busy_changed` when work starts or ends;
    `applied` (item); `taken_back` (item, notes); `clips_taken_back` (notes); `rendered` (the rendered clip).
    """

    opened = pyqtSignal(object, object)
    failed = pyqtSignal(object, bool)
    gone = pyqtSignal()
    slow = pyqtSignal(bool)
    busy_changed = pyqtSignal()
    applied = pyqtSignal(object)
    taken_back = pyqtSignal(object, object)
    clips_taken_back = pyqtSignal(object)
    rendered = pyqtSignal(object)
    _greeted = pyqtSignal()
    _ended = pyqtSignal(object)
    _returned = pyqtSignal(object)

    def __init__(self, server: str | None, reconnect_file: Path) -> None:
        """Start without a document. `reconnect_file` says how a host that ended can reach this panel again."""
        super().__init__()
        self._server = server
        self.doctor: Doctor = no_doctor
        self._reconnect_file = reconnect_file
        self._listener: ReconnectListener | None = None
        self._worker = Worker("host", self)
        self._connection: HostConnection | None = None
        self.document: Document | None = None
        self._open_tasks = 0
        self.lost = False
        """Whether the clips came from a host program that ended."""
        self._slow_timer = QTimer(self)
        self._slow_timer.setSingleShot(True)
        self._slow_timer.setInterval(_SLOW_MS)
        self._slow_timer.timeout.connect(self._report_slow)
        self._is_slow = self._asks_host = False
        self._greeted.connect(self._read_host)
        self._ended.connect(self._end)
        self._returned.connect(self._reconnect)

    @property
    def busy(self) -> bool:
        """Whether something is being read or written."""
        return self._open_tasks > 0

    @property
    def connected(self) -> bool:
        """Whether a host program is connected."""
        return self._connection is not None

    def attach(self, incoming: ByteStream, outgoing: ByteStream) -> None:
        """Become the companion of the program at the other end. Its clips are read as soon as it says hello."""
        services = EditServices(self._server, self.doctor)
        connection = HostConnection(
            incoming, outgoing, services, self._greeted.emit, lambda: self._ended.emit(connection)
        )
        self._connection = connection
        connection.start()
        threading.Thread(target=connection.watch, name="stemline-panel-link", daemon=True).start()

    def open(self, paths: Sequence[Path], folder: Path | None = None) -> None:
        """Open an edit, or media files and folders. `folder` is the folder of results unless it is the default one."""
        self._do(None, lambda: open_document(paths, folder), self._read_document)

    def read(self) -> None:
        """Read the clips again: those of the host program if one is connected, else those of the document."""
        if self._connection is not None:
            self._read_host()
        elif self.document is not None:
            self._read_document(self.document)

    def apply(self, item: QueueItem, folder: Path) -> None:
        """Apply a result; files go into `folder`."""
        document, outcome = self._required_document(), item.outcome_to_apply
        if outcome is None:
            return

        def done(applied: AppliedResult) -> None:
            item.applied = applied
            self.applied.emit(item)

        self._do(document, lambda: document.apply(outcome, folder), done)

    def replace(self, old: QueueItem, item: QueueItem, folder: Path) -> None:
        """Take back an earlier result, then apply this one.

        The order matters: a host enables the originals of what it takes back, and could not tell them apart later.
        """
        if old.applied is None:
            self.apply(item, folder)
        else:
            self.take_back(old, lambda: self.apply(item, folder))

    def take_back(self, item: QueueItem, then: Callable[[], None] = lambda: None) -> None:
        """Take back an applied result, then call `then`."""
        document, applied = self._required_document(), item.applied
        if applied is None:
            return

        def done(notes: tuple[str, ...]) -> None:
            item.applied = None
            self.taken_back.emit(item, notes)
            then()

        self._do(document, lambda: document.take_back(applied), done)

    def take_back_clips(self, clip_ids: Sequence[str]) -> None:
        """Take back the applied stems of some clips."""
        document = self._required_document()
        self._do(document, lambda: document.take_back_clips(clip_ids), self.clips_taken_back.emit)

    def render(self, clip: ClipRange, folder: Path) -> None:
        """Have the host render a clip into `folder`."""
        document = self._required_document()
        self._do(document, lambda: document.render(clip, folder), self.rendered.emit)

    def close(self) -> bool:
        """End the connection and the threads. Return True if all ended."""
        self._stop_listening()
        connection, self._connection = self._connection, None
        ended = connection.stop() if connection is not None else True
        return self._worker.close() and ended

    def _required_document(self) -> Document:
        if self.document is None:
            raise HostError(self.tr("No document is open."), code=Code.HOST_GONE)
        return self.document

    def _read_document(self, document: Document) -> None:
        """Read a document, which replaces the open one only if that succeeds."""

        def done(read: ReadClips) -> None:
            self.document, self.lost = document, False
            self.opened.emit(document, read)

        self._do(document, document.read, done)

    def _read_host(self) -> None:
        connection = self._connection
        if connection is not None:
            self._do(connection, lambda: HostDocument(connection.host), self._read_document)

    def _end(self, connection: HostConnection) -> None:
        if connection is self._connection:
            self._connection = None
            self.lost = self.document is None or isinstance(self.document, HostDocument)
            with contextlib.suppress(OSError):  # then the host cannot reconnect, and the user opens the clips again
                self._listener = ReconnectListener(self._reconnect_file, self._returned.emit)
            self.gone.emit()
            threading.Thread(target=connection.stop, name="stemline-panel-unlink", daemon=True).start()

    def _reconnect(self, connection: socket.socket) -> None:
        """Use the pipe that the panel process of a restarted host relays."""
        self._stop_listening()
        self.attach(SocketStream(connection), SocketStream(connection))

    def _stop_listening(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _do(
        self,
        asked: Document | HostConnection | None,
        work: Callable[[], object],
        then: Callable[..., object],
    ) -> None:
        of_host = self._asks_host = isinstance(asked, HostDocument | HostConnection)
        self._open_tasks += 1
        self._slow_timer.start()
        self.busy_changed.emit()

        def done(result: object) -> None:
            self._end_task()
            then(result)

        def failed(error: StemlineError) -> None:
            self._end_task()
            self.failed.emit(error, of_host)

        self._worker.do(work, done, failed)

    def _end_task(self) -> None:
        self._open_tasks -= 1
        if not self.busy:
            self._slow_timer.stop()
        self.busy_changed.emit()
        if self._is_slow:
            self._is_slow = False
            self.slow.emit(False)

    def _report_slow(self) -> None:
        if self._connection is not None and self._asks_host:
            self._is_slow = True
            self.slow.emit(True)
