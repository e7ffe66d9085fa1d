"""Read the metadata of a stem file and hash its audio."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from stemline.errors import Code, MediaError
from stemline.files import printable
from stemline.media.decode.container import audio_stream, open_container, stat_media, unreadable
from stemline.media.decode.packets import decoded_frames, raw_samples
from stemline.media.samples import pack_int24
from stemline.media.wave.metadata import ORIGINATOR, Bext, Ixml, decode_bext, decode_ixml, parse_time_reference
from stemline.media.wave.riff import Chunk, chunks

_HASH_BYTES = 1 << 20
_LARGEST_TAG_BYTES = 64 << 20
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class StemFile:
    """A stem file as it is on disk.

    Attributes:
        path: Path of the file.
        sample_format: Format of the samples, named as in `AudioStream`.
        sample_rate: Samples per second.
        channels: Number of channels.
        length_samples: Samples of each channel.
        bext: Content of the `bext` chunk.
        ixml: Content of the `iXML` chunk.
        audio_sha256: SHA-256 computed from the audio.
    """

    path: str
    sample_format: str
    sample_rate: int
    channels: int
    length_samples: int
    bext: Bext | None
    ixml: Ixml | None
    audio_sha256: str

    @property
    def metadata(self) -> Mapping[str, object]:
        """The JSON object that the file has under `stemline`."""
        return self.ixml.metadata if self.ixml is not None else {}


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None:
        """Add bytes."""


def read_tags(path: str | Path) -> StemFile:
    """Read the metadata of a WAVE or FLAC file, and all of its audio.

    Raises:
        MediaError: There is no file (MEDIA_MISSING), it is neither WAVE nor FLAC (MEDIA_UNREADABLE), or it is cut short
            or decodes to other samples than were written (OUTPUT_DAMAGED).
    """
    stat_media(path)
    try:
        with Path(path).open("rb") as file:
            if _is_flac(file):
                return _read_flac(path)
            return _read_wave(path, file)
    except OSError as error:
        raise MediaError(f"{printable(path)} cannot be read: {error.strerror}.") from error


def _is_flac(file: BinaryIO) -> bool:
    """Return whether a file is FLAC, also with an ID3 tag before it, as Content Credentials put one there."""
    head = file.read(10)
    if head[:3] == b"ID3" and len(head) == 10:
        file.seek(10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True)))
        head = file.read(4)
    return head[:4] == b"fLaC"


def _read_wave(path: str | Path, file: BinaryIO) -> StemFile:
    found: dict[bytes, Chunk] = {}
    for chunk in chunks(file):
        found.setdefault(chunk.name, chunk)
    if b"fmt " not in found:
        raise unreadable(path)
    fmt = _body(file, found[b"fmt "])
    if len(fmt) < 16 or b"data" not in found or found[b"data"].cut:
        raise damaged(path)
    tag, channels, sample_rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", fmt)
    if tag == _EXTENSIBLE and len(fmt) >= 26:
        tag = struct.unpack_from("<H", fmt, 24)[0]
    data = found[b"data"]
    if frame_bytes == 0 or channels == 0 or data.size % frame_bytes:
        raise damaged(path)
    sha = hashlib.sha256()
    _hash_range(file, data, sha)
    bext, ixml = found.get(b"bext"), found.get(b"iXML")
    return StemFile(
        path=str(path),
        sample_format=f"{'f' if tag == 3 else 'u' if bits == 8 else 's'}{bits}",
        sample_rate=sample_rate,
        channels=channels,
        length_samples=data.size // frame_bytes,
        bext=decode_bext(_body(file, bext)) if bext else None,
        ixml=decode_ixml(_body(file, ixml)) if ixml else None,
        audio_sha256=sha.hexdigest(),
    )


def _body(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.offset)
    return file.read(min(chunk.size, _LARGEST_TAG_BYTES))


def _hash_range(file: BinaryIO, chunk: Chunk, sha: _Hash) -> None:
    file.seek(chunk.offset)
    left = chunk.size
    while left:
        data = file.read(min(left, _HASH_BYTES))
        if not data:
            return
        sha.update(data)
        left -= len(data)


def _read_flac(path: str | Path) -> StemFile:
    """Read a FLAC file and compare its samples with their own MD5 (RFC 9639, 8.2)."""
    sha = hashlib.sha256()
    md5 = hashlib.md5(usedforsecurity=False)
    with open_container(path) as container:
        stream = audio_stream(container, 0, path)
        header = stream.codec_context.extradata or b""
        comments = {key.lower(): text for key, text in container.metadata.items()}
        length, channels, sample_rate = 0, stream.channels, stream.sample_rate
        bits = ((header[12] & 1) << 4 | header[13] >> 4) + 1 if len(header) >= 34 else 0
        if bits != 24 or header[18:34] == bytes(16):
            raise damaged(path) if not bits else unreadable(path)
        for frame in decoded_frames(path, container, stream):
            data = pack_int24(raw_samples(frame, channels).T.astype(np.int32) >> 8)
            sha.update(data)
            md5.update(data)
            length += frame.samples
    if md5.digest() != header[18:34]:
        raise damaged(path)
    return StemFile(
        path=str(path),
        sample_format="s24",
        sample_rate=sample_rate,
        channels=channels,
        length_samples=length,
        bext=_comments_bext(comments),
        ixml=decode_ixml(comments["ixml"].encode()) if "ixml" in comments else None,
        audio_sha256=sha.hexdigest(),
    )


def _comments_bext(comments: Mapping[str, str]) -> Bext | None:
    """Return the content of `bext` from Vorbis comments, where FFmpeg calls DESCRIPTION "comment"."""
    samples = parse_time_reference(comments.get("time_reference", ""))
    if samples is None:
        return None
    return Bext(
        description=comments.get("comment", ""),
        originator=ORIGINATOR,
        originator_reference=comments.get("originator_reference", ""),
        origination_date="",
        origination_time="",
        time_reference_sample=samples,
        coding_history=comments.get("coding_history", ""),
    )


def damaged(path: str | Path) -> MediaError:
    """Return the error for a stem file that differs from what was written."""
    return MediaError(
        f"{printable(path)} is damaged: it is cut short, or its audio is not what was written.",
        advice="Make it again.",
        code=Code.OUTPUT_DAMAGED,
    )
