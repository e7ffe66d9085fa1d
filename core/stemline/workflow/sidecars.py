"""Read the sidecars of stem files: finished records, and marks of files that are being written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stemline.workflow.record import Json, JsonReader, RecordError, StemRecord


@dataclass(frozen=True, slots=True)
class WritingMark:
    """The sidecar of a file that is not finished, or whose record is damaged.

    Attributes:
        fingerprint: Names the file that it is going to be.
        process: Id of the process that writes it; 0 where there is none.
    """

    fingerprint: str
    process: int

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {"work": self.fingerprint, "state": "writing", "process": self.process}


def sidecar_of(sound: Path) -> Path:
    """Return the path of the sidecar of a stem file."""
    return sidecar_path(sound.with_suffix(""))


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar for the path of a stem without its suffix."""
    return path.with_name(f"{path.name}.json")


def read_sidecar(path: Path) -> StemRecord | WritingMark | None:
    """Read a sidecar; None where there is none that Stemline wrote."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    try:
        return StemRecord.from_json(value)
    except RecordError:
        return _mark(value)


def _mark(value: object) -> WritingMark | None:
    """Read a mark, or the fingerprint of a damaged record."""
    try:
        values = JsonReader(value)
        return WritingMark(values.take("work", str), values.take("process", int, 0))
    except RecordError:
        return None
