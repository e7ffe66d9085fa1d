"""Prove against the source that stem files are made from it: they add up to it, sample for sample.

This is the strongest statement about a set of stems, and it needs no key: files that add up to a recording, sample
for sample, can only be made from that recording.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemline.clips import RESIDUAL, MediaSource
from stemline.errors import MediaError
from stemline.identity import digest
from stemline.media import SampleFormat, open_audio, pcm_bytes
from stemline.workflow.fileset import SetRequest, blocks, measure_null
from stemline.workflow.record import StemRecord
from stemline.workflow.results import Null
from stemline.workflow.sidecars import read_sidecar

_MOST_STEMS = 8  # their 110,000 orders take a second
_NO_SET = f"no complete set of up to {_MOST_STEMS} stems was found beside it"
_HALF_STEP = 2.0**-24 * 1.001  # of 24 bits: the null of compressed media


@dataclass(frozen=True, slots=True)
class SourceProof:
    """What the source says about a stem file.

    Attributes:
        source: The media it was compared with.
        same_sound: Whether the media holds the sound that the record names by its hash; None where the record, of an
            earlier version, names none.
        files: The set that was added up: all its stems and the residual. Empty where not all of them are there.
        null: Largest sample of source - sum(files); None without a set.
    """

    source: Path
    same_sound: bool | None
    files: tuple[Path, ...] = ()
    null: Null | None = None

    @property
    def proven(self) -> bool:
        """Whether the set adds up to the source, to within half a step of 24 bits."""
        return self.null is not None and self.null.peak <= _HALF_STEP

    @property
    def sentence(self) -> str:
        """The finding in one sentence."""
        name = self.source.name
        if self.null is not None and self.proven:
            exactly = "sample for sample" if self.null.peak == 0 else f"to {self.null.dbfs:g} dBFS"
            return f"These {len(self.files)} files add up to {name}, {exactly}."
        if self.null is not None:
            return f"The {len(self.files)} files of this set do not add up to {name} ({self.null.dbfs:g} dBFS)."
        if self.same_sound is None:
            return f"The record has no hash of its source, and {_NO_SET}: {name} proves nothing."
        if self.same_sound:
            return f"{name} holds the sound that the record names; {_NO_SET}, so no sum is proven."
        return f"{name} does not hold the sound that the record names."

    def to_json(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "source": str(self.source),
            "same_sound": self.same_sound,
            "files": [str(path) for path in self.files],
            "null": self.null.as_dict() if self.null else None,
            "proven": self.proven,
            "sentence": self.sentence,
        }


def prove_source(file: Path, record: StemRecord, source: str | os.PathLike[str]) -> SourceProof:
    """Compare a stem file and its set with the media that they were made from.

    Args:
        file: The stem file; the other files of its set are looked for beside it.
        record: Its record.
        source: The media file.

    Raises:
        MediaError: The media cannot be read, or has no such stream or channels.
    """
    path = Path(source)
    media = MediaSource(
        str(path.absolute()), record.source.stream, record.source.channels, record.settings.channels == "mono"
    )
    same = None
    if record.source.audio_sha256:
        same = _sound_hash(media, record) == record.source.audio_sha256
    files = _set_of(file, record)
    if not files:
        return SourceProof(path, same)
    float_files = any(open_format(part) is SampleFormat.WAV32F for part in files)
    request = SetRequest(media, record.source.range, {}, {}, SampleFormat.WAV24, lambda name: None)
    null = measure_null(request, list(files), SampleFormat.WAV32F if float_files else SampleFormat.WAV24)
    return SourceProof(path, same, files, null)


def open_format(file: Path) -> SampleFormat:
    """Return the sample format of a stem file. Raises MediaError."""
    with open_audio(MediaSource(str(file.absolute()))) as reader:
        return SampleFormat.WAV32F if reader.sample_format.startswith("f") else SampleFormat.WAV24


def _sound_hash(media: MediaSource, record: StemRecord) -> str:
    held = hashlib.sha256()
    with open_audio(media) as reader:
        if reader.sample_rate != record.source.sample_rate:
            raise MediaError(
                f"{Path(media.path).name} has {reader.sample_rate} Hz; the record names {record.source.sample_rate}.",
                advice="Give the media that the stems were made from.",
            )
        for span in blocks(record.source.range):
            held.update(pcm_bytes(reader.on_grid(reader.read(span.start_sample, span.end_sample))))
    return held.hexdigest()


def _set_of(file: Path, record: StemRecord) -> tuple[Path, ...]:
    """Return the files of the set that a stem file belongs to, in any order; nothing where one of them is missing.

    The key of a residual is the digest of the keys of its stems, which tells the stems of one set from those of
    others beside it.
    """
    beside = list(_records_beside(file, record))
    residuals = [(path, found) for path, found in beside if found.stem == RESIDUAL]
    stems = [(path, found) for path, found in beside if found.stem != RESIDUAL]
    for residual, residual_record in residuals:
        for chosen in _orders(stems):
            paths = (residual, *(path for path, _ in chosen))
            complete = digest([found.key for _, found in chosen]) == residual_record.key
            if complete and file.name in {path.name for path in paths}:
                return paths
    return ()


def _records_beside(file: Path, record: StemRecord) -> Iterator[tuple[Path, StemRecord]]:
    for sidecar in sorted(file.absolute().parent.glob("*.json")):
        found = read_sidecar(sidecar)
        if not isinstance(found, StemRecord) or found.file is None or found.kind != "stem":
            continue
        path = sidecar.with_name(found.file.name)
        if path.is_file() and _run_of(found) == _run_of(record):
            yield path, found


def _run_of(record: StemRecord) -> tuple[object, ...]:
    """Return what the records of all files of a set have in common."""
    source = record.source
    made_from = (source.name, source.stream, source.channels, source.range)
    return (*made_from, record.model, record.seed, record.settings)


def _orders(stems: Sequence[tuple[Path, StemRecord]]) -> Iterator[tuple[tuple[Path, StemRecord], ...]]:
    """Yield every selection of stems in every order, small ones first; of many stems only the first few are tried."""
    few = stems[:_MOST_STEMS]
    for count in range(1, len(few) + 1):
        yield from itertools.permutations(few, count)
