"""Values of the client, so that no gRPC type is used outside it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from google.protobuf.timestamp_pb2 import Timestamp

from stemline.clips import SampleRange
from stemline.error_table import error_for
from stemline.errors import StemlineError
from stemline.prompts import SamplePrompt
from stemline.v1 import media_pb2, models_pb2, separation_pb2

Progress = Callable[[int, int], None]
"""Called with (finished samples, all samples) from any thread."""


class JobState(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job can no longer change."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


_STATES = {
    separation_pb2.STATE_QUEUED: JobState.QUEUED,
    separation_pb2.STATE_RUNNING: JobState.RUNNING,
    separation_pb2.STATE_SUCCEEDED: JobState.SUCCEEDED,
    separation_pb2.STATE_FAILED: JobState.FAILED,
    separation_pb2.STATE_CANCELLING: JobState.CANCELLING,
    separation_pb2.STATE_CANCELLED: JobState.CANCELLED,
}
_STATE_NUMBERS = {state: number for number, state in _STATES.items()}

_CHANNELS = {
    "": separation_pb2.CHANNEL_POLICY_UNSPECIFIED,
    "linked": separation_pb2.CHANNEL_POLICY_LINKED,
    "each": separation_pb2.CHANNEL_POLICY_EACH,
}
_CHANNEL_NAMES = {number: name for name, number in _CHANNELS.items()}


@dataclass(frozen=True, slots=True)
class Media:
    """A sound that the server holds.

    Attributes:
        name: "media/<sha256>" of its samples.
        sample_rate: Sample rate in Hz.
        channels: Number of channels.
        length_samples: Length in samples.
        local_path: The server's file, where client and server share a disk; else empty.
    """

    name: str
    sample_rate: int
    channels: int
    length_samples: int
    local_path: str = ""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """One extent of sound and one prompt.

    The same `request_id` asks for the same job again; after a failure or a cancel, that starts a new attempt.

    Attributes:
        media: Name of the media.
        prompt: What to separate. Spans are samples of the media.
        model: Id of the model; empty for the server's default.
        seed: Seed of the separation.
        channels: "linked" or "each".
        quality: "fast", "standard" or "best"; empty for the server's default.
        subtract: Names of media to subtract first: the stems that come before in a chain.
        origin_sample: Position of the media's first sample in the file.
        batch_id: Groups jobs.
        priority: Jobs of a higher priority run first.
        reason: Why the user needs it; a policy of the server may ask for it. Only the server's log stores it.
        request_id: Identifies the request.
    """

    media: str
    prompt: SamplePrompt
    model: str = ""
    seed: int = 0
    channels: str = "linked"
    quality: str = ""
    subtract: tuple[str, ...] = ()
    origin_sample: int = 0
    batch_id: str = ""
    priority: int = 0
    reason: str = ""
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True)
class JobWarning:
    """A warning about a stem."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stem:
    """The result of a job.

    Attributes:
        media: Name of the stem's sound; as long as the job's media, with the same channels.
        found: Whether the sound was found; if not, the stem is silent.
        confidence: 0 to 1.
        matched: The name that the engine took the words for.
        warnings: Warnings of the engine.
        notes: Further values for the record of the stem.
    """

    media: str
    found: bool
    confidence: float
    matched: str
    warnings: tuple[JobWarning, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why a job failed: a stable reason, one sentence, and what to do."""

    reason: str
    message: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return code, message and advice, as every JSON output of Stemline shows an error."""
        return {"code": self.reason, "message": self.message, "advice": self.advice}

    def error(self) -> StemlineError:
        """Return the error that the reason belongs to."""
        return error_for(self.reason, self.message, self.advice)


@dataclass(frozen=True, slots=True)
class Job:
    """A job in the state that the server last reported."""

    name: str
    request: JobRequest
    state: JobState
    fraction: float = 0.0
    stage: str = ""
    last_sequence: int = 0
    attempt: int = 0
    error: JobFailure | None = None
    stem: Stem | None = None
    key: str = ""
    model: str = ""
    revision: str = ""
    engine_s: float = 0.0
    created: datetime | None = None
    started: datetime | None = None
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the job can no longer change."""
        return self.state.ended


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the server. `id` is the value of `--model`; `note` says what is missing, or what it can do.

    `pictures_per_second` is how many pictures of a second of sound the server wants, where the model takes pictures.
    `made_by` is "masking", "generative" or empty. Sound longer than `undivided_s` seconds is separated in cells
    of `cell_s` seconds, which the model hears with `context_s` seconds on either side; 0 for never.
    """

    id: str
    title: str
    revision: str
    sample_rate: int
    multichannel: bool
    takes_spans: bool
    takes_free_text: bool
    available: bool
    loaded: bool
    note: str
    licence: str
    takes_pictures: bool = False
    pictures_per_second: int = 0
    made_by: str = ""
    cell_s: int = 0
    context_s: int = 0
    undivided_s: int = 0


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The current state of the server."""

    version: str
    default_model: str
    devices: tuple[str, ...]
    pipeline_version: int
    store_bytes: int
    store_limit_bytes: int
    queued_jobs: int
    running_jobs: int
    shares_disk: bool
    uptime_s: float


def media_of(message: media_pb2.Media) -> Media:
    """Convert a message."""
    return Media(message.name, message.sample_rate, message.channels, message.length_samples, message.local_path)


def request_message(request: JobRequest) -> separation_pb2.CreateJobRequest:
    """Convert a request to its message."""
    prompt = separation_pb2.Prompt(
        text=request.prompt.text,
        plus=[range_message(span) for span in request.prompt.plus],
        minus=[range_message(span) for span in request.prompt.minus],
        mask=request.prompt.mask,
    )
    spec = separation_pb2.SeparationSpec(
        media=request.media,
        prompt=prompt,
        model=request.model,
        seed=request.seed,
        channels=_CHANNELS[request.channels],
        quality=request.quality,
        subtract=request.subtract,
        origin_sample=request.origin_sample,
    )
    return separation_pb2.CreateJobRequest(
        request_id=request.request_id,
        spec=spec,
        batch_id=request.batch_id,
        priority=request.priority,
        reason=request.reason,
    )


def job_of(message: separation_pb2.Job) -> Job:
    """Convert a message."""
    return Job(
        name=message.name,
        request=_request_of(message),
        state=_STATES.get(message.state, JobState.QUEUED),
        fraction=message.progress.fraction,
        stage=message.progress.stage,
        last_sequence=message.last_sequence,
        attempt=message.attempt,
        error=_failure_of(message),
        stem=_stem_of(message.stem) if message.HasField("stem") else None,
        key=message.key,
        model=message.model,
        revision=message.revision,
        engine_s=message.engine_s,
        created=_time_of(message.create_time) if message.HasField("create_time") else None,
        started=_time_of(message.start_time) if message.HasField("start_time") else None,
        ended_at=_time_of(message.end_time) if message.HasField("end_time") else None,
    )


def state_numbers(states: tuple[JobState, ...]) -> list[separation_pb2.State.ValueType]:
    """Convert states to their numbers in messages."""
    return [_STATE_NUMBERS[state] for state in states]


def model_of(message: models_pb2.Model) -> Model:
    """Convert a message."""
    return Model(
        id=message.name.removeprefix("models/"),
        title=message.title,
        revision=message.revision,
        sample_rate=message.sample_rate,
        multichannel=message.multichannel,
        takes_spans=message.takes_spans,
        takes_free_text=message.takes_free_text,
        available=message.available,
        loaded=message.loaded,
        note=message.note,
        licence=message.licence,
        takes_pictures=message.takes_pictures,
        pictures_per_second=message.pictures_per_second,
        made_by=message.made_by,
        cell_s=message.cell_s,
        context_s=message.context_s,
        undivided_s=message.undivided_s,
    )


def server_info_of(message: models_pb2.ServerInfo) -> ServerInfo:
    """Convert a message."""
    return ServerInfo(
        version=message.version,
        default_model=message.default_model,
        devices=tuple(message.devices),
        pipeline_version=message.pipeline_version,
        store_bytes=message.store_bytes,
        store_limit_bytes=message.store_limit_bytes,
        queued_jobs=message.queued_jobs,
        running_jobs=message.running_jobs,
        shares_disk=message.shares_disk,
        uptime_s=message.uptime_s,
    )


def _request_of(message: separation_pb2.Job) -> JobRequest:
    spec = message.spec
    prompt = SamplePrompt(
        spec.prompt.text,
        tuple(SampleRange(span.start_sample, span.end_sample) for span in spec.prompt.plus),
        tuple(SampleRange(span.start_sample, span.end_sample) for span in spec.prompt.minus),
        spec.prompt.mask,
    )
    return JobRequest(
        media=spec.media,
        prompt=prompt,
        model=spec.model,
        seed=spec.seed,
        channels=_CHANNEL_NAMES.get(spec.channels, ""),
        quality=spec.quality,
        subtract=tuple(spec.subtract),
        origin_sample=spec.origin_sample,
        batch_id=message.batch_id,
        priority=message.priority,
        request_id=message.request_id,
    )


def _failure_of(message: separation_pb2.Job) -> JobFailure | None:
    if not message.HasField("error"):
        return None
    return JobFailure(message.error.reason, message.error.message, message.error.advice)


def _stem_of(message: separation_pb2.Stem) -> Stem:
    warnings = tuple(JobWarning(warning.code, warning.message) for warning in message.warnings)
    notes = tuple(sorted(message.notes.items()))
    return Stem(message.media, message.found, message.confidence, message.matched, warnings, notes)


def range_message(span: SampleRange) -> separation_pb2.SampleRange:
    """Convert a range to its message."""
    return separation_pb2.SampleRange(start_sample=span.start_sample, end_sample=span.end_sample)


def _time_of(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
