"""The `bext` chunk of Broadcast Wave (EBU Tech 3285, version 1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from stemline.media.wave.tags import StemTags

_FIXED = struct.Struct("<256s32s32s10s8sQH64s190s")
ORIGINATOR = "Stemline"
MIDNIGHT_LIMIT = 1 << 64
_LIKELY_LIMIT = 1 << 53


@dataclass(frozen=True, slots=True)
class Bext:
    """What a `bext` chunk says. `time_reference_sample` counts samples since midnight."""

    description: str
    originator: str
    originator_reference: str
    origination_date: str
    origination_time: str
    time_reference_sample: int
    coding_history: str


def parse_time_reference(text: str) -> int | None:
    """A time reference written in decimal digits; None for what is none, or is centuries of samples."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    samples = int(text)
    return samples if samples < _LIKELY_LIMIT else None


def encode_bext(tags: StemTags, coding_history: str) -> bytes:
    """The chunk's body. Text that is too long is cut, what is not ASCII is replaced: the exact text is in `iXML`."""
    date = tags.created.strftime("%Y-%m-%d") if tags.created else ""
    time = tags.created.strftime("%H:%M:%S") if tags.created else ""
    if not 0 <= tags.time_reference_sample < MIDNIGHT_LIMIT:
        raise ValueError(f"a time reference cannot be {tags.time_reference_sample} samples")
    fixed = _FIXED.pack(
        _ascii(tags.description, 256),
        _ascii(ORIGINATOR, 32),
        _ascii(tags.reference, 32),
        _ascii(date, 10),
        _ascii(time, 8),
        tags.time_reference_sample,
        1,
        bytes(64),
        bytes(190),
    )
    return fixed + _ascii(coding_history.rstrip("\r\n") + "\r\n", 65_536, keep_lines=True)


def decode_bext(body: bytes) -> Bext | None:
    """Reads the chunk's body of any version; None where it is too short to be one."""
    if len(body) < _FIXED.size:
        return None
    description, originator, reference, date, time, samples, _, _, _ = _FIXED.unpack_from(body)
    return Bext(
        _text(description),
        _text(originator),
        _text(reference),
        _text(date),
        _text(time),
        samples,
        _text(body[_FIXED.size :]),
    )


def _ascii(text: str, limit: int, *, keep_lines: bool = False) -> bytes:
    kept = "".join(c if c.isprintable() or (keep_lines and c in "\r\n") else " " for c in text)
    return kept.encode("ascii", "replace")[:limit]


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
