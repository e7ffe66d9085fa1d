"""Whether a file ends before what its own head says that it holds: a copy or download that broke off."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from stemline.media.decode.container import stat_media
from stemline.media.wave.riff import chunks

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MP3_HEAD_BYTES = 64
_HAS_FRAMES, _HAS_BYTES = 1, 2


def is_cut(path: str | Path, container: str) -> bool:
    """For WAVE, Matroska and MP3 with a table of contents; False for others. `container` is FFmpeg's name of the
    format.
    """
    if container not in ("wav", "mp3") and "matroska" not in container:
        return False
    with Path(path).open("rb") as file:
        if container == "wav":
            return any(chunk.name == b"data" and chunk.cut for chunk in chunks(file))
        end = _mp3_end(file) if container == "mp3" else _matroska_end(file)
        return end > stat_media(path)[0]


def is_cut_mp4(path: str | Path) -> bool:
    """Whether the last box of a MOV or MP4 file reaches past its end: such a file may have lost its list of streams."""
    size = stat_media(path)[0]
    with Path(path).open("rb") as file:
        position = 0
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8:
                return length != 0
            position += length
    return position > size


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment ends (RFC 8794, RFC 9559); 0 where its writer never knew."""
    if file.read(4) != _EBML:
        return 0
    file.seek(_variable_size(file) or 0, 1)
    if file.read(4) != _SEGMENT:
        return 0
    size = _variable_size(file)
    return 0 if size is None else file.tell() + size


def _variable_size(file: BinaryIO) -> int | None:
    """A number as EBML writes sizes; None for the one that stands for "unknown"."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _mp3_end(file: BinaryIO) -> int:
    """Where the sound ends by the Xing or Info table in its first frame; 0 where there is none."""
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
