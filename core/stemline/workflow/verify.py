"""Read a stem file back: its record, and whether its audio still is what was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.media import read_tags
from stemline.workflow.record import RecordError, StemRecord
from stemline.workflow.sidecars import read_sidecar, sidecar_of


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file as it was read.

    Attributes:
        path: The file.
        audio_sha256: SHA-256 of its audio.
        record: The record in the file; None where it holds none that Stemline wrote.
        sidecar: The record beside the file; None where there is none.
        bext: Fields of the file's BWF chunk; empty where there is none.

    Examples:
        >>> import stemline
        >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> verdict = stemline.verify(result.paths["dialogue"])
        >>> verdict.intact, verdict.record.model
        (True, 'noop')
    """

    path: Path
    audio_sha256: str
    record: StemRecord | None
    sidecar: StemRecord | None
    bext: Mapping[str, Any]

    @property
    def expected_sha256(self) -> str:
        """The SHA-256 that the record states; empty where there is none."""
        return self.record.audio_sha256 if self.record else ""

    @property
    def intact(self) -> bool:
        """Whether the audio matches its record, and file and sidecar agree."""
        return bool(self.expected_sha256) and self.audio_sha256 == self.expected_sha256 and not self.disagreements

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Names of the fields in which the sidecar differs from the file."""
        if self.record is None or self.sidecar is None:
            return ()
        own, beside = self.record.to_json(), self.sidecar.to_json()
        return tuple(sorted(name for name in own.keys() & beside.keys() if own[name] != beside[name]))

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if self.record is None:
            return "This file carries no record of Stemline."
        if not self.expected_sha256:
            return "Nothing in this file says what its audio should be."
        if self.audio_sha256 != self.expected_sha256:
            return "The audio is not what was written: it was changed after Stemline made it."
        if self.disagreements:
            return f"The file and its sidecar disagree about {', '.join(self.disagreements)}."
        return "The audio is exactly what was written."

    def as_dict(self) -> dict[str, Any]:
        """Return the result of `stemline verify --json`."""
        return {
            "file": str(self.path),
            "intact": self.intact,
            "verdict": self.sentence,
            "audio_sha256": self.audio_sha256,
            "expected_sha256": self.expected_sha256,
            "stemline": self.record.to_json() if self.record else {},
            "bext": dict(self.bext),
        }

    def as_lines(self) -> list[str]:
        """Return what `stemline verify` prints. The words come from the file, so they can be anything."""
        lines = [f"{self.path}: {'ok' if self.intact else 'NOT OK'}. {self.sentence}"]
        record = self.record
        if record is not None:
            source, text = record.source, record.prompt.text
            lines += [
                f"  stem       {record.stem}{f', prompt {text!r}' if text else ''}",
                f"  source     {source.media}, stream {source.stream}",
                f"  range      samples {source.range.start_sample} to {source.range.end_sample}"
                f" at {source.sample_rate} Hz",
                f"  model      {record.model} ({record.weights}), seed {record.seed}",
                f"  made by    Stemline {record.engine_version}, job {record.job or 'none'}",
            ]
        if self.sidecar is not None and self.sidecar.null is not None:
            lines.append(f"  null       {self.sidecar.null.dbfs:g} dBFS when it was written")
        return lines


def verify(file: str | os.PathLike[str]) -> Verdict:
    """Read a stem file and its sidecar and hash the audio. The file is streamed once.

    Raises:
        MediaError: The file is not a readable audio file.

    Examples:
        >>> import stemline
        >>> stemline.verify("interview.wav").sentence
        'This file carries no record of Stemline.'
    """
    path = Path(file)
    tags = read_tags(path)
    sidecar = read_sidecar(sidecar_of(path))
    bext = tags.bext
    return Verdict(
        path=path,
        audio_sha256=tags.audio_sha256,
        record=_record(tags.metadata),
        sidecar=sidecar if isinstance(sidecar, StemRecord) else None,
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


def _record(metadata: object) -> StemRecord | None:
    try:
        return StemRecord.from_json(metadata)
    except RecordError:
        return None
