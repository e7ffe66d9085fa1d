"""Present WAVE files that FFmpeg misreads under a header that it reads right.

FFmpeg takes the valid bits of a sample for its size, so that 24 bits in a container of 32 become noise, and reads the
first `data` chunk only. A repaired file has the same bytes in one `data` chunk after a header that states the
container.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stemline.media.decode.spliced_file import open_spliced
from stemline.media.wave.riff import Chunk, chunk, chunks, data_head, riff_head

_PCM, _EXTENSIBLE = 1, 0xFFFE
_REWRITTEN = (b"RIFF", b"ds64", b"JUNK", b"fmt ", b"data", b"fact")
_LARGEST_CHUNK_BYTES = 16 << 20
W64 = b"riff"
"""The first bytes of a Sony Wave64 file, whose chunks have names of 16 bytes and sizes of 64 bits."""
_W64_HEADER_BYTES = 24
_SAMPLED_FRAMES = 1 << 14
_HEAD_BYTES = 48 - 8 + 8  # riff_head() and data_head() without the first chunk's own header


@dataclass(frozen=True, slots=True)
class WaveLayout:
    """The layout of a WAVE file that FFmpeg misreads.

    Attributes:
        fmt: Body of a `fmt ` chunk that states the size of the container.
        valid_bits: Bits of a sample that carry sound; 0 where the file's own `fmt ` chunk is right.
        data: The chunks of sound.
        others: The chunks of metadata.
    """

    fmt: bytes
    valid_bits: int
    data: tuple[Chunk, ...]
    others: tuple[Chunk, ...]


def wave_layout(path: str | Path) -> WaveLayout | None:
    """Return the layout of a WAVE file that FFmpeg misreads, None for any other file."""
    with Path(path).open("rb") as file:
        found = list(_w64_chunks(file) if file.read(4) == W64 else chunks(file))
        formats = [_body(file, each) for each in found if each.name == b"fmt "]
        data = tuple(each for each in found if each.name == b"data" and each.size)
        if not formats or len(formats[0]) < 16 or any(other != formats[0] for other in formats):
            return None
        if not data:
            return WaveLayout(formats[0], 0, (), ()) if _is_empty(found, file.seek(0, 2)) else None
        channels, _, _, frame_bytes = struct.unpack_from("<HIIH", formats[0], 2)
        if not channels or frame_bytes % channels:
            return None
        valid_bits = _misread_bits(file, formats[0], data[0])
        if not valid_bits and len(data) < 2:
            return None
        others = tuple(each for each in found if each.name not in _REWRITTEN and each.size <= _LARGEST_CHUNK_BYTES)
        fmt = _with_container_bits(formats[0], 8 * frame_bytes // channels) if valid_bits else formats[0]
        return WaveLayout(fmt, valid_bits, data, others)


def _w64_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of a Wave64 file under their names in WAVE; sizes include the header and end on 8 bytes."""
    position, length = _W64_HEADER_BYTES + 16, file.seek(0, 2)
    while position + _W64_HEADER_BYTES <= length:
        file.seek(position)
        head = file.read(_W64_HEADER_BYTES)
        size = int.from_bytes(head[16:], "little")
        if size < _W64_HEADER_BYTES:
            return
        body = position + _W64_HEADER_BYTES
        yield Chunk(head[:4], body, min(size - _W64_HEADER_BYTES, length - body), cut=position + size > length)
        position += -(-size // 8) * 8


def _is_empty(found: list[Chunk], file_bytes: int) -> bool:
    """Return whether a file has no sound, and further chunks up to its end, which FFmpeg takes for sound.

    Bytes that are not chunks after an empty `data` chunk are the sound of a recorder that did not write its size.
    """
    last = found[-1]
    ends = last.offset + last.size
    return last.name != b"data" and not last.cut and ends <= file_bytes <= ends + 1


def _misread_bits(file: BinaryIO, fmt: bytes, data: Chunk) -> int:
    """Return the valid bits of PCM in a larger container, 0 where the sizes agree."""
    tag, channels, _, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    container = frame_bytes // channels
    if container not in (1, 2, 3, 4):
        return 0
    if tag == _EXTENSIBLE and len(fmt) >= 40:
        valid, subformat = (int.from_bytes(fmt[at : at + 2], "little") for at in (18, 24))
        stated = bits == 8 * container and subformat == _PCM
        return valid if stated and valid > 0 and -(-valid // 8) != container else 0
    # without an extension, 24 bits in 4 bytes may also be floating point of Cool Edit
    if tag == _PCM and container == 4 and bits in (16, 20, 24) and _holds_integers(file, data, bits):
        return int(bits)
    return 0


def _holds_integers(file: BinaryIO, data: Chunk, bits: int) -> bool:
    """Return whether words of 32 bits are integers in their upper `bits` bits."""
    file.seek(data.offset)
    words = np.frombuffer(file.read(min(data.size, 4 * _SAMPLED_FRAMES) // 4 * 4), "<u4")
    return bool(words.any()) and not np.any(words & ((1 << (32 - bits)) - 1))


def _with_container_bits(fmt: bytes, bits: int) -> bytes:
    fixed = fmt[:14] + struct.pack("<H", bits)
    return fixed + fmt[16:18] + struct.pack("<H", bits) + fmt[20:] if len(fmt) >= 40 else fixed


def _body(file: BinaryIO, found: Chunk) -> bytes:
    file.seek(found.offset)
    return file.read(min(found.size, _LARGEST_CHUNK_BYTES))


def open_repaired(path: str | Path) -> BinaryIO | None:
    """Open a WAVE file that FFmpeg misreads as one that it reads right; None for any other file."""
    layout = wave_layout(path)
    if layout is None:
        return None
    with Path(path).open("rb") as file:
        rest = b"".join(chunk(each.name, _body(file, each)) for each in layout.others)
    rest += chunk(b"fmt ", layout.fmt)
    size = sum(each.size for each in layout.data)
    frame_bytes = int.from_bytes(layout.fmt[12:14], "little")
    head = riff_head((_HEAD_BYTES + len(rest) + size, size, size // frame_bytes))
    head += rest + data_head(size, is_rf64=head.startswith(b"RF64"))
    return open_spliced(path, [head, *((each.offset, each.size) for each in layout.data)])
