"""The work of the process of the engines of one device, which `stemline_server.isolation.__main__` starts."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import logging
import math
import os
import pickle
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from stemline.errors import Cancelled, StemlineError
from stemline_server.engines.base import Finding, Waveform
from stemline_server.isolation import channel
from stemline_server.isolation.channel import SharedMemory
from stemline_server.isolation.memory import used_memory_bytes
from stemline_server.isolation.models import ModelCache, model_factory
from stemline_server.isolation.work import Json, is_out_of_memory, out_of_memory
from stemline_server.store.disk import full_disk_named

_STEP_EVERY_S = 0.05
_LOGGED_CHARACTERS = 10_000


def main() -> None:
    """Do the server's orders until it closes the pipe. The arguments name the descriptors of the connection."""
    descriptors = [int(text) for text in sys.argv[1:4]]
    faulthandler.enable()
    _leave_with_server(descriptors[1])
    link = _Link(Connection(descriptors[0]), SharedMemory(descriptors[2]))
    logging.basicConfig(level=logging.INFO, handlers=[_LogHandler(link)])
    with contextlib.suppress(EOFError, OSError):
        _Engines(link).serve()


def _leave_with_server(lifeline: int) -> None:
    """End this process as soon as the server is gone, even in the middle of a step."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            os.read(lifeline, 1)
        os._exit(0)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


class _Link:
    """This end of the connection. The sounds that an engine reads may be read by several threads."""

    def __init__(self, connection: Connection, memory: SharedMemory) -> None:
        self.connection = connection
        self.memory = memory
        self._lock = threading.RLock()
        self._free = list(range(channel.SLOTS))

    def receive(self) -> Any:
        return _Unpickler(io.BytesIO(self.connection.recv_bytes()), self).load()

    def send(self, kind: str, *values: Json) -> None:
        with self._lock:
            channel.send_message(self.connection, kind, *values)

    def begin(self) -> None:
        """Forget the slots of the work before, which the server has read or dropped."""
        self._free = list(range(channel.SLOTS))

    def read(self, number: int, start_sample: int, into: Waveform) -> None:
        with self._lock:
            self.send("read", number, start_sample, start_sample + into.shape[1])
            self._wait("sound")
            into[:] = self.memory.reading_area((into.shape[0], into.shape[1]))

    def write(self, number: int, block: Waveform) -> None:
        with self._lock:
            if not self._free:
                self._wait("free")
            slot = self._free.pop()
            shape = (block.shape[0], block.shape[1])
            self.memory.slot(slot, shape)[:] = block
            self.send("block", number, slot, *shape)

    def _wait(self, wanted: str) -> None:
        """Take the server's answers until the wanted one. Raises Cancelled where the server gives up."""
        while True:
            kind, *values = self.receive()
            if kind == "free":
                self._free.append(values[0])
            if kind == "stop":
                raise Cancelled
            if kind == wanted:
                return


class _Unpickler(pickle.Unpickler):
    """Reads what the server sends, with a sound that reads from the server in the place of each reference."""

    def __init__(self, file: io.BytesIO, link: _Link) -> None:
        super().__init__(file)
        self._link = link

    def persistent_load(self, pid: Any) -> _RemoteAudio:
        return _RemoteAudio(self._link, *pid)


@dataclass(frozen=True)
class _RemoteAudio:
    """An `AudioSource` of the server."""

    link: _Link
    number: int
    sample_rate: int
    channels: int
    length_samples: int

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [channels, samples]."""
        sound = np.empty((self.channels, max(0, end_sample - start_sample)), np.float32)
        step = channel.AREA_BYTES // (channel.SAMPLE_BYTES * self.channels)
        for start in range(0, sound.shape[1], step):
            self.link.read(self.number, start_sample + start, sound[:, start : start + step])
        return sound


@dataclass(frozen=True)
class _RemoteSink:
    """A `Sink` of the server."""

    link: _Link
    number: int

    def write(self, block: Waveform) -> None:
        """Append `block`, [channels, n]."""
        step = channel.AREA_BYTES // (channel.SAMPLE_BYTES * block.shape[0])
        for start in range(0, block.shape[1], step):
            self.link.write(self.number, block[:, start : start + step])


class _RemoteControl:
    """A `Control` of the server."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._sent_s = 0.0

    def step(self, done: int, total: int) -> None:
        """Report progress, at most a few times a second. Raises Cancelled."""
        if self._link.memory.is_stopped:
            raise Cancelled
        now_s = time.monotonic()
        if now_s - self._sent_s >= _STEP_EVERY_S:
            self._sent_s = now_s
            self._link.send("step", _finite(done), _finite(total))

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Report a warning."""
        self._link.send("warn", int(prompt), str(code), str(message))

    def find(self, prompt: int, finding: Finding) -> None:
        """Report a finding."""
        notes: Json = [[str(name), str(value)] for name, value in finding.notes]
        self._link.send(
            "find", int(prompt), bool(finding.found), _finite(finding.confidence), str(finding.matched), notes
        )


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else 0.0


class _LogHandler(logging.Handler):
    """Sends log records to the server, whose log they belong in."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._link.send("log", record.levelno, record.name, self.format(record)[:_LOGGED_CHARACTERS])


class _Engines:
    """Does the server's orders."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._models: ModelCache | None = None
        self._device = ""

    def serve(self) -> None:
        """Do order after order. Raises EOFError when the server closes the pipe."""
        _, device, budget_bytes = self._link.receive()
        self._device = device
        self._models = ModelCache(model_factory(), device, budget_bytes)
        self._link.send("ready")
        while True:
            kind, *values = self._link.receive()
            if kind in ("run", "load", "unload"):
                self._link.begin()
                self._answer(kind, values, self._models)

    def _answer(self, kind: str, values: list[Any], models: ModelCache) -> None:
        """Do one order, and tell the server how it ended."""
        try:
            result = self._do(kind, values, models)
            json.dumps(result, allow_nan=False)
        except Cancelled:
            answer: tuple[Json, ...] = ("cancelled",)
        except StemlineError as error:
            answer = ("failed", error.code.value, error.message, error.advice)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except BaseException as error:  # noqa: BLE001 - the process survives every failure, `sys.exit()` included
            if is_out_of_memory(error):
                memory = out_of_memory()
                answer = ("failed", memory.code.value, memory.message, memory.advice)
            else:
                answer = ("crashed", traceback.format_exc())
        else:
            answer = ("done", result)
        models.trim()
        self._link.send("loaded", list(models.loaded), used_memory_bytes(self._device))
        self._link.send(str(answer[0]), *answer[1:])

    def _do(self, kind: str, values: list[Any], models: ModelCache) -> Json:
        if kind == "load":
            models.use(values[0])
        elif kind == "unload":
            models.drop(values[0])
        else:
            work, sinks, scratch = values
            with full_disk_named(scratch):
                result: Json = work.run(
                    models, _RemoteControl(self._link), [_RemoteSink(self._link, number) for number in range(sinks)]
                )
            return result
        return None
