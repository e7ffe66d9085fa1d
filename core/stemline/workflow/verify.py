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
from stemline.workflow.source_proof import SourceProof, prove_source


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file as it was read.

    Attributes:
        path: The file.
        audio_sha256: SHA-256 of its audio.
        record: The record in the file; None where it holds none that Stemline wrote.
        sidecar: The record beside the file; None where there is none.
        bext: Fields of the file's BWF chunk; empty where there is none.
        proof: The comparison with the source; None where none was asked for.

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
    proof: SourceProof | None = None

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
    def status(self) -> str:
        """The verdict as a word: "unchanged", "changed", "disagreeing" or "none" (no record)."""
        if not self.expected_sha256:
            return "none"
        if self.audio_sha256 != self.expected_sha256:
            return "changed"
        return "disagreeing" if self.disagreements else "unchanged"

    @property
    def sentence(self) -> str:
        """The verdict in one sentence. It never says more than the record proves."""
        if self.record is not None and not self.expected_sha256:
            return "The record in this file has no checksum of its audio."
        return {
            "none": "This file carries no record of Stemline.",
            "changed": "The audio was changed after it was written: it does not match the checksum in its record.",
            "disagreeing": f"The file and its sidecar disagree about {', '.join(self.disagreements)}.",
            "unchanged": "Unchanged by its own checksum, which detects damage; anybody could have written both.",
        }[self.status]

    @property
    def passed(self) -> bool:
        """Whether the file is intact and, where a source was given, proven against it."""
        if self.proof is None:
            return self.intact
        return self.intact and self.proof.same_sound is not False and (self.proof.null is None or self.proof.proven)

    def as_dict(self) -> dict[str, Any]:
        """Return the result of `stemline verify --json`."""
        return {
            "file": str(self.path),
            "intact": self.intact,
            "status": self.status,
            "verdict": self.sentence,
            "audio_sha256": self.audio_sha256,
            "expected_sha256": self.expected_sha256,
            "stemline": self.record.to_json() if self.record else {},
            "bext": dict(self.bext),
            **({"proof": self.proof.to_json()} if self.proof else {}),
        }

    def as_lines(self) -> list[str]:
        """Return what `stemline verify` prints. The words come from the file, so they can be anything."""
        lines = [f"{self.path}: {'ok' if self.intact else 'NOT OK'}. {self.sentence}"]
        record = self.record
        if record is not None:
            source, text = record.source, record.prompt.text
            lines += [
                f"  stem       {record.stem}{f', prompt {text!r}' if text else ''}",
                f"  source     {source.media or 'not recorded'}, stream {source.stream}",
                f"  range      samples {source.range.start_sample} to {source.range.end_sample}"
                f" at {source.sample_rate} Hz",
                f"  model      {record.model} ({record.weights}), seed {record.seed}",
                f"  made by    Stemline {record.engine_version}, job {record.job or 'none'}",
            ]
        if self.sidecar is not None and self.sidecar.null is not None:
            lines.append(f"  null       {self.sidecar.null.dbfs:g} dBFS when it was written")
        if self.proof is not None:
            lines.append(f"  proof      {self.proof.sentence}")
        return lines


def verify(file: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None) -> Verdict:
    """Read a stem file and its sidecar and hash the audio. Files are streamed.

    Args:
        file: The stem file.
        source: The media that it was made from: decoded again and compared with the record, and where all files of
            the set are beside the stem, with their sum. That proves the stems without any key.

    Raises:
        MediaError: The file, or the source, is not a readable audio file.

    Examples:
        >>> import stemline
        >>> stemline.verify("interview.wav").sentence
        'This file carries no record of Stemline.'
    """
    path = Path(file)
    tags = read_tags(path)
    sidecar = read_sidecar(sidecar_of(path))
    bext, record = tags.bext, _record(tags.metadata)
    return Verdict(
        path=path,
        audio_sha256=tags.audio_sha256,
        record=record,
        proof=prove_source(path, record, source) if source is not None and record is not None else None,
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
