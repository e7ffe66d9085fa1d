"""Find joined recordings: files whose clock starts over, which no seek and no length from one end can measure."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.media.decode.container import audio_stream, open_container
from stemline.media.decode.frame_decoder import LONGEST_TS_GAP_S, RESTART_S, TRANSPORT
from stemline.media.decode.packets import PacketDecoder, is_wavpack_header, next_wavpack_block
from stemline.media.decode.truncation import EBML, matroska_end

_BOS = 2
_OGG_HEADER_BYTES = 27
_WAVPACK_HEADER_BYTES = 32
_FLAC_HEAD = b"fLaC\x00\x00\x00\x22"
_LAYOUT_BYTES = {"mp1": 4, "mp2": 4, "mp2float": 4, "mp3": 4, "mp3float": 4, "ac3": 7, "aac": 4}


@dataclass(frozen=True, slots=True)
class Clock:
    """How a stream's timestamps run.

    `continuous` says that seeks can be trusted: the clock never starts over and no packet is damaged. `parts` are the
    byte offsets of the complete files that a joined file consists of, empty for one of a single part. `breaks` are
    byte offsets at which the container is broken.
    """

    continuous: bool = True
    parts: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()


def scan_clock(path: str | Path, index: int, container: str) -> Clock:
    """Scan a stream for places where its clock starts over, without decoding it.

    Only containers that may be joined by copying one file behind another are read; `container` is FFmpeg's name.
    """
    if container in (*TRANSPORT, "nut"):
        return Clock(_runs_on(path, index))
    find = _JOINABLE.get(container)
    if find is None:
        return Clock()
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        parts, breaks = find(data)
    return Clock(not parts and not breaks, (0, *parts) if parts else (), tuple(breaks))


def _runs_on(path: str | Path, index: int) -> bool:
    with open_container(path) as container:
        stream = audio_stream(container, index, path)
        ticks_per_s = 1 / (stream.time_base or Fraction(1, 90_000))
        back, ahead = int(RESTART_S * ticks_per_s), int(LONGEST_TS_GAP_S * ticks_per_s)
        last: int | None = None
        layout: int | None = None
        for packet in PacketDecoder(path, container, stream).packets():
            if packet.is_corrupt:
                return False
            if packet.pts is None:
                continue
            if last is not None and not last - back <= packet.pts <= last + ahead:
                return False
            last = packet.pts
            found = _layout_field(stream.codec_context.name, packet)
            if layout is not None and found is not None and found != layout:
                return False
            layout = layout if found is None else found
    return True


def _layout_field(codec: str, packet: object) -> int | None:
    """Return the bits of a packet's header that name its rate and channels; None where they are not understood."""
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


def _ogg_links(data: mmap.mmap) -> _Found:
    """Find the links of a chained file (RFC 3533): streams that begin after others ran."""
    parts: list[int] = []
    breaks: list[int] = []
    position, beginning = data.find(b"OggS"), True
    while 0 <= position <= len(data) - _OGG_HEADER_BYTES:
        head = data[position : position + _OGG_HEADER_BYTES]
        if head[:4] != b"OggS":
            breaks.append(position)
            position = data.find(b"OggS", position)
            continue
        starts = bool(head[5] & _BOS)
        if starts and not beginning:
            parts.append(position)
        beginning = starts
        table = data[position + _OGG_HEADER_BYTES : position + _OGG_HEADER_BYTES + head[26]]
        position += _OGG_HEADER_BYTES + len(table) + sum(table)
    return parts, breaks


def _flac_files(data: mmap.mmap) -> _Found:
    parts: list[int] = []
    position = data.find(_FLAC_HEAD, 4)
    while position >= 0:
        parts.append(position)
        position = data.find(_FLAC_HEAD, position + 4)
    return parts, []


def _wavpack_files(data: mmap.mmap) -> _Found:
    """Find blocks whose sample number starts over, and places where no block follows."""
    parts: list[int] = []
    breaks: list[int] = []
    position, last = 0, -1
    while position <= len(data) - _WAVPACK_HEADER_BYTES:
        head = data[position : position + _WAVPACK_HEADER_BYTES]
        if not is_wavpack_header(head):
            found = next_wavpack_block(data, position)
            if found is None:
                break  # a tag ends the file
            if data[position : position + 8] != b"APETAGEX":
                breaks.append(position)
            position = found
            continue
        sample = head[10] << 32 | int.from_bytes(head[16:20], "little")
        if sample < last and sample == 0:
            parts.append(position)
        last = sample
        position += 8 + int.from_bytes(head[4:8], "little")
    return parts, breaks


def _matroska_files(data: mmap.mmap) -> _Found:
    """Find the files that follow the first one's segment."""
    parts: list[int] = []
    position = matroska_end(data, 0)
    while 0 < position < len(data) and data[position : position + 4] == EBML:
        parts.append(position)
        position = matroska_end(data, position)
    return parts, []


_JOINABLE: dict[str, Callable[[mmap.mmap], _Found]] = {
    "ogg": _ogg_links,
    "flac": _flac_files,
    "wv": _wavpack_files,
    "matroska,webm": _matroska_files,
}
