"""A process of engines, and its orders: serves what it asks for, and watches it, until an order is done."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from stemline.error_table import error_for
from stemline.errors import Cancelled, Code, StemlineError
from stemline_server.engines.base import AudioSource, Finding
from stemline_server.isolation import channel
from stemline_server.isolation.channel import SharedMemory
from stemline_server.isolation.memory import Limits, oom_kills, resident_bytes
from stemline_server.isolation.work import Json, StoppableControl
from stemline_server.pipeline.task import Sink

_log = logging.getLogger(__name__)

_POLL_S = 0.1
_CHECK_MEMORY_EVERY_S = 0.5
_STOP_GRACE_S = 60.0  # for the next step of an engine whose work was cancelled; then its process is killed
_START_TIMEOUT_S = 60.0
_LOGGED_BYTES = 4000
_LOG_BYTES = 1 << 20
_EXIT_TIMEOUT_S = 10.0


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


class RunningProcess:
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
    def start(cls, log_file: Path, arguments: Sequence[str]) -> RunningProcess:
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


class Host(Protocol):
    """The owner of a process, which gets what the process says about itself."""

    limits: Limits
    loaded: tuple[str, ...]
    device_bytes: int


class Conversation:
    """One order: serves what the engine asks for until it is done."""

    def __init__(
        self,
        host: Host,
        running: RunningProcess,
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


def _internal(trace: str) -> StemlineError:
    """Log what an engine raised under a number that the caller can quote."""
    number = secrets.token_hex(4)
    _log.error("error %s in an engine:\n%s", number, trace)
    return StemlineError(
        f"The model failed with an internal error ({number}).",
        code=Code.INTERNAL,
        advice="Look for this number in server.log.",
    )
