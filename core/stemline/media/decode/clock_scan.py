"""Find joined recordings, whose clock starts over: neither a seek nor one end tells their length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av

from stemline.media.decode.container import audio_stream, open_container
from stemline.media.decode.frame_decoder import LONGEST_TS_GAP_S, RESTART_S, TRANSPORT
from stemline.media.decode.packets import find_bytes, is_wavpack_header, next_wavpack_block
from stemline.media.decode.truncation import matroska_end

_BOS = 2
_LAYOUT_STRIDE = 8
_OGG_HEADER_BYTES = 27
_WAVPACK_HEADER_BYTES = 32
_FLAC_HEAD = b"fLaC\x00\x00\x00\x22"
_LAYOUT_BYTES = {"mp1": 4, "mp2": 4, "mp2float": 4, "mp3": 4, "mp3float": 4, "ac3": 7, "aac": 4}


@dataclass(frozen=True, slots=True)
class Clock:
    """How a stream's timestamps run.

    Attributes:
        continuous: Whether seeks can be trusted: the clock never starts over, and no packet is damaged.
        parts: Byte offsets of the complete files that a joined file consists of; empty where there is one.
        breaks: Byte offsets at which the container is broken.
    """

    continuous: bool = True
    parts: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()


def scan_clock(path: str | Path, index: int, container: str) -> Clock:
    """Scan a stream for places where its clock starts over, without decoding it.

    Only containers that are joined by copying one file behind another are read. `container` is FFmpeg's name.
    """
    if container in (*TRANSPORT, "nut"):
        return Clock(_runs_on(path, index))
    find = _JOINABLE.get(container)
    if find is None:
        return Clock()
    with Path(path).open("rb", buffering=0) as file:
        parts, breaks = find(file, file.seek(0, 2))
    return Clock(not parts and not breaks, (0, *parts) if parts else (), tuple(breaks))


def _runs_on(path: str | Path, index: int) -> bool:
    """Return whether the packets of a stream keep one clock and one layout, and none is damaged."""
    with open_container(path) as container:
        stream = audio_stream(container, index, path)
        codec = stream.codec_context.name
        ticks_per_s = 1 / (stream.time_base or Fraction(1, 90_000))
        back, ahead = int(RESTART_S * ticks_per_s), int(LONGEST_TS_GAP_S * ticks_per_s)
        last = layout = None
        try:
            for number, packet in enumerate(container.demux(stream)):
                pts = packet.pts
                if packet.is_corrupt:
                    return False
                if pts is None:
                    continue
                if last is not None and not last - back <= pts <= last + ahead:
                    return False
                last = pts
                if number % _LAYOUT_STRIDE == 0 and (found := _layout_field(codec, packet)) is not None:
                    if layout not in (None, found):
                        return False
                    layout = found
        except (av.FFmpegError, OSError):
            return False
    return True


def _layout_field(codec: str, packet: object) -> int | None:
    """Return the header bits of a packet that state its rate and channels; None where they are unknown."""
    size = _LAYOUT_BYTES.get(codec)
    if size is None:
        return None
    head = bytes(memoryview(packet)[:size])  # type: ignore[arg-type]
    if len(head) < size:
        return None
    if codec == "ac3":
        mode = head[6] >> 5
        return (head[4] & 0xC0) | mode if head[:2] == b"\x0b\x77" else None
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if codec == "aac":
        return (head[2] & 0x3D) << 8 | head[3] & 0xC0
    return (head[2] & 0x0C) << 2 | int(head[3] >> 6 == 3)


_Found = tuple[list[int], list[int]]  # offsets of the files after the first, offsets of breaks


def _ogg_links(file: BinaryIO, size: int) -> _Found:
    """Find the links of a chained file (RFC 3533): streams that begin after others ended."""
    parts: list[int] = []
    breaks: list[int] = []
    position, beginning, last = 0, True, (0, 0)
    while position <= size - _OGG_HEADER_BYTES:
        file.seek(position)
        head = file.read(_OGG_HEADER_BYTES + 255)
        if head[:4] != b"OggS":
            breaks.append(position)
            found = find_bytes(file, b"OggS", position)
            if found is None:
                break
            position = found
            continue
        starts = bool(head[5] & _BOS)
        if starts and not beginning:
            parts.append(position)
        beginning = starts
        table = head[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + head[26]]
        last = position, _OGG_HEADER_BYTES + len(table) + sum(table)
        position += last[1]
    if position <= size and not _is_sound_page(file, *last):
        breaks.append(size)  # FFmpeg drops the page, and no later timestamp shows the gap
    return parts, breaks


def _is_sound_page(file: BinaryIO, offset: int, size: int) -> bool:
    """Return whether the checksum of an Ogg page is right (RFC 3533, 6)."""
    file.seek(offset)
    page = bytearray(file.read(size))
    wanted = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ _OGG_CRC[checksum >> 24 ^ byte]
    return checksum == wanted


def _ogg_crc_of(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1) ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value


def _flac_files(file: BinaryIO, _size: int) -> _Found:
    """Find the headers of further files."""
    parts: list[int] = []
    position = find_bytes(file, _FLAC_HEAD, 4)
    while position is not None:
        parts.append(position)
        position = find_bytes(file, _FLAC_HEAD, position + 4)
    return parts, []


def _wavpack_files(file: BinaryIO, size: int) -> _Found:
    """Find blocks whose sample number goes back, and places where no block follows."""
    parts: list[int] = []
    breaks: list[int] = []
    position, last = 0, -1
    while position <= size - _WAVPACK_HEADER_BYTES:
        file.seek(position)
        head = file.read(_WAVPACK_HEADER_BYTES)
        if not is_wavpack_header(head):
            found = next_wavpack_block(file, position)
            if found is None:
                break  # a tag ends the file
            if head[:8] != b"APETAGEX":
                breaks.append(position)
            position = found
            continue
        sample = head[10] << 32 | int.from_bytes(head[16:20], "little")
        if sample < last:
            parts.append(position)
        last = sample
        position += 8 + int.from_bytes(head[4:8], "little")
    return parts, breaks


def _matroska_files(file: BinaryIO, size: int) -> _Found:
    """Find the files that follow the segment of the first one."""
    parts: list[int] = []
    position = matroska_end(file, 0)
    while 0 < position < size:
        end = matroska_end(file, position)
        if end:
            parts.append(position)
        position = end
    return parts, []


_OGG_CRC = tuple(map(_ogg_crc_of, range(256)))
_JOINABLE: dict[str, Callable[[BinaryIO, int], _Found]] = {
    "ogg": _ogg_links,
    "flac": _flac_files,
    "wv": _wavpack_files,
    "matroska,webm": _matroska_files,
}
