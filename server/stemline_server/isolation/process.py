"""The server's end of the process of the engines of one device: starts it, watches it, and serves what it asks for."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from stemline.error_table import error_for
from stemline.errors import Cancelled, Code, SeparationError, StemlineError
from stemline_server.engines.base import AudioSource, Finding
from stemline_server.isolation import channel
from stemline_server.isolation.channel import SharedMemory
from stemline_server.isolation.memory import Limits, oom_kills, resident_bytes
from stemline_server.isolation.work import EngineDeath, Json, StoppableControl, Work, out_of_memory, poisoned
from stemline_server.pipeline.task import Sink

_log = logging.getLogger(__name__)

_POLL_S = 0.1
_CHECK_MEMORY_EVERY_S = 0.5
_STOP_GRACE_S = 60.0  # for the next step of an engine whose work was cancelled; then its process is killed
_EXIT_TIMEOUT_S = 10.0
_START_TIMEOUT_S = 60.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_MAX_STARTS = 3
_LOG_BYTES = 1 << 20
_LOGGED_BYTES = 4000


class Unwatched:
    """The control of orders that are not jobs."""

    @property
    def is_stopped(self) -> bool:
        """Return whether the order is to end."""
        return False

    def step(self, done: int, total: int) -> None:
        """Ignore progress."""

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Ignore warnings."""

    def find(self, prompt: int, finding: Finding) -> None:
        """Ignore findings."""


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
        self._running: _Running | None = None
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

    def _live(self) -> _Running:
        """Return the process, started if it does not run. Raises OSError, and Cancelled after `kill`."""
        with self._lock:
            if self._killed:
                raise Cancelled
            if self._running is not None and self._running.process.poll() is not None:
                _log.warning("%s ended without work", self._title)
                self.close()
            if self._running is None:
                self.loaded, self.device_bytes = (), 0
                self._running = _Running.start(self._log_file, self._arguments)
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
                talk = _Conversation(self, running, audio, sinks, control)
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

    def _death(self, running: _Running, talk: _Conversation) -> EngineDeath:
        """Return why the process ended. Raises Cancelled where the server or a cancelled job ended it."""
        self.close()
        if self._killed or talk.killed_for == "cancel":
            raise talk.failure or Cancelled
        self._deaths += 1
        death = _explained(talk.killed_for, running, self.limits)
        _log.error("%s ended: %s\n%s", self._title, death.error.message, _last_lines(self._log_file))
        return death


