"""The metadata of stem files: tags, and the `bext` and `iXML` chunks that hold them."""

from __future__ import annotations

import json
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

_FIXED = struct.Struct("<256s32s32s10s8sQH64s190s")
ORIGINATOR = "Stemline"
MIDNIGHT_LIMIT = 1 << 64
_LIKELY_LIMIT = 1 << 53
_NOT_XML = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
BLOCK = "STEMLINE"


@dataclass(frozen=True, slots=True)
class StemTags:
    """Metadata of a stem file, written to `bext` and `iXML`, in FLAC to Vorbis comments.

    Attributes:
        description: Text for people.
        reference: Name of the job, cut to 32 characters in `bext`.
        time_reference_sample: Source timecode of the first sample, in samples since midnight.
        coding_history: Earlier lines of the coding history (EBU R98).
        project: Name of the edit.
        scene: Scene of the take.
        take: Number of the take.
        note: Remark for editors.
        track_names: Name of each channel.
        frame_rate: Frames per second of the timecode.
        drop_frame: Whether timecode labels are drop frame.
        created: When the file was made.
        metadata: The JSON object that other formats have under the key `stemline`.
        stamp_source: Whether the writer adds `audio_sha256` to the metadata's `source`.
        sign: Returns the final metadata with a `signature`, whose `value` always has the same length; None leaves it
            unsigned.
    """

    description: str = ""
    reference: str = ""
    time_reference_sample: int = 0
    coding_history: str = ""
    project: str = ""
    scene: str = ""
    take: str = ""
    note: str = ""
    track_names: tuple[str, ...] = ()
    frame_rate: Fraction | None = None
    drop_frame: bool = False
    created: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    stamp_source: bool = False
    sign: Callable[[Mapping[str, object]], Mapping[str, object]] | None = None


@dataclass(frozen=True, slots=True)
class Bext:
    """Content of a `bext` chunk. `time_reference_sample` counts samples since midnight."""

    description: str
    originator: str
    originator_reference: str
    origination_date: str
    origination_time: str
    time_reference_sample: int
    coding_history: str


def parse_time_reference(text: str) -> int | None:
    """Parse a time reference in decimal digits; None for text that is not one, or names centuries of samples."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        return None
    samples = int(text)
    return samples if samples < _LIKELY_LIMIT else None


def encode_bext(tags: StemTags, coding_history: str) -> bytes:
    """Encode the body of a `bext` chunk (EBU Tech 3285, version 1).

    Text that is too long is cut, and characters outside ASCII are replaced; `iXML` has the exact text.
    """
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
    """Decode the body of a `bext` chunk of any version; None where it is too short to be one."""
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


@dataclass(frozen=True, slots=True)
class Ixml:
    """Content of an `iXML` chunk. `metadata` is Stemline's JSON object, empty in files that others wrote."""

    project: str
    scene: str
    take: str
    note: str
    track_names: tuple[str, ...]
    metadata: Mapping[str, object]


def encode_ixml(tags: StemTags, sample_rate: int, channels: int, metadata: Mapping[str, object]) -> bytes:
    """Encode an `iXML` document (ixml.info, version 1.61) as UTF-8.

    Characters that XML cannot hold are left out of the fields; the JSON has them escaped.
    """
    root = ET.Element("BWFXML")
    _add(root, "IXML_VERSION", "1.61")
    for name, text in (("PROJECT", tags.project), ("SCENE", tags.scene), ("TAKE", tags.take), ("NOTE", tags.note)):
        _add(root, name, text)
    _add_speed(root, tags, sample_rate)
    bext = ET.SubElement(root, "BEXT")
    _add(bext, "BWF_DESCRIPTION", tags.description)
    _add(bext, "BWF_ORIGINATOR_REFERENCE", tags.reference)
    _add(bext, "BWF_TIME_REFERENCE_LOW", str(tags.time_reference_sample & 0xFFFFFFFF))
    _add(bext, "BWF_TIME_REFERENCE_HIGH", str(tags.time_reference_sample >> 32))
    tracks = ET.SubElement(root, "TRACK_LIST")
    _add(tracks, "TRACK_COUNT", str(channels))
    for number in range(channels):
        track = ET.SubElement(tracks, "TRACK")
        _add(track, "CHANNEL_INDEX", str(number + 1))
        _add(track, "INTERLEAVE_INDEX", str(number + 1))
        _add(track, "NAME", tags.track_names[number] if number < len(tags.track_names) else "")
    _add(ET.SubElement(root, "USER"), BLOCK, json.dumps(metadata, sort_keys=True, ensure_ascii=True))
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def _add_speed(root: ET.Element, tags: StemTags, sample_rate: int) -> None:
    speed = ET.SubElement(root, "SPEED")
    if tags.frame_rate is not None:
        rate = Fraction(tags.frame_rate)
        _add(speed, "TIMECODE_RATE", f"{rate.numerator}/{rate.denominator}")
        _add(speed, "TIMECODE_FLAG", "DF" if tags.drop_frame else "NDF")
    _add(speed, "FILE_SAMPLE_RATE", str(sample_rate))
    _add(speed, "TIMESTAMP_SAMPLE_RATE", str(sample_rate))
    _add(speed, "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO", str(tags.time_reference_sample & 0xFFFFFFFF))
    _add(speed, "TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI", str(tags.time_reference_sample >> 32))


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = _NOT_XML.sub("", text)


def decode_ixml(body: bytes) -> Ixml | None:
    """Decode an `iXML` document; None where it is not XML or has a document type.

    Entities are never expanded.
    """
    try:
        text = body.rstrip(b"\0 \r\n").decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            return None
        root = ET.fromstring(text)  # noqa: S314 - no document type gets here, so nothing can be expanded
    except (ET.ParseError, ValueError, LookupError):
        return None
    return Ixml(
        project=_field(root, "PROJECT"),
        scene=_field(root, "SCENE"),
        take=_field(root, "TAKE"),
        note=_field(root, "NOTE"),
        track_names=tuple(track.findtext("NAME") or "" for track in root.iterfind("TRACK_LIST/TRACK")),
        metadata=_json(_field(root, f"USER/{BLOCK}")),
    )


def _field(root: ET.Element, path: str) -> str:
    return root.findtext(path) or ""


def _json(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
