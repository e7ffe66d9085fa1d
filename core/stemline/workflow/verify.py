"""Reads a stem file back: what it says of its making, and whether its audio still is what was written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.media import read_tags
from stemline.workflow.record import sidecar_of


@dataclass(frozen=True, slots=True)
class Verified:
    """One file as found. `record` is the metadata that the file itself carries, `sidecar` that beside it: each empty
    where there is none, or one that Stemline cannot have written."""

    path: Path
    audio_sha256: str
    expected_sha256: str
    record: Mapping[str, Any]
    sidecar: Mapping[str, Any]
    bext: Mapping[str, Any]

    @property
    def ours(self) -> bool:
        return bool(self.record)

    @property
    def intact(self) -> bool:
        """Whether the audio is proven to be what was written, and file and sidecar tell the same story."""
        return bool(self.expected_sha256) and self.audio_sha256 == self.expected_sha256 and not self.disagreements

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Fields in which the sidecar says something else than the file."""
        both = self.record.keys() & self.sidecar.keys()
        return tuple(sorted(key for key in both if self.sidecar[key] != self.record[key]))

    @property
    def sentence(self) -> str:
        if not self.ours:
            return "This file carries no record of Stemline."
        if not self.expected_sha256:
            return "Nothing in this file says what its audio should be."
        if self.audio_sha256 != self.expected_sha256:
            return "The audio is not what was written: it was changed after Stemline made it."
        if self.disagreements:
            return f"The file and its sidecar disagree about {', '.join(self.disagreements)}."
        return "The audio is exactly what was written."

    def as_dict(self) -> dict[str, Any]:
        return {
            "file": str(self.path),
            "intact": self.intact,
            "verdict": self.sentence,
            "audio_sha256": self.audio_sha256,
            "expected_sha256": self.expected_sha256,
            "stemline": dict(self.record),
            "bext": dict(self.bext),
        }

    def as_lines(self) -> list[str]:
        """What `stemline verify` prints. The words are the file's own: whoever wrote it chose them."""
        lines = [f"{self.path}: {'ok' if self.intact else 'NOT OK'}. {self.sentence}"]
        if self.record:
            source, prompt = self.record.get("source", {}), self.record.get("prompt", {})
            words = f", prompt {prompt['text']!r}" if prompt.get("text") else ""
            lines += [
                f"  stem       {self.record.get('stem')}{words}",
                f"  source     {source.get('media')}, stream {source.get('stream')}",
                f"  range      samples {source.get('start_sample')} to {source.get('end_sample')}"
                f" at {source.get('sample_rate')} Hz",
                f"  model      {self.record.get('model')} ({self.record.get('weights')}),"
                f" seed {self.record.get('seed')}",
                f"  made by    Stemline {self.record.get('engine_version')}, job {self.record.get('job') or 'none'}",
            ]
        if "null" in self.sidecar:
            lines.append(f"  null       {self.sidecar['null']['dbfs']:g} dBFS when it was written")
        return lines


def verify_file(path: str | Path) -> Verified:
    """Streams the file once. Raises MediaError when it is no readable audio file."""
    path = Path(path)
    tags = read_tags(path)
    record, sidecar = _own(tags.metadata), _sidecar(path)
    bext = tags.bext
    return Verified(
        path=path,
        audio_sha256=tags.audio_sha256,
        expected_sha256=str(record.get("audio_sha256", "")),
        record=record,
        sidecar=sidecar,
        bext={
            "description": bext.description,
            "originator": bext.originator,
            "originator_reference": bext.originator_reference,
            "time_reference_sample": bext.time_reference_sample,
            "coding_history": bext.coding_history,
        }
        if bext
        else {},
    )


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(sidecar_of(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return _own(record)


def _own(record: object) -> dict[str, Any]:
    """The record, if it has the shape of Stemline's; else an empty one. A file can hold anything."""
    if not isinstance(record, Mapping):
        return {}
    null = record.get("null", {"dbfs": 0.0})
    parts = (record.get("source", {}), record.get("prompt", {}), null)
    shaped = all(isinstance(part, dict) for part in parts) and isinstance(null.get("dbfs"), float)
    return dict(record) if shaped else {}
