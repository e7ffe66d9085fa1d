"""Read the sidecars of stem files: finished records, and marks of files that are being written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stemline.workflow.json_reader import Json, JsonReader, RecordError
from stemline.workflow.record import StemRecord
from stemline_bridge import read_json_object

_LARGEST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class WritingMark:
    """The sidecar of a file that is not finished, or whose record is damaged.

    Attributes:
        fingerprint: Names the file that it is going to be.
        process: Id of the process that writes it; 0 where there is none.
        in_cells: Whether its stems are joined from cells.
    """

    fingerprint: str
    process: int
    in_cells: bool = False

    def to_json(self) -> Json:
        """Return the JSON form."""
        cells = {"in_cells": True} if self.in_cells else {}
        return {"work": self.fingerprint, "state": "writing", "process": self.process, **cells}


def sidecar_of(sound: Path) -> Path:
    """Return the path of the sidecar of a stem file."""
    return sidecar_path(sound.with_suffix(""))


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar for the path of a stem without its suffix."""
    return path.with_name(f"{path.name}.json")


def read_sidecar_json(path: Path) -> object:
    """Read the JSON of a sidecar as it is; None where there is none, or it is larger than any record."""
    return read_json_object(path, _LARGEST_BYTES)


def read_sidecar(path: Path) -> StemRecord | WritingMark | None:
    """Read a sidecar; None where there is none that Stemline wrote."""
    value = read_sidecar_json(path)
    try:
        return StemRecord.from_json(value)
    except RecordError:
        return _mark(value)


def _mark(value: object) -> WritingMark | None:
    """Read a mark, or the fingerprint of a damaged record."""
    try:
        values = JsonReader(value)
        return WritingMark(
            values.take("work", str), values.take("process", int, 0), values.take("in_cells", bool, False)
        )
    except RecordError:
        return None
