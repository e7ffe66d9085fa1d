"""Connects the server with the process of an engine: messages through a pipe, sound through shared memory.

The server sends pickles, which the engine's process trusts. The engine's process sends JSON, so that what an engine
says can never run in the server.
"""

from __future__ import annotations

import io
import json
import math
import mmap
import os
import pickle
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from stemline_server.engines.base import AudioSource, Waveform
from stemline_server.isolation.work import Json

SAMPLE_BYTES = 4
AREA_BYTES = 4 << 20  # a second of 20 channels at 48 kHz
SLOTS = 4  # blocks of a result that may wait to be written
_HEADER_BYTES = 4096
_READING = 0  # the area of sound that the engine reads; the slots follow it
MEMORY_BYTES = _HEADER_BYTES + (1 + SLOTS) * AREA_BYTES
_LONGEST_MESSAGE_BYTES = 64 << 20

# Kinds of messages of the engine's process, and the types of their values.
_MESSAGES: dict[str, tuple[type, ...]] = {
    "ready": (),
    "log": (int, str, str),
    "loaded": (list, int),
    "step": (float, float),
    "warn": (int, str, str),
    "find": (int, bool, float, str, list),
    "read": (int, int, int),
    "block": (int, int, int, int),
    "done": (object,),
    "failed": (str, str, str),
    "crashed": (str,),
    "cancelled": (),
}


class SharedMemory:
    """The memory that both processes see: a flag that stops the work, an area to read from, and slots for results."""

    def __init__(self, descriptor: int) -> None:
        """Map the file of that descriptor, which `create_file` made."""
        self._map = mmap.mmap(descriptor, MEMORY_BYTES)

    @property
    def is_stopped(self) -> bool:
        """Return whether the engine is to stop at its next step."""
        return self._map[0] != 0

    def set_stopped(self, *, stopped: bool) -> None:
        """Tell the engine to stop at its next step, or take that back."""
        self._map[0] = int(stopped)

    def reading_area(self, shape: tuple[int, int]) -> Waveform:
        """Return the area of sound that the engine reads, as [channels, samples]."""
        return self._area(_READING, shape)

    def slot(self, number: int, shape: tuple[int, int]) -> Waveform:
        """Return one of the slots for results, as [channels, samples]."""
        if not 0 <= number < SLOTS:
            raise ValueError(f"there is no slot {number}")
        return self._area(1 + number, shape)

    def _area(self, number: int, shape: tuple[int, int]) -> Waveform:
        if min(shape) < 0 or shape[0] * shape[1] * SAMPLE_BYTES > AREA_BYTES:
            raise ValueError(f"{shape} does not fit into shared memory")
        start = _HEADER_BYTES + number * AREA_BYTES
        return np.frombuffer(self._map, np.float32, shape[0] * shape[1], start).reshape(shape)


def create_file() -> int:
    """Return the descriptor of a file without a name that both processes can map. Raises OSError."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("stemline-engine")
    else:
        import tempfile  # noqa: PLC0415 - only where the system has no memfd

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, MEMORY_BYTES)
    return descriptor


class _Pickler(pickle.Pickler):
    """Pickles work with a reference in the place of each sound."""

    def __init__(self, file: io.BytesIO, audio: Sequence[AudioSource]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._audio = {id(source): number for number, source in enumerate(audio)}

    def persistent_id(self, obj: Any) -> tuple[int, int, int, int] | None:
        number = self._audio.get(id(obj))
        return None if number is None else (number, obj.sample_rate, obj.channels, obj.length_samples)


def send_order(connection: Connection, order: object, audio: Sequence[AudioSource] = ()) -> None:
    """Send an order to the engine's process. Raises OSError where that has ended."""
    file = io.BytesIO()
    _Pickler(file, audio).dump(order)
    connection.send_bytes(file.getbuffer())


def send_message(connection: Connection, kind: str, *values: Json) -> None:
    """Send a message to the server. Raises OSError where that has ended."""
    connection.send_bytes(json.dumps([kind, *values]).encode())


def receive_message(connection: Connection) -> tuple[str, list[Any]]:
    """Return the kind and the values of the next message of the engine's process.

    Raises:
        EOFError: The process has ended.
        OSError: It sent too long a message, or its end cannot be read.
        ValueError: It sent something else: an unknown kind, values of other types, or numbers that are not finite.
    """
    message = json.loads(connection.recv_bytes(_LONGEST_MESSAGE_BYTES), parse_constant=_refuse_constant)
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise ValueError("not a message")
    kind, values = message[0], message[1:]
    types = _MESSAGES.get(kind)
    if types is None or len(values) != len(types) or not all(map(_is_value, values, types)):
        raise ValueError(f"a message {kind!r} with the wrong values")
    return kind, values


def _is_value(value: object, wanted: type) -> bool:
    if isinstance(value, bool):
        return wanted in (bool, object)
    if wanted is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, wanted)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
