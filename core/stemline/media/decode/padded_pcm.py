"""Correct the sample size in CAF, AVI and QuickTime files whose samples FFmpeg takes for smaller than they are.

These files state the bits that carry sound, 24 for example, of samples that take 4 bytes. FFmpeg reads 3 bytes for each
and returns noise. A corrected file states 32 bits in the same place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stemline.media.decode.edit_list import box_bodies, mp4_boxes
from stemline.media.decode.spliced_file import open_spliced

_CAF_HEADER, _CAF_DESCRIPTION = struct.Struct(">4sq"), struct.Struct(">d4sIIIII")
_PCM, _EXTENSIBLE = 1, 0xFFFE
_FLOAT, _CAF_LITTLE_ENDIAN, _ALIGNED_HIGH = 1, 2, 16
_SAMPLED_BYTES = 1 << 16
_LARGEST_LIST = 4096


@dataclass(frozen=True, slots=True)
class PaddedStream:
    """A stream of PCM in samples that are larger than its valid bits.

    Attributes:
        stream: Number of the audio stream.
        valid_bits: Bits of a sample that carry sound.
        fixes: The bytes that state the size of a sample, each as (offset, bytes).
    """

    stream: int
    valid_bits: int
    fixes: tuple[tuple[int, bytes], ...]


def padded_streams(path: str | Path) -> tuple[PaddedStream, ...]:
    """Return the streams of a CAF, AVI or QuickTime file whose samples FFmpeg misreads."""
    state = Path(path).stat()
    return _padded_streams(str(path), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _padded_streams(path: str, size: int, _mtime_ns: int) -> tuple[PaddedStream, ...]:
    with Path(path).open("rb") as file:
        head = file.read(12)
        if head[:4] == b"caff":
            return tuple(_caf_stream(file, size))
        if head[:4] == b"RIFF" and head[8:] == b"AVI ":
            return tuple(_avi_streams(file, size))
        return tuple(_quicktime_streams(file, size))


def open_padded(path: str | Path) -> BinaryIO | None:
    """Open a file with padded samples as one that FFmpeg reads right; None for any other file."""
    fixes = sorted(fix for stream in padded_streams(path) for fix in stream.fixes)
    if not fixes:
        return None
    edges = [(0, b""), *fixes, (Path(path).stat().st_size, b"")]
    parts: list[bytes | tuple[int, int]] = []
    for (begin, fixed), (end, _) in pairwise(edges):
        parts += [fixed, (begin + len(fixed), end - begin - len(fixed))]
    return open_spliced(path, parts)


def _is_misread(frame_bytes: int, channels: int, bits: int) -> bool:
    """Return whether FFmpeg takes a sample of `bits` bits for smaller than it is."""
    return channels > 0 and 8 < bits < 32 and frame_bytes == 4 * channels and bits <= 24


def _is_high_aligned(words: bytes, order: str, bits: int) -> bool:
    """Return whether samples of 32 bits carry sound in their upper `bits` bits alone."""
    found = np.frombuffer(words[: len(words) // 4 * 4], f"{order}u4")
    return bool(found.any()) and not np.any(found & ((1 << (32 - bits)) - 1))


def _caf_stream(file: BinaryIO, size: int) -> Iterator[PaddedStream]:
    """Yield the stream of a CAF file (Apple Core Audio Format Specification 1.0) where its samples are padded."""
    position, description = 8, None
    while position + _CAF_HEADER.size <= size:
        file.seek(position)
        name, length = _CAF_HEADER.unpack(file.read(_CAF_HEADER.size))
        body = position + _CAF_HEADER.size
        if name == b"desc" and length >= _CAF_DESCRIPTION.size and body + length <= size:
            description = body, _CAF_DESCRIPTION.unpack(file.read(_CAF_DESCRIPTION.size))
        if name == b"data" and description is not None:
            at, (_, codec, flags, frame_bytes, frames, channels, bits) = description
            order = "<" if flags & _CAF_LITTLE_ENDIAN else ">"
            words = file.read(4 + _SAMPLED_BYTES)[4:]  # after the edit count
            padded = codec == b"lpcm" and not flags & _FLOAT and frames == 1
            if padded and _is_misread(frame_bytes, channels, bits) and _is_high_aligned(words, order, bits):
                yield PaddedStream(0, bits, ((at + _CAF_DESCRIPTION.size - 4, struct.pack(">I", 32)),))
            return
        if length < 0:
            return
        position = body + length


def _avi_streams(file: BinaryIO, size: int) -> Iterator[PaddedStream]:
    """Yield the streams of an AVI file (AVI RIFF File Reference) that are padded."""
    kinds: list[tuple[bytes, int, int]] = []
    for name, body, length in _avi_chunks(file, 12, size):
        file.seek(body)
        if name == b"strh":
            kinds.append((file.read(4), 0, 0))
        elif name == b"strf" and kinds:
            kinds[-1] = kinds[-1][0], body, length
    for number, (kind, body, length) in enumerate(kinds):
        if kind != b"auds" or length < 16:
            continue
        file.seek(body)
        fmt = file.read(min(length, 40))
        tag, channels, _, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
        extensible = tag == _EXTENSIBLE and len(fmt) == 40 and fmt[24:26] == _PCM.to_bytes(2, "little")
        valid = int.from_bytes(fmt[18:20], "little") if extensible else bits
        if not (extensible or tag == _PCM) or not _is_misread(frame_bytes, channels, valid):
            continue
        if not _is_high_aligned(_avi_samples(file, size, number), "<", valid):
            continue
        thirty_two = struct.pack("<H", 32)
        fixes = ((body + 14, thirty_two), (body + 18, thirty_two)) if extensible else ((body + 14, thirty_two),)
        audio = sum(other == b"auds" for other, _, _ in kinds[:number])
        yield PaddedStream(audio, valid, fixes)


def _avi_samples(file: BinaryIO, size: int, stream: int) -> bytes:
    """Return samples of the first chunk of a stream that is not silent."""
    wanted = b"%02dwb" % stream
    for name, body, length in _avi_chunks(file, 12, size):
        if name == wanted:
            file.seek(body)
            samples = file.read(min(length, _SAMPLED_BYTES))
            if any(samples):
                return samples
    return b""


def _avi_chunks(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, offset of the body, length) of each chunk, inside lists too."""
    while position + 8 <= end:
        file.seek(position)
        head = file.read(12)
        name, length = head[:4], int.from_bytes(head[4:8], "little")
        if name in (b"LIST", b"RIFF"):
            position += 12
            continue
        yield name, position + 8, min(length, end - position - 8)
        position += 8 + length + (length & 1)


def _quicktime_streams(file: BinaryIO, size: int) -> Iterator[PaddedStream]:
    """Yield the tracks with a sound description of version 2 (QuickTime File Format) that are padded."""
    audio = -1
    for _, begin, end in box_bodies(file, (b"moov", b"trak", b"mdia"), 0, size):
        file.seek(next((body for _, body, _ in box_bodies(file, (b"hdlr",), begin, end)), size))
        if file.read(12)[8:] != b"soun":
            continue
        audio += 1
        for _, table, stop in box_bodies(file, (b"minf", b"stbl", b"stsd"), begin, end):
            for name, entry, length in mp4_boxes(file, table + 8, min(stop, table + _LARGEST_LIST)):
                file.seek(entry)
                head = file.read(72)
                if name != b"lpcm" or length < 72 or len(head) < 72 or head[16:18] != b"\0\2":
                    continue
                channels, _, bits, flags, frame_bytes = struct.unpack_from(">5I", head, 48)
                if flags & _ALIGNED_HIGH and not flags & _FLOAT and _is_misread(frame_bytes, channels, bits):
                    yield PaddedStream(audio, bits, ((entry + 56, struct.pack(">I", 32)),))
