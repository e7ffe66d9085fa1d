"""Where the files of a run go: names of stem files, and the ledger that protects changed edits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path, PurePath
from typing import IO, Any, Protocol, Self

from stemline.clips import MediaFacts
from stemline.files import write_json
from stemline.locks import file_lock, lock_of, try_lock
from stemline.plan import StemSegment, plain_part, stem_file_name
from stemline_bridge import read_json_object

_LEDGER = ".stemline.json"


class Namer(Protocol):
    """Chooses the path of a stem file."""

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        """Return the path of one stem file without suffix."""
        ...


class EditNamer:
    """Names `DIR/stems/<stem>_<source>_<tcin>_<hash8>`: unique in the edit, and different for every prompt."""

    def __init__(self, folder: Path) -> None:
        """Name files in the folder `stems` of `folder`."""
        self.folder = folder / "stems"

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        """Return the path of one stem file without suffix."""
        return self.folder / stem_file_name(stem, segment.source, segment.range.start_sample, facts, fingerprint)


class FileNamer:
    """Names `DIR/<media base name>[.<in>-<out>].<stem>`. Media with the same name get a short hash of their paths."""

    def __init__(self, folder: Path, media: Sequence[str], ranges: Mapping[str, tuple[Fraction, Fraction]]) -> None:
        """Name files of `media` in `folder`; `ranges` holds the start and end of those separated in part."""
        self._folder = folder
        self._ranges = ranges
        bases = [plain_part(PurePath(path).stem).casefold() for path in media]
        self._colliding = {path for path, base in zip(media, bases, strict=True) if bases.count(base) > 1}

    def __call__(self, segment: StemSegment, facts: MediaFacts, stem: str, fingerprint: str) -> Path:
        """Return the path of one stem file without suffix."""
        path = segment.source.path
        base = plain_part(PurePath(path).stem)
        if path in self._colliding:
            base += f"-{hashlib.sha256(path.encode(errors='surrogateescape')).hexdigest()[:8]}"
        if path in self._ranges:
            start, end = self._ranges[path]
            base += f".{_seconds(start)}-{_seconds(end)}"
        return self._folder / f"{base}.{plain_part(stem)}"


def relative_to(folder: Path, path: str) -> str:
    """Return `path` relative to `folder` if it lies in it, else as it is."""
    place = Path(path)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else str(place)


def _seconds(value: Fraction) -> str:
    return f"{float(value):.3f}".rstrip("0").rstrip(".")


class OutputLedger:
    """Records, in the output folder, what each written edit was made from and its hash.

    A context manager: names that a run has reserved are free again when it ends.
    """

    def __init__(self, folder: Path) -> None:
        """Use the ledger of an output folder."""
        self._path = folder / _LEDGER
        self._folder = folder
        self._reserved: dict[Path, IO[bytes]] = {}

    def choose(self, base: str, suffix: str, recipe: str, *, overwrite: bool) -> Path:
        """Return the path to write an edit to, and reserve it for this run.

        Args:
            base: Name of the edit.
            suffix: Follows the name.
            recipe: Digest of what the edit is made from.
            overwrite: Whether any file may be replaced.

        Returns:
            `<base><suffix>`, or with -2, -3 ... before the suffix where another run has reserved the name, or where the
            file of that name is of another recipe or was changed.
        """
        known = self._read()
        number = 1
        while True:
            name = f"{base}{suffix}" if number == 1 else f"{base}-{number}{suffix}"
            path = self._folder / name
            entry = known.get(name)
            untouched = entry == {"recipe": recipe, "sha256": file_sha256(path)}
            if (overwrite or not path.exists() or untouched) and self._reserve(path):
                return path
            number += 1

    def note(self, path: Path, recipe: str) -> None:
        """Record the edit that was just written."""
        with file_lock(lock_of(self._path)):
            edits = {**self._read(), path.name: {"recipe": recipe, "sha256": file_sha256(path)}}
            write_json(self._path, edits, durable=True)

    def _reserve(self, path: Path) -> bool:
        """Return whether no other run has reserved this path. The reservation ends with the process or this ledger."""
        if path not in self._reserved:
            file = lock_of(path).open("ab")
            if not try_lock(file):
                file.close()
                return False
            self._reserved[path] = file
        return True

    def __enter__(self) -> Self:
        """Return the ledger."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release all names."""
        for file in self._reserved.values():
            file.close()
        self._reserved.clear()

    def _read(self) -> dict[str, Any]:
        return read_json_object(self._path) or {}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; empty for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
