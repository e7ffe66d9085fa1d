"""Where the files of a run go: names of stem files, and the ledger that protects changed edits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import IO, Any, Protocol, Self

from stemline.clips import MediaFacts
from stemline.files import write_json
from stemline.locks import file_lock, lock_of, try_lock
from stemline.plan import StemSegment, plain_part, stem_file_name

_LEDGER = ".stemline.json"


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


class OutputLedger:
    """Remembers, in the output folder, what each written edit was made from and what it looked like."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LEDGER
        self._folder = folder
        self._kept: dict[Path, IO[bytes]] = {}

    def choose(self, base: str, suffix: str, recipe: str, *, overwrite: bool) -> Path:
        """`<base><suffix>`, or with -2, -3 ... before the suffix where a file stands that is not this recipe's own,
        untouched, or where another run is to write. It is kept for this run from here on.
        """
        known = self._read()
        number = 1
        while True:
            name = f"{base}{suffix}" if number == 1 else f"{base}-{number}{suffix}"
            path = self._folder / name
            entry = known.get(name)
            untouched = entry == {"recipe": recipe, "sha256": _sha256(path)}
            if (overwrite or not path.exists() or untouched) and self._keep(path):
                return path
            number += 1

    def note(self, path: Path, recipe: str) -> None:
        """What was just written."""
        with file_lock(lock_of(self._path)):
            write_json(self._path, {**self._read(), path.name: {"recipe": recipe, "sha256": _sha256(path)}})

    def _keep(self, path: Path) -> bool:
        """Whether no other run has kept this path; it lasts as long as the process or this ledger."""
        if path not in self._kept:
            file = lock_of(path).open("ab")
            if not try_lock(file):
                file.close()
                return False
            self._kept[path] = file
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Others may have the names again."""
        for file in self._kept.values():
            file.close()
        self._kept.clear()

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
