"""The server's end of the process of the engines of one device: starts it, watches it, and serves what it asks for."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from stemline.errors import Cancelled, Code, SeparationError
from stemline_server.engines.base import AudioSource
from stemline_server.isolation import channel
from stemline_server.isolation.conversation import Conversation, RunningProcess, Unwatched
from stemline_server.isolation.memory import Limits, oom_kills, resident_bytes
from stemline_server.isolation.work import EngineDeath, Json, StoppableControl, Work, out_of_memory, poisoned
from stemline_server.pipeline.task import Sink

_log = logging.getLogger(__name__)

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_MAX_STARTS = 3
_LOGGED_BYTES = 4000


class EngineProcess:
    """An `EngineHost` in a separate process, which is started again after it has ended."""

    def __init__(
        self, device: str, folder: Path, limits: Limits, name: str = "", files: Sequence[str] | None = None
    ) -> None:
        """Run the engines of `device`.

        Args:
            device: "cpu", "cuda:0" and so on.
            folder: Where a log takes what they print.
            limits: What they may use.
            name: Name of the log; empty for that of the device.
            files: Folders to which the process is confined: those that it may write to, joined with `os.pathsep`, then
                those that it may read. None for no confinement.
        """
        self._device = device
        self._title = f"the {name}" if name else f"the engines of {device}"
        self._arguments = [name or device, *([] if files is None else [str(limits.memory_bytes), *files])]
        self._log_file = folder / f"engine-{name or device.replace(':', '-')}.log"
        self.limits = limits
        self._running: RunningProcess | None = None
        self._deaths = 0
        self._killed = False
        self._lock = threading.RLock()  # a kill finds each process that was started
        self.loaded: tuple[str, ...] = ()
        self.device_bytes = 0

    @property
    def restart_wait_s(self) -> float:
        """See `EngineHost`."""
        return min(_FIRST_WAIT_S * 2.0 ** (self._deaths - 2), _LONGEST_WAIT_S) if self._deaths > 1 else 0.0

    @property
    def progress_age_s(self) -> float:
        """Return the seconds since the engine last reported anything; 0 where it has no work."""
        running = self._running
        return running.silence_s if running is not None else 0.0

    @property
    def memory_bytes(self) -> int:
        """See `EngineHost`."""
        running = self._running
        return 0 if running is None else resident_bytes(running.process.pid)

    def start(self) -> None:
        """See `EngineHost`."""
        with contextlib.suppress(OSError, Cancelled):  # the first work reports it
            self._live()

    def run(self, work: Work, control: StoppableControl, sinks: Sequence[Sink], scratch: Path) -> Json:
        """See `EngineHost`."""
        return self._order(("run", work, len(sinks), scratch), work.audio, sinks, control)

    def load(self, model: str) -> None:
        """See `EngineHost`."""
        self._order(("load", model), (), (), Unwatched())

    def unload(self, model: str) -> None:
        """See `EngineHost`."""
        if model in self.loaded:
            self._order(("unload", model), (), (), Unwatched())

    def kill(self) -> None:
        """See `EngineHost`."""
        with self._lock:
            self._killed = True
            if self._running is not None:
                self._running.process.kill()

    def close(self) -> None:
        """See `EngineHost`."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            running.end()

    def _live(self) -> RunningProcess:
        """Return the process, started if it does not run. Raises OSError, and Cancelled after `kill`."""
        with self._lock:
            if self._killed:
                raise Cancelled
            if self._running is not None and self._running.process.poll() is not None:
                _log.warning("%s ended without work", self._title)
                self.close()
            if self._running is None:
                self.loaded, self.device_bytes = (), 0
                self._running = RunningProcess.start(self._log_file, self._arguments)
                channel.send_order(self._running.connection, ("setup", self._device, self.limits.model_bytes))
            return self._running

    def _order(
        self, order: object, audio: Sequence[AudioSource], sinks: Sequence[Sink], control: StoppableControl
    ) -> Json:
        for attempt in range(_MAX_STARTS):
            try:
                running = self._live()
                channel.send_order(running.connection, order, audio)
            except OSError as error:
                _log.warning("%s cannot be started: %s", self._title, error)
                self.close()
            else:
                talk = Conversation(self, running, audio, sinks, control)
                try:
                    result = talk.until_done()
                except EOFError:
                    death = self._death(running, talk)
                    if running.ready if death.explained else talk.heard:
                        raise death from None  # else it ended before it took the order
                else:
                    self._deaths = 0
                    return result
            time.sleep(_FIRST_WAIT_S * attempt)
        raise SeparationError(
            f"The process of {self._title} does not start.",
            code=Code.MODEL_UNAVAILABLE,
            advice=f"Read {self._log_file.name} in the server's state folder.",
        )

    def _death(self, running: RunningProcess, talk: Conversation) -> EngineDeath:
        """Return why the process ended. Raises Cancelled where the server or a cancelled job ended it."""
        self.close()
        if self._killed or talk.killed_for == "cancel":
            raise talk.failure or Cancelled
        self._deaths += 1
        death = _explained(talk.killed_for, running, self.limits)
        _log.error("%s ended: %s\n%s", self._title, death.error.message, _last_lines(self._log_file))
        return death


def _explained(killed_for: str, running: RunningProcess, limits: Limits) -> EngineDeath:
    """Return the death of a process that has been reaped."""
    code = running.process.returncode
    if killed_for == "memory" or (code == -signal.SIGKILL and oom_kills() > running.oom_kills):
        return EngineDeath(out_of_memory(), explained=True)
    ends = {"hang": f"made no progress for {limits.silence_s:g} s", "nonsense": "sent a message that cannot be read"}
    if killed_for in ends:
        return EngineDeath(poisoned(ends[killed_for]), explained=True)
    if code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        return EngineDeath(poisoned(f"was ended by signal {-code} from outside"), explained=False)
    end = f"died of signal {-code}" if code < 0 else f"ended with code {code}"
    return EngineDeath(poisoned(end), explained=True)


def _last_lines(log_file: Path) -> str:
    with contextlib.suppress(OSError), log_file.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LOGGED_BYTES))
        return file.read().decode(errors="replace")
    return ""