class _Running:
    """A process that runs, or ran."""

    def __init__(
        self, process: subprocess.Popen[bytes], connection: Connection, memory: SharedMemory, lifeline: int
    ) -> None:
        self.process = process
        self.connection = connection
        self.memory = memory
        self.ready = False
        self.silence_s = 0.0
        self.oom_kills = oom_kills()
        self._lifeline = lifeline

    @classmethod
    def start(cls, log_file: Path, arguments: Sequence[str]) -> _Running:
        """Start a process, with its name and what confines it as arguments. Raises OSError."""
        ours, theirs = Pipe()
        memory = channel.create_file()
        reading, writing = os.pipe()
        inherited = (theirs.fileno(), reading, memory)
        command = [sys.executable, "-P", "-m", "stemline_server.isolation", *map(str, inherited), *arguments]
        mode = "ab" if log_file.exists() and log_file.stat().st_size < _LOG_BYTES else "wb"
        try:
            with log_file.open(mode) as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=inherited,
                    start_new_session=True,  # Ctrl-C in the server's terminal is for the server
                )
            return cls(process, ours, SharedMemory(memory), writing)
        except OSError:
            ours.close()
            os.close(writing)
            raise
        finally:
            theirs.close()
            os.close(reading)
            os.close(memory)

    def end(self) -> None:
        """Let the process end, kill it where it does not, and reap it."""
        self.connection.close()
        with contextlib.suppress(OSError):
            os.close(self._lifeline)
        try:
            self.process.wait(_EXIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class _Conversation:
    """One order: serves what the engine asks for until it is done."""

    def __init__(
        self,
        host: EngineProcess,
        running: _Running,
        audio: Sequence[AudioSource],
        sinks: Sequence[Sink],
        control: StoppableControl,
    ) -> None:
        self._host = host
        self._running = running
        self._audio = audio
        self._sinks = sinks
        self._control = control
        self._limits = host.limits
        self._checked_s = time.monotonic()
        self._stopping_s = 0.0
        self.failure: BaseException | None = None
        self.killed_for = ""
        self.heard = False

    def until_done(self) -> Json:
        """Return the result of the order.

        Raises:
            EOFError: The process has ended.
            StemlineError: The work failed, or was cancelled.
        """
        running = self._running
        running.silence_s = 0.0
        running.memory.set_stopped(stopped=False)
        try:
            while True:
                if not running.connection.poll(_POLL_S):
                    running.silence_s += _POLL_S  # not the clock: the server itself may have been stopped
                    self._stopping_s += _POLL_S if self.failure is not None else 0.0
                else:
                    running.silence_s = 0.0
                    kind, values = self._received()
                    if kind in ("done", "failed", "crashed", "cancelled"):
                        return self._result(kind, values)
                    self._answer(kind, values)
                self._watch()
        except (ConnectionError, BrokenPipeError) as error:
            raise EOFError from error
        finally:
            running.silence_s = 0.0

    def _received(self) -> tuple[str, list[Any]]:
        """Return the next message. A process that sends something else is killed: its next answer may be stale."""
        try:
            kind, values = channel.receive_message(self._running.connection)
            self._check_numbers(kind, values)
        except ConnectionError:
            raise
        except (ValueError, RecursionError, OSError) as error:
            self._kill("nonsense")
            raise EOFError from error
        self.heard = self.heard or kind != "log"  # it may be of the order before
        return kind, values

    def _check_numbers(self, kind: str, values: list[Any]) -> None:
        """Raise ValueError for a message about a prompt, sound or stem that the order does not have."""
        most = {"warn": len(self._sinks), "find": len(self._sinks), "block": len(self._sinks), "read": len(self._audio)}
        if kind in most and not 0 <= values[0] < most[kind]:
            raise ValueError(f"a message {kind!r} about number {values[0]}")
        if kind == "find" and not all(isinstance(note, list) and len(note) == 2 for note in values[4]):
            raise ValueError("notes that are not pairs")

    def _result(self, kind: str, values: list[Any]) -> Json:
        if self.failure is not None:
            raise self.failure
        if kind == "cancelled":
            raise Cancelled
        if kind == "failed":
            raise error_for(*values)
        if kind == "crashed":
            raise _internal(values[0])
        result: Json = values[0]
        return result

    def _answer(self, kind: str, values: list[Any]) -> None:
        """Serve one message. What fails here ends the work."""
        if kind == "ready":
            self._running.ready = True
        elif kind == "log":
            logging.getLogger(values[1]).log(min(values[0], logging.ERROR), "%s", values[2][:_LOGGED_BYTES])
        elif kind == "loaded":
            self._host.loaded = tuple(map(str, values[0]))
            self._host.device_bytes = values[1]
        else:
            try:
                self._serve(kind, values)
            except Exception as error:  # noqa: BLE001 - the engine is told to stop; `until_done` raises it
                self._fail(error)
                if kind == "read":
                    channel.send_order(self._running.connection, ("stop",))
                elif kind == "block":
                    channel.send_order(self._running.connection, ("free", values[1]))

    def _serve(self, kind: str, values: list[Any]) -> None:
        if kind == "step":
            self._control.step(values[0], values[1])
        elif kind == "warn":
            self._control.warn(*values)
        elif kind == "find":
            prompt, found, confidence, matched, notes = values
            pairs = tuple((str(name), str(value)) for name, value in notes)
            self._control.find(prompt, Finding(found, confidence, matched, pairs))
        elif kind == "read":
            number, start_sample, end_sample = values
            source = self._audio[number]
            area = self._running.memory.reading_area((source.channels, end_sample - start_sample))
            np.copyto(area, source.read(start_sample, end_sample))
            channel.send_order(self._running.connection, ("sound",))
        elif kind == "block":
            number, slot, channels, samples = values
            if self.failure is None:
                self._sinks[number].write(self._running.memory.slot(slot, (channels, samples)))
            channel.send_order(self._running.connection, ("free", slot))
        else:
            raise ValueError(f"unknown message {kind!r}")

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, (ConnectionError, BrokenPipeError)):
            raise error
        if self.failure is None:
            self.failure = error
        self._running.memory.set_stopped(stopped=True)

    def _watch(self) -> None:
        """Tell the engine of a cancel, and kill one that hangs or uses too much memory."""
        if self._control.is_stopped and self.failure is None:
            self._fail(Cancelled())
        if self._stopping_s > _STOP_GRACE_S:
            self._kill("cancel")
        limit_s = self._limits.silence_s if self._running.ready else max(self._limits.silence_s, _START_TIMEOUT_S)
        if self._running.silence_s > limit_s:
            self._kill("hang")
        now_s = time.monotonic()
        if self._limits.memory_bytes and now_s - self._checked_s > _CHECK_MEMORY_EVERY_S:
            self._checked_s = now_s
            if resident_bytes(self._running.process.pid) > self._limits.memory_bytes:
                self._kill("memory")

    def _kill(self, reason: str) -> None:
        self.killed_for = self.killed_for or reason
        self._running.process.kill()


def _explained(killed_for: str, running: _Running, limits: Limits) -> EngineDeath:
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


def _internal(trace: str) -> StemlineError:
    """Log what an engine raised under a number that the caller can quote."""
    number = secrets.token_hex(4)
    _log.error("error %s in an engine:\n%s", number, trace)
    return StemlineError(
        f"The model failed with an internal error ({number}).",
        code=Code.INTERNAL,
        advice="Look for this number in server.log.",
    )


def _last_lines(log_file: Path) -> str:
    with contextlib.suppress(OSError), log_file.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LOGGED_BYTES))
        return file.read().decode(errors="replace")
    return ""
