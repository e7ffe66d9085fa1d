"""Where Content Credentials are: in the file where its format holds them, else in a sidecar `.c2pa`."""

from __future__ import annotations

from pathlib import Path

from stemline.media.wave.riff import chunks

LARGEST_BYTES = 512 << 20
"""Largest file that gets credentials: the library takes about three times as much memory."""
SIDECAR_BYTES = 64 << 20
SIDECAR_TYPE = "application/octet-stream"
_HEAD_BYTES = 1 << 20
_MARKS = (b"c2pa", b"C2PA", b"dcterms:provenance")
_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
}


def media_type(file: Path) -> str:
    """Return the type of a file that can hold a manifest; SIDECAR_TYPE for any other, such as RF64 named .wav."""
    kind = _TYPES.get(file.suffix.lower(), SIDECAR_TYPE)
    if kind != "audio/wav":
        return kind
    try:
        with file.open("rb") as stream:
            return kind if stream.read(4) == b"RIFF" else SIDECAR_TYPE
    except OSError:
        return SIDECAR_TYPE


def sidecar_of(file: Path) -> Path:
    """Return the path of a manifest beside a file, where other programs look for it too."""
    return file.with_suffix(".c2pa")


def may_hold_manifest(file: Path) -> bool:
    """Return whether it is worth asking the library: a manifest is beside the file, or something like one in it."""
    if sidecar_of(file).is_file():
        return True
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
            if head[:4] == b"RIFF":
                return any(chunk.name in (b"C2PA", b"XMP ", b"_PMX") for chunk in chunks(stream))
    except OSError:
        return False
    return any(mark in head for mark in _MARKS)
