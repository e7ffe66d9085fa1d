"""Read a stem file back: its record, and whether its audio still is what was written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemline.files import printable
from stemline.media import read_tags
from stemline.options import REQUIRE, check_choice
from stemline.trust.content_credentials import CredentialsCheck, read_credentials
from stemline.trust.signatures import SIGNATURE, SignatureCheck, check_record
from stemline.workflow.json_reader import RecordError
from stemline.workflow.record import StemRecord
from stemline.workflow.sidecars import read_sidecar_json, sidecar_of
from stemline.workflow.source_proof import SourceProof, prove_source

_STATUS_OF_SIGNATURE = {"own": "trusted", "trusted": "trusted", "unknown": "signed"}
_MADE_BY = {
    "masking": "parts of the recording; ",
    "generative": "a model, which makes sound; ",
    "algorithmic": "a method without a model; ",
}
_MATCHING = ("trusted", "valid")  # states of Content Credentials
_INTACT = ("trusted", "signed", "unchanged")
_MEETING = {"signed": ("trusted", "signed"), "trusted": ("trusted",)}


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
        signature: The check of the signature in the file's record; None where it is not signed.
        sidecar_signature: The same of the sidecar; beside a signed file, "invalid" for a sidecar that is not a record.
        credentials: The Content Credentials in or beside the file; None where there are none.
        require: What `passed` requires besides: "signed", or "trusted" for a key of this installation or a trusted one.

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
    signature: SignatureCheck | None = None
    sidecar_signature: SignatureCheck | None = None
    credentials: CredentialsCheck | None = None
    require: str | None = None

    @property
    def expected_sha256(self) -> str:
        """The SHA-256 that the record states; empty where there is none."""
        return self.record.audio_sha256 if self.record else ""

    @property
    def intact(self) -> bool:
        """Whether the audio matches its record, the record its signature if it has one, and file and sidecar agree."""
        return self.status in _INTACT

    @property
    def disagreements(self) -> tuple[str, ...]:
        """Names of the fields in which the sidecar differs from the file, and "signature" where one alone is signed.

        The signatures themselves differ, because the sidecar's record holds more; each is checked by itself.
        """
        if self.record is None or (self.sidecar is None and self.sidecar_signature is None):
            return ()
        own, beside = self.record.to_json(), self.sidecar.to_json() if self.sidecar else {}
        fields = {name for name in own.keys() & beside.keys() if own[name] != beside[name]} - {SIGNATURE}
        one, other = self.signature, self.sidecar_signature
        if (one and (one.state, one.fingerprint)) != (other and (other.state, other.fingerprint)):
            fields.add(SIGNATURE)
        return tuple(sorted(fields))

    @property
    def status(self) -> str:
        """The verdict as a word.

        "trusted" (signed by this installation or a trusted key), "signed" (by an unknown key), "unchanged" (by its own
        checksum alone; also where the signature cannot be checked or its certificate is not valid now), "changed",
        "disagreeing" or "none" (no record).
        """
        if not self.expected_sha256:
            return "none"
        state = self.signature.state if self.signature else ""
        if self.audio_sha256 != self.expected_sha256 or state == "invalid":
            return "changed"
        if self.disagreements:
            return "disagreeing"
        return _STATUS_OF_SIGNATURE.get(state, "unchanged")

    @property
    def sentence(self) -> str:
        """The verdict in one sentence. It never says more than the record proves."""
        if self.record is not None and not self.expected_sha256:
            return "The record in this file has no checksum of its audio."
        if self.rests_on_credentials:
            return "This file carries no record of Stemline. Its Content Credentials match it."
        forged = self.status == "changed" and self.audio_sha256 == self.expected_sha256
        if self.signature is not None and (self.intact or forged):
            return self.signature.sentence
        return {
            "none": "This file carries no record of Stemline.",
            "changed": "The audio was changed after it was written: it does not match the checksum in its record.",
            "disagreeing": f"The file and its sidecar disagree about {', '.join(self.disagreements)}.",
            "unchanged": "Unchanged by its own checksum, which detects damage; anybody could have written both.",
        }[self.status]

    @property
    def rests_on_credentials(self) -> bool:
        """Whether the file has no record, as a finished mix, and Content Credentials that match it."""
        return self.record is None and self.credentials is not None and self.credentials.state in _MATCHING

    @property
    def passed(self) -> bool:
        """Whether the file is intact, signed as required and, where a source was given, proven against it."""
        if self.rests_on_credentials:
            return self.require != "trusted" or (self.credentials is not None and self.credentials.state == "trusted")
        if not self.intact or not self.meets_requirement:
            return False
        proof = self.proof
        return proof is None or (proof.same_sound is not False and (proof.null is None or proof.proven))

    @property
    def meets_requirement(self) -> bool:
        """Whether the file is signed as `require` says, and no Content Credentials contradict that."""
        if self.require and self.credentials and self.credentials.state == "invalid":
            return False
        return self.status in _MEETING.get(self.require or "", _INTACT)

    @property
    def fault(self) -> str:
        """Why the file did not pass, in one sentence; empty where it did."""
        if self.passed:
            return ""
        if self.intact and not self.meets_requirement:
            if self.status in _MEETING.get(self.require or "", _INTACT) and self.credentials:
                return self.credentials.sentence
            wanted = "a trusted key" if self.require == "trusted" else "any key"
            return f"{self.sentence} A signature by {wanted} is required."
        return self.proof.sentence if self.intact and self.proof else self.sentence

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
            **({"signature": self.signature.to_json()} if self.signature else {}),
            **({"credentials": self.credentials.to_json()} if self.credentials else {}),
            **({"proof": self.proof.to_json()} if self.proof else {}),
        }

    def as_lines(self) -> list[str]:
        """Return what `stemline verify` prints. The words come from the file, so they are cut and escaped."""
        lines = [f"{self.path}: {'ok' if self.intact or self.rests_on_credentials else 'NOT OK'}. {self.sentence}"]
        record = self.record
        if record is not None:
            source, text = record.source, record.prompt.text
            made_by, job = _MADE_BY.get(record.made_by, ""), printable(record.job or "none")
            lines += [
                f"  stem       {printable(record.stem)}{f', prompt {printable(text)!r}' if text else ''}",
                f"  source     {printable(source.media) or 'not recorded'}, stream {source.stream}",
                f"  range      samples {source.range.start_sample} to {source.range.end_sample}"
                f" at {source.sample_rate} Hz",
                f"  model      {printable(record.model)} ({printable(record.weights)}), seed {record.seed}",
                f"  made by    {made_by}Stemline {printable(record.engine_version)}, job {job}",
            ]
        if self.sidecar is not None and self.sidecar.null is not None:
            lines.append(f"  null       {self.sidecar.null.dbfs:g} dBFS when it was written")
        if self.credentials is not None:
            lines.append(f"  c2pa       {self.credentials.sentence}")
            lines += [f"             they say: {self.credentials.claims}"] if self.credentials.claims else []
        if self.proof is not None:
            lines.append(f"  proof      {self.proof.sentence}")
        return lines


def verify(
    file: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None, require: str | None = None
) -> Verdict:
    """Read a stem file and its sidecar and hash the audio. Files are streamed.

    Args:
        file: The stem file.
        source: The media that it was made from: decoded again and compared with the record, and where all files of
            the set are beside the stem, with their sum. That proves the stems without any key.
        require: "signed" or "trusted": the verdict passes only with a signature of any key, or of a trusted one.

    Raises:
        MediaError: The file, or the source, is not a readable audio file.
        UsageError: `require` is another word, or the keys of this installation cannot be read.

    Examples:
        >>> import stemline
        >>> stemline.verify("interview.wav").sentence
        'This file carries no record of Stemline.'
    """
    check_choice("require", require, (None, *REQUIRE))
    path = Path(file)
    tags = read_tags(path)
    beside = read_sidecar_json(sidecar_of(path))
    bext, record, sidecar = tags.bext, _record(tags.metadata), _record(beside)
    signature = check_record(tags.metadata) if record else None
    sidecar_signature = check_record(beside) if sidecar and isinstance(beside, dict) else None
    if signature and sidecar is None and sidecar_of(path).exists():
        sidecar_signature = SignatureCheck("invalid")
    return Verdict(
        path=path,
        audio_sha256=tags.audio_sha256,
        record=record,
        proof=prove_source(path, record, source) if source is not None and record is not None else None,
        sidecar=sidecar,
        signature=signature,
        sidecar_signature=sidecar_signature,
        credentials=read_credentials(path),
        require=require,
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
