# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads for what takes time. Work goes in as a function, its end comes back in the thread of the window."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PyQt5.QtCore import QObject, pyqtSignal, pyqtSlot

from stemline.errors import StemlineError

_log = logging.getLogger(__name__)

Failed = Callable[[StemlineError], None]


@dataclass(frozen=True, slots=True)
class _Task:
    work: Callable[[], Any]
    then: Callable[[Any], None]
    failed: Failed


class Worker(QObject):
    """One thread and its queue. `then` or `failed` is called in the thread that made the worker, never from here."""

    _settled = pyqtSignal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._settled.connect(self._call)
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"stemline-panel-{name}", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], then: Callable[[Any], None], failed: Failed) -> None:
        """Runs `work` after what was given before; one of the others is called with its end."""
        self._tasks.put(_Task(work, then, failed))

    def tell(self, call: Callable[[], None]) -> None:
        """From within `work`: `call` is made in the window's thread."""
        self._emit(call)

    def close(self, timeout_s: float = 3.0) -> bool:
        """No more ends are told. True if the thread ended in time."""
        self._closed = True
        self._tasks.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _emit(self, call: Callable[[], None]) -> None:
        if not self._closed:
            self._settled.emit(call)

    @pyqtSlot(object)
    def _call(self, end: Callable[[], None]) -> None:
        """In the window's thread, because the worker as an object lives there."""
        end()

    def _loop(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._emit(self._end_of(task))

    def _end_of(self, task: _Task) -> Callable[[], None]:
        try:
            result = task.work()
        except StemlineError as error:
            told = error
        except Exception as error:  # noqa: BLE001 - the outermost loop of a worker: told to the user, the next goes on
            _log.exception("a task of the panel failed inside")
            told = StemlineError(f"The panel failed inside: {type(error).__name__}: {error}")
        else:
            return lambda: task.then(result)
        return lambda: task.failed(told)
