"""WAV files cut on samples: the part of a stem that a clip plays, as long as Resolve's whole frames need it.

The sound is copied byte for byte; nothing here looks at a sample's value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from stemline_bridge import atomic_path

_BLOCK = 1 << 20
_IN_DS64 = 0xFFFFFFFF
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE


class Head(NamedTuple):
    """What a WAV file says of its sound. `frame_bytes` is one sample of every channel; `form` the whole fmt chunk."""

    sample_rate: int
    channels: int
    frame_bytes: int
    form: bytes
    data_at: int
    length_samples: int


class Piece(NamedTuple):
    """`lead` samples of silence, then `length` samples of the file from `start`, then silence up to `total`."""

    start: int
    length: int
    lead: int
    total: int


def read_head(path: Path) -> Head:
    """Raises ValueError for a file that is no WAV with plain samples, OSError."""
    with path.open("rb") as file:
        kind, _, wave = struct.unpack("<4sI4s", _exactly(file, 12))
        if kind not in (b"RIFF", b"RF64", b"BW64") or wave != b"WAVE":
            raise ValueError(f"{path.name} is no WAV file")
        form, long_data = b"", 0
        for name, size, at in _chunks(file):
            if name == b"ds64":
                long_data = struct.unpack("<QQ", _exactly(file, 16))[1]
            elif name == b"fmt ":
                form = _exactly(file, size)
            elif name == b"data":
                return _head(path, form, at, long_data if size == _IN_DS64 else size)
    raise ValueError(f"{path.name} holds no sound")


def write_piece(source: Path, piece: Piece, target: Path) -> None:
    """Writes `target` in one step: whole or not at all. Raises ValueError, OSError."""
    head = read_head(source)
    available = max(0, min(piece.length, head.length_samples - piece.start))
    with atomic_path(target, durable=True) as part, source.open("rb") as reading, part.open("wb") as writing:
        _write_head(writing, head, piece.total)
        _write_silence(writing, piece.lead * head.frame_bytes)
        reading.seek(head.data_at + piece.start * head.frame_bytes)
        _copy(reading, writing, available * head.frame_bytes)
        _write_silence(writing, (piece.total - piece.lead - available) * head.frame_bytes)
        if piece.total * head.frame_bytes % 2:
            writing.write(b"\0")


def _head(path: Path, form: bytes, data_at: int, data_bytes: int) -> Head:
    if len(form) < 16:
        raise ValueError(f"{path.name} does not say what its sound is")
    kind, channels, sample_rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", form[:16])
    if kind not in (_PCM, _FLOAT, _EXTENSIBLE) or not channels or bits <= 8 or frame_bytes * 8 != channels * bits:
        raise ValueError(f"{path.name} holds packed sound")
    return Head(sample_rate, channels, frame_bytes, form, data_at, data_bytes // frame_bytes)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """(name, size, where its content begins) of each chunk; the file stands at the content."""
    at = 12
    while True:
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = struct.unpack("<4sI", header)
        yield name, size, at + 8
        at += 8 + size + size % 2


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError("the file ends too early")
    return data


def _write_head(file: IO[bytes], head: Head, total: int) -> None:
    data = total * head.frame_bytes
    size = 4 + (8 + 28) + 8 + len(head.form) + 8 + data + data % 2
    is_long = size > _IN_DS64 - 8
    file.write(struct.pack("<4sI4s", b"RF64" if is_long else b"RIFF", _IN_DS64 if is_long else size, b"WAVE"))
    # The place of the long sizes is always kept, as EBU Tech 3306 has it.
    file.write(struct.pack("<4sI", b"ds64" if is_long else b"JUNK", 28))
    file.write(struct.pack("<QQQI", size, data, total, 0) if is_long else bytes(28))
    file.write(struct.pack("<4sI", b"fmt ", len(head.form)) + head.form)
    file.write(struct.pack("<4sI", b"data", _IN_DS64 if is_long else data))


def _write_silence(file: IO[bytes], count: int) -> None:
    for at in range(0, count, _BLOCK):
        file.write(bytes(min(_BLOCK, count - at)))


def _copy(reading: IO[bytes], writing: IO[bytes], count: int) -> None:
    while count:
        block = _exactly(reading, min(_BLOCK, count))
        writing.write(block)
        count -= len(block)
