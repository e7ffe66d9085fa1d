"""The frame of WAVE files, RIFF and RF64 (EBU Tech 3306), and pieces of them cut on samples.

Audio is copied byte for byte; nothing here looks at a sample's value.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from .files import atomic_path

RIFF_LIMIT = 0xFFFFFFFF
"""The largest size that RIFF can hold, and in RF64 the mark of a size that is in the `ds64` chunk."""
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_DS64 = struct.Struct("<QQQI")
_BLOCK = 1 << 20


class Head(NamedTuple):
    """The format of a WAVE file and where its audio is.

    `frame_bytes` is one sample of every channel, `form` the whole `fmt ` chunk.
    """

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


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a whole chunk, padded to an even length."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def riff_head(sizes: tuple[int, int, int], limit: int = RIFF_LIMIT) -> bytes:
    """Return the first 48 bytes of a file of these sizes: RIFF with room kept for `ds64`, or RF64 past `limit`.

    `sizes` are the bytes of the RIFF chunk, the bytes of the data, and the samples of one channel.
    """
    riff_bytes, data_bytes, samples = sizes
    if max(riff_bytes, data_bytes) <= limit:
        return b"RIFF" + struct.pack("<I", riff_bytes) + b"WAVE" + chunk(b"JUNK", bytes(_DS64.size))
    ds64 = _DS64.pack(riff_bytes, data_bytes, samples, 0)
    return b"RF64" + struct.pack("<I", RIFF_LIMIT) + b"WAVE" + chunk(b"ds64", ds64)


def data_head(data_bytes: int, *, is_rf64: bool) -> bytes:
    """Return the header of the `data` chunk."""
    return b"data" + struct.pack("<I", RIFF_LIMIT if is_rf64 else data_bytes)


def read_head(path: Path) -> Head:
    """Read the header of a WAVE file.

    Raises:
        ValueError: The file is not a WAVE file with plain samples.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        kind, _, wave = struct.unpack("<4sI4s", _exactly(file, 12))
        if kind not in (b"RIFF", b"RF64", b"BW64") or wave != b"WAVE":
            raise ValueError(f"{path.name} is not a WAV file")
        form, long_data = b"", 0
        for name, size, at in _chunks(file):
            if name == b"ds64":
                long_data = struct.unpack("<QQ", _exactly(file, 16))[1]
            elif name == b"fmt ":
                form = _exactly(file, size)
            elif name == b"data":
                return _head(path, form, at, long_data if size == RIFF_LIMIT else size)
    raise ValueError(f"{path.name} holds no audio")


def write_piece(source: Path, piece: Piece, target: Path) -> None:
    """Write a piece of `source` to `target` in one step: whole or not at all. Raises ValueError, OSError."""
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
        raise ValueError(f"{path.name} has no complete format chunk")
    kind, channels, sample_rate, _, frame_bytes, bits = struct.unpack("<HHIIHH", form[:16])
    if kind not in (PCM, FLOAT, EXTENSIBLE) or not channels or bits <= 8 or frame_bytes * 8 != channels * bits:
        raise ValueError(f"{path.name} holds compressed audio")
    return Head(sample_rate, channels, frame_bytes, form, data_at, data_bytes // frame_bytes)


def _chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, size, offset of the content) of each chunk, with the file at the content."""
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
    size = 4 + (8 + _DS64.size) + 8 + len(head.form) + 8 + data + data % 2
    start = riff_head((size, data, total), RIFF_LIMIT - 8)
    file.write(start + chunk(b"fmt ", head.form) + data_head(data, is_rf64=start.startswith(b"RF64")))


def _write_silence(file: IO[bytes], count: int) -> None:
    for at in range(0, count, _BLOCK):
        file.write(bytes(min(_BLOCK, count - at)))


def _copy(reading: IO[bytes], writing: IO[bytes], count: int) -> None:
    while count:
        block = _exactly(reading, min(_BLOCK, count))
        writing.write(block)
        count -= len(block)
