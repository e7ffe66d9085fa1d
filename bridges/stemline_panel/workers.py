# SPDX-License-Identifier: GPL-3.0-or-later
"""Worker threads. Work goes in as a function, and its result comes back in the window's thread."""

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
    """One thread with a queue. Callbacks run in the thread that made the worker."""

    _settled = pyqtSignal(object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        """Start the thread `stemline-panel-NAME`."""
        super().__init__(parent)
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._settled.connect(self._call)
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name=f"stemline-panel-{name}", daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], then: Callable[[Any], None], failed: Failed) -> None:
        """Run `work` after earlier tasks, then call `then` with its result or `failed` with its error."""
        self._tasks.put(_Task(work, then, failed))

    def post(self, call: Callable[[], None]) -> None:
        """Call `call` in the window's thread. Meant for use from within `work`."""
        if not self._closed:
            self._settled.emit(call)

    def close(self, timeout_s: float = 3.0) -> bool:
        """End the thread and drop pending callbacks. Return True if it ended in time."""
        self._closed = True
        self._tasks.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @pyqtSlot(object)
    def _call(self, callback: Callable[[], None]) -> None:
        """Run in the window's thread, because this object lives there."""
        callback()

    def _loop(self) -> None:
        while (task := self._tasks.get()) is not None:
            self.post(self._run(task))

    def _run(self, task: _Task) -> Callable[[], None]:
        try:
            result = task.work()
        except StemlineError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - outermost loop of the thread: shown to the user, the next task runs
            _log.exception("A task of the panel failed")
            failure = StemlineError(f"Internal error: {type(error).__name__}: {error}")
        else:
            return lambda: task.then(result)
        return lambda: task.failed(failure)
