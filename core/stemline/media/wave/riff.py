"""The frame of WAVE files: RIFF, and RF64 (EBU Tech 3306) where sizes pass 32 bits."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import av

from stemline.media.samples import SampleFormat
from stemline_bridge.wav import EXTENSIBLE, FLOAT, PCM, RIFF_LIMIT, chunk, data_head, riff_head

__all__ = [
    "RIFF_LIMIT",
    "Chunk",
    "chunk",
    "chunks",
    "data_head",
    "fmt_body",
    "is_standard_guid",
    "riff_head",
    "speaker_mask",
]

_UNKNOWN = RIFF_LIMIT
_RIFF = (b"RIFF", b"RF64", b"BW64")
_DS64 = struct.Struct("<QQQI")
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_SPEAKERS = (  # in the bit order of WAVEFORMATEXTENSIBLE
    "FL",
    "FR",
    "FC",
    "LFE",
    "BL",
    "BR",
    "FLC",
    "FRC",
    "BC",
    "SL",
    "SR",
    "TC",
    "TFL",
    "TFC",
    "TFR",
    "TBL",
    "TBC",
    "TBR",
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk's name and where its body lies.

    A body that passes the end of the file is `cut`, unless its writer never knew its size.
    """

    name: bytes
    offset: int
    size: int
    cut: bool = False


def speaker_mask(layout: str, channels: int) -> int:
    """Return the channel mask of a layout by FFmpeg's name ("5.1": 0x3f).

    It is 0 where the layout has none, or has another number of channels.
    """
    if not layout:
        return 0
    try:
        names = [channel.name for channel in av.AudioLayout(layout).channels]
    except ValueError:
        return 0
    if len(names) != channels or any(name not in _SPEAKERS for name in names):
        return 0
    bits = [_SPEAKERS.index(name) for name in names]
    return sum(1 << bit for bit in bits) if bits == sorted(bits) else 0


def fmt_body(sample_format: SampleFormat, sample_rate: int, channels: int, layout: str) -> bytes:
    """Return the body of a `fmt ` chunk.

    Mono and stereo have the plain form that every program reads; more channels have the extensible form with a mask.
    """
    bits = 32 if sample_format.is_float else 24
    tag = FLOAT if sample_format.is_float else PCM
    frame = channels * bits // 8
    fixed = (channels, sample_rate, sample_rate * frame, frame, bits)
    if channels <= 2:
        return struct.pack("<HHIIHH", tag, *fixed) + (struct.pack("<H", 0) if sample_format.is_float else b"")
    extension = struct.pack("<HHIH", 22, bits, speaker_mask(layout, channels), tag) + _GUID_TAIL
    return struct.pack("<HHIIHH", EXTENSIBLE, *fixed) + extension


def is_standard_guid(guid: bytes) -> bool:
    """Return whether the subformat of an extensible `fmt ` chunk is a format tag in a GUID."""
    return guid[2:] == _GUID_TAIL


def chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Yield the chunks of a WAVE file in order, and those of files joined to it; nothing for another kind of file.

    No chunk reaches past the end of the file.
    """
    length = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if len(head) < 12 or head[:4] not in _RIFF or head[8:] != b"WAVE":
        return
    position, data_size = 12, None
    while position + 8 <= length:
        file.seek(position)
        name, size = struct.unpack("<4sI", file.read(8))
        if name == b"ds64" and size >= _DS64.size:
            data_size = _DS64.unpack(file.read(_DS64.size))[1] if position + 8 + _DS64.size <= length else None
        elif name == b"data" and size == _UNKNOWN and data_size is not None:
            size = data_size
        body = position + 8
        if name in _RIFF and position + 12 <= length and file.read(4) == b"WAVE":  # another file joined to this one
            position += 12
            continue
        yield Chunk(name, body, min(size, length - body), cut=size != _UNKNOWN and body + size > length)
        position = body + size + (size & 1)
