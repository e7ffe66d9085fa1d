"""Detect files that end before their own header says, and broken Matroska files."""

from __future__ import annotations

import mmap
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from stemline.media.decode.edit_list import mp4_boxes
from stemline.media.wave.riff import chunks

EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_CLUSTER = b"\x1f\x43\xb6\x75"
_TOP_LEVEL = frozenset(
    bytes.fromhex(name)
    for name in ("114d9b74", "1549a966", "1654ae6b", "1f43b675", "1c53bb6b", "1941a469", "1043a770", "1254c367")
)
_IN_CLUSTER = frozenset(bytes.fromhex(name) for name in ("a3", "a0", "e7", "ab", "a7", "5854", "af", "ec", "bf"))
_EBML_NAMES = _TOP_LEVEL | _IN_CLUSTER | {EBML, _SEGMENT}
_EBML_HEADER_BYTES = 256
_BOX_HEADER_BYTES = 8
_MP3_HEAD_BYTES = 64
_HAS_FRAMES, _HAS_BYTES = 1, 2


def is_truncated(path: str | Path, container: str) -> bool:
    """Return whether a WAVE, Matroska or tagged MP3 file is cut short; False for other containers.

    `container` is FFmpeg's name of the format.
    """
    if container not in ("wav", "mp3") and "matroska" not in container:
        return False
    with Path(path).open("rb") as file:
        if container == "wav":
            return any(chunk.name == b"data" and chunk.cut for chunk in chunks(file))
        if container == "mp3":
            return _mp3_end(file) > file.seek(0, 2)
        return matroska_end(file, 0) > file.seek(0, 2)


def is_truncated_mp4(path: str | Path) -> bool:
    """Return whether the last box of a MOV or MP4 file reaches past its end; its index may be lost then."""
    with Path(path).open("rb") as file:
        last, size = 0, file.seek(0, 2)
        for name, offset, length in mp4_boxes(file, 0, size):
            if length < _BOX_HEADER_BYTES:
                return bool(name) and length != 0
            last = offset + length
    return last > size


def is_fragmented_mp4(path: str | Path) -> bool:
    """Return whether a MOV or MP4 file has fragments, whose times need not start at the file's zero."""
    with Path(path).open("rb") as file:
        return any(name == b"moof" for name, _, _ in mp4_boxes(file, 0, file.seek(0, 2)))


def matroska_end(file: BinaryIO, begin: int) -> int:
    """Return where the segment of the file at `begin` ends (RFC 8794, RFC 9559); 0 where its writer never knew."""
    file.seek(begin)
    data = file.read(_EBML_HEADER_BYTES)
    if data[:4] != EBML:
        return 0
    header, body = _ebml_size(data, 4)
    segment = body + (header or 0)
    if data[segment : segment + 4] != _SEGMENT:
        return 0
    size, body = _ebml_size(data, segment + 4)
    return 0 if size is None else begin + body + size


def _ebml_size(data: bytes | mmap.mmap, position: int) -> tuple[int | None, int]:
    """Return a size as EBML writes it, None for the one that means "unknown", and the offset after it."""
    first = data[position : position + 1]
    if not first or not first[0]:
        return None, position
    length = _length_of_number(first[0])
    mask = (1 << 7 * length) - 1
    value = int.from_bytes(data[position : position + length], "big") & mask
    return (None if value == mask else value), position + length


def _mp3_end(file: BinaryIO) -> int:
    """Return where the sound ends by the Xing or Info table of the first frame; 0 where there is none."""
    head = file.read(10)
    begin = 0
    if head[:3] == b"ID3" and len(head) == 10:
        begin = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    file.seek(begin)
    frame = file.read(_MP3_HEAD_BYTES)
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or len(frame) < at + 16:
        return 0
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not flags & _HAS_BYTES:
        return 0
    field = at + (12 if flags & _HAS_FRAMES else 8)
    return begin + int.from_bytes(frame[field : field + 4], "big")


def has_matroska_damage(path: str | Path) -> bool:
    """Return whether the elements of a Matroska file do not follow each other. A file cut short is whole."""
    state = Path(path).stat()
    return _has_matroska_damage(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _has_matroska_damage(path: str, size: int, _mtime_ns: int) -> bool:
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        position, cluster_end = 0, None
        while position <= size - 12:
            name = data[position : position + _length_of_number(data[position])]
            value, body = _ebml_size(data, position + len(name))
            if name not in _EBML_NAMES or body == position + len(name):
                return True
            if name in _TOP_LEVEL and cluster_end not in (None, position):
                return True
            if name in (_SEGMENT, _CLUSTER):
                cluster_end = body + value if name == _CLUSTER and value is not None else None
                position = body
            else:
                position = body + (value or 0)
    return False


def _length_of_number(first: int) -> int:
    """Return the length in bytes of an EBML number by its first byte (RFC 8794, 4.4)."""
    return 9 - first.bit_length()
