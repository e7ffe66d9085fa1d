"""Where a run's files go."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Protocol

from stemline.clips import MediaFacts
from stemline.plan import StemSegment, plain_part, stem_file_name


class Namer(Protocol):
    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        """The path of one stem file without suffix. `work` is the digest of all that makes it."""
        ...


class EditNamer:
    """`DIR/stems/<stem>_<source>_<tcin>_<hash8>`: unique over the edit, and another name for another prompt."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stems"

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        return self.folder / stem_file_name(stem, segment.source, segment.range.start_sample, facts, fingerprint)


class FileNamer:
    """`DIR/<media base name>[.<in>-<out>].<stem>`. Media whose names would collide get a short hash of their path."""

    def __init__(self, folder: Path, media: Sequence[str], ranges: Mapping[str, tuple[Fraction, Fraction]]) -> None:
        self._folder = folder
        self._ranges = ranges
        bases = [plain_part(PurePath(path).stem).casefold() for path in media]
        self._colliding = {path for path, base in zip(media, bases, strict=True) if bases.count(base) > 1}

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        path = segment.source.path
        base = plain_part(PurePath(path).stem)
        if path in self._colliding:
            base += f"-{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:8]}"
        if path in self._ranges:
            start, end = self._ranges[path]
            base += f".{_seconds(start)}-{_seconds(end)}"
        return self._folder / f"{base}.{plain_part(stem)}"


def relative_to(folder: Path, path: str) -> str:
    """`path` as seen from `folder` where it lies in it."""
    place = Path(path)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)


def _seconds(value: Fraction) -> str:
    return f"{float(value):.3f}".rstrip("0").rstrip(".")
