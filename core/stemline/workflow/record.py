"""The record of a stem file: how the stem was made, as its sidecar, its tags and the edit hold it.

A record keeps every value that it does not know, so that a file written by a later version loses nothing when an
earlier one reads and writes its record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from stemline.clips import METADATA_VERSION, SampleRange
from stemline.workflow.json_reader import Json, JsonReader, RecordError

_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class RecordedPrompt:
    """The prompt of a stem. Spans are samples of the media."""

    text: str = ""
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> RecordedPrompt:
        """Read the prompt of a record. Raises RecordError."""
        values = JsonReader(value)
        return cls(
            values.take("text", str), _spans(values.take("plus", list)), _spans(values.take("minus", list)), values.rest
        )

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {"text": self.text, "plus": _pairs(self.plus), "minus": _pairs(self.minus), **self.extra}


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """The sound that a stem was separated from. `range` is what the stem file holds of it, handles included.

    Attributes:
        media: Name of the file; with `record_paths="full"`, and in files of earlier versions, a file URL or a path
            relative to the edit; empty with "omit".
        stream: Audio stream of the file, counted from 0.
        channels: Channels of the stream.
        range: What the stem file holds of the sound.
        sample_rate: Samples per second.
        audio_sha256: SHA-256 of that sound as interleaved little-endian float32 samples on the 24-bit grid; empty in
            files of earlier versions.
    """

    media: str
    stream: int
    channels: tuple[int, ...]
    range: SampleRange
    sample_rate: int
    audio_sha256: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the media file; empty where the record leaves it out."""
        path = unquote(urlsplit(self.media).path, errors="surrogateescape") if "://" in self.media else self.media
        return PurePosixPath(path).name

    @classmethod
    def from_json(cls, value: object) -> RecordedSource:
        """Read the source of a record. Raises RecordError."""
        values = JsonReader(value)
        return cls(
            media=values.take("media", str),
            stream=values.take("stream", int),
            channels=_whole_numbers(values.take("channels", list)),
            range=SampleRange(values.take("start_sample", int), values.take("end_sample", int)),
            sample_rate=values.take("sample_rate", int),
            audio_sha256=values.take("audio_sha256", str, ""),
            extra=values.rest,
        )

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {
            "media": self.media,
            "stream": self.stream,
            "channels": list(self.channels),
            "start_sample": self.range.start_sample,
            "end_sample": self.range.end_sample,
            "sample_rate": self.sample_rate,
            **({"audio_sha256": self.audio_sha256} if self.audio_sha256 else {}),
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class RecordedSettings:
    """The settings of a separation that its key covers."""

    channels: str
    quality: str
    chain: bool
    pipeline_version: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> RecordedSettings:
        """Read the settings of a record. Raises RecordError."""
        values = JsonReader(value)
        return cls(
            channels=values.take("channels", str),
            quality=values.take("quality", str),
            chain=values.take("chain", bool),
            pipeline_version=values.take("pipeline_version", int),
            extra=values.rest,
        )

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {
            "channels": self.channels,
            "quality": self.quality,
            "chain": self.chain,
            "pipeline_version": self.pipeline_version,
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class RecordedNull:
    """The null of a set of stems: the largest absolute sample of mix - sum(files), and the same in dBFS."""

    peak: float
    dbfs: float
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> RecordedNull:
        """Read the null of a record. Raises RecordError."""
        values = JsonReader(value)
        return cls(values.take_float("peak"), values.take_float("dbfs"), values.rest)

    def to_json(self) -> Json:
        """Return the JSON form."""
        return {"peak": self.peak, "dbfs": self.dbfs, **self.extra}


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """The part of a record that a sidecar alone holds: the finished file, and what the engine found.

    Attributes:
        fingerprint: Digest that names the file: its key, the range it holds, and its format.
        extent: The range of the media that the job separated.
        cell_samples: Length of the cells that the extent was cut into, each a job of its own; 0 if it was undivided.
        name: Name of the file in the folder of the sidecar.
        size_bytes: Size of the whole file.
        sample_format: "wav24", "wav32f" or "flac".
        found: Whether the engine found the sound. False for the residual.
        confidence: 0 to 1.
        matched: The name that the engine took the words for.
        notes: Further values of the engine, such as the message of a watermark.
        warnings: Each with a `code` and a `message`.
        credentials: "embedded" or "sidecar" for a file with Content Credentials; else empty.
        waveform: Largest absolute sample of each column of a picture, in thousandths of full scale.
        mix_waveform: The same of the media; empty unless the stem is the residual.
    """

    fingerprint: str
    extent: SampleRange
    name: str
    size_bytes: int
    sample_format: str
    found: bool = False
    confidence: float = 0.0
    matched: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[Mapping[str, Any], ...] = ()
    credentials: str = ""
    waveform: tuple[int, ...] = ()
    mix_waveform: tuple[int, ...] = ()
    cell_samples: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> Json:
        """Return the JSON form of these values, which a record holds beside the others."""
        return {
            "work": self.fingerprint,
            "extent": [self.extent.start_sample, self.extent.end_sample],
            **({"cell_samples": self.cell_samples} if self.cell_samples else {}),
            "file": {
                "name": self.name,
                "bytes": self.size_bytes,
                "format": self.sample_format,
                **({"c2pa": self.credentials} if self.credentials else {}),
                **self.extra,
            },
            "found": self.found,
            "confidence": self.confidence,
            "matched": self.matched,
            "notes": dict(self.notes),
            "warnings": [dict(warning) for warning in self.warnings],
            "waveform": list(self.waveform),
            "mix_waveform": list(self.mix_waveform),
        }


@dataclass(frozen=True, slots=True)
class StemRecord:
    """How one stem file was made.

    Attributes:
        stem: Name of the stem; "residual" for what remains of the media.
        prompt: What the stem was separated by; empty for the residual.
        job: Name of the job on the server; empty where none was needed.
        key: The stem key: a digest of everything that changes the separation.
        source: The sound it was taken from.
        model: Id of the model.
        weights: Digest of the model's weights and code.
        seed: Seed of the separation.
        settings: Settings that change the separation.
        engine_version: Version of Stemline.
        handle_samples: Samples before and after the range that clips use.
        pad_samples: Samples of the file past the end of the media.
        null: The null measured on the written files; None in the tags of the file, which are written before.
        audio_sha256: SHA-256 of the audio alone; empty until the file is written.
        file: The finished file; None outside a sidecar.
        kind: "stem", or "remix" or "fill" for a sound made from finished stems. Those are not part of the null.
        made_by: How its sound arose: "masking" (parts of the recording), "generative" (made by a model) or
            "algorithmic" (made by a method without training); empty where it is not known, as in earlier files.
        version: Version of the JSON form.
        signature: Signature of the other values, with the certificates of its key; None where there is none.
        extra: Values that this version does not know.

    Examples:
        >>> import stemline
        >>> result = stemline.separate("interview.wav", {"dialogue": "speech"}, output="out")
        >>> record = stemline.verify(result.paths["dialogue"]).record
        >>> record.stem, record.prompt.text, record.source.sample_rate
        ('dialogue', 'speech', 24000)
    """

    stem: str
    prompt: RecordedPrompt
    job: str
    key: str
    source: RecordedSource
    model: str
    weights: str
    seed: int
    settings: RecordedSettings
    engine_version: str
    handle_samples: tuple[int, int]
    pad_samples: int
    null: RecordedNull | None = None
    audio_sha256: str = ""
    file: RecordedFile | None = None
    kind: str = "stem"
    made_by: str = ""
    version: int = METADATA_VERSION
    signature: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> StemRecord:
        """Read a record from its JSON form, which may come from anywhere.

        Raises:
            RecordError: A value that every record has is missing, one is of another type, or values are nested deeply.
        """
        values = JsonReader(value)
        if _is_deep(value):
            raise RecordError("The values of a record are not nested deeply.")
        return cls(
            version=values.take("version", int),
            stem=values.take("stem", str),
            prompt=RecordedPrompt.from_json(values.take("prompt", dict)),
            job=values.take("job", str),
            key=values.take("key", str),
            source=RecordedSource.from_json(values.take("source", dict)),
            model=values.take("model", str),
            weights=values.take("weights", str),
            seed=values.take("seed", int),
            settings=RecordedSettings.from_json(values.take("settings", dict)),
            engine_version=values.take("engine_version", str),
            handle_samples=_pair(values.take("handle_samples", list)),
            pad_samples=values.take("pad_samples", int),
            null=RecordedNull.from_json(values.take("null", dict)) if "null" in values.rest else None,
            audio_sha256=values.take("audio_sha256", str, ""),
            file=_file(values) if "file" in values.rest else None,
            kind=values.take("kind", str, "stem"),
            made_by=values.take("made_by", str, ""),
            signature=values.take("signature", dict) if "signature" in values.rest else None,
            extra=values.rest,
        )

    def to_json(self) -> Json:
        """Return the JSON form of all that is known, in the order of the fields."""
        signature = {"signature": dict(self.signature)} if self.signature is not None else {}
        return {**self.clip_json(), **(self.file.to_json() if self.file else {}), **self.extra, **signature}

    def clip_json(self) -> Json:
        """Return the JSON form without signature and what belongs to the sidecar: what a clip of an edit carries."""
        return {
            "version": self.version,
            "stem": self.stem,
            "prompt": self.prompt.to_json(),
            "job": self.job,
            "key": self.key,
            "source": self.source.to_json(),
            "model": self.model,
            "weights": self.weights,
            "seed": self.seed,
            "settings": self.settings.to_json(),
            "engine_version": self.engine_version,
            "handle_samples": list(self.handle_samples),
            "pad_samples": self.pad_samples,
            **({"null": self.null.to_json()} if self.null else {}),
            **({"audio_sha256": self.audio_sha256} if self.audio_sha256 else {}),
            **({"kind": self.kind} if self.kind != "stem" else {}),
            **({"made_by": self.made_by} if self.made_by else {}),
        }


def _is_deep(value: object) -> bool:
    """Return whether a JSON value is nested deeper than any record: to write or compare it could fail."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            part
            for held in level
            if isinstance(held, dict | list)
            for part in (held.values() if isinstance(held, dict) else held)
        ]
    return bool(level)


def _file(values: JsonReader) -> RecordedFile:
    file = JsonReader(values.take("file", dict))
    name = file.take("name", str)
    if name in ("", ".", "..") or "/" in name or "\\" in name:
        raise RecordError("'name' is not the name of a file.")
    warnings = values.take("warnings", list, [])
    if not all(isinstance(w, dict) and all(isinstance(w.get(k), str) for k in ("code", "message")) for w in warnings):
        raise RecordError("'warnings' has an entry without a code and a message.")
    return RecordedFile(
        fingerprint=values.take("work", str),
        extent=SampleRange(*_pair(values.take("extent", list))),
        name=name,
        size_bytes=file.take("bytes", int),
        sample_format=file.take("format", str),
        credentials=file.take("c2pa", str, ""),
        found=values.take("found", bool),
        confidence=values.take_float("confidence"),
        matched=values.take("matched", str),
        notes=values.take("notes", dict, {}),
        warnings=tuple(warnings),
        waveform=_whole_numbers(values.take("waveform", list)),
        mix_waveform=_whole_numbers(values.take("mix_waveform", list)),
        cell_samples=values.take("cell_samples", int, 0),
        extra=file.rest,
    )


def _whole_numbers(values: list[Any]) -> tuple[int, ...]:
    if not set(map(type, values)) <= {int}:
        raise RecordError("A list of whole numbers holds something else.")
    return tuple(values)


def _pair(values: list[Any]) -> tuple[int, int]:
    if len(values) != 2:
        raise RecordError("A pair of whole numbers is expected.")
    first, last = _whole_numbers(values)
    return first, last


def _spans(values: list[Any]) -> tuple[SampleRange, ...]:
    if not all(isinstance(value, list) for value in values):
        raise RecordError("A span is a pair of whole numbers.")
    return tuple(SampleRange(*_pair(value)) for value in values)


def _pairs(spans: tuple[SampleRange, ...]) -> list[list[int]]:
    return [[span.start_sample, span.end_sample] for span in spans]
