"""The values of the job table: jobs, requests, results and filters."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from stemline.v1 import generation_pb2, suggest_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.specs import JobKeys, media_names
from stemline_server.seats.access import may_see
from stemline_server.seats.seat_file import OPERATOR, Seat

AnySpec = pb.SeparationSpec | generation_pb2.GenerationSpec | suggest_pb2.SuggestionSpec


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One row of the job table. Moments are microseconds since 1970; `id` grows with each new job."""

    id: int
    name: str
    request_id: str
    batch_id: str
    priority: int
    packed_spec: bytes
    key: str
    group_key: str
    model: str
    revision: str
    state: pb.State.ValueType
    sequence: int
    attempt: int
    lost_leases: int
    kills: int
    claim: str
    solo: bool
    packed_error: bytes | None
    packed_stem: bytes | None
    engine_s: float
    create_us: int
    start_us: int | None
    end_us: int | None
    kind: pb.JobKind.ValueType
    owned_by: str
    project: str
    rank: int
    audio_s: float
    share_s: float

    @classmethod
    def of(cls, row: sqlite3.Row) -> JobRecord:
        """Return the record of a row."""
        return cls(
            id=row["id"],
            name=row["name"],
            request_id=row["request_id"].rpartition("\n")[2],
            batch_id=row["batch_id"],
            priority=row["priority"],
            packed_spec=row["spec"],
            key=row["key"],
            group_key=row["group_key"],
            model=row["model"],
            revision=row["revision"],
            state=row["state"],
            sequence=row["sequence"],
            attempt=row["attempt"],
            lost_leases=row["lost_leases"],
            kills=row["kills"],
            claim=row["claim"],
            solo=bool(row["solo"]),
            packed_error=row["error"],
            packed_stem=row["stem"],
            engine_s=row["engine_s"],
            create_us=row["create_us"],
            start_us=row["start_us"],
            end_us=row["end_us"],
            kind=row["kind"],
            owned_by=row["owned_by"],
            project=row["project"],
            rank=row["rank"],
            audio_s=row["audio_s"],
            share_s=row["share_s"],
        )

    @property
    def spec(self) -> pb.SeparationSpec:
        """Return the spec of a separation as the server completed it; an empty one for other kinds of jobs."""
        if self.kind in (pb.JOB_KIND_GENERATE, pb.JOB_KIND_SUGGEST):
            return pb.SeparationSpec()
        return pb.SeparationSpec.FromString(self.packed_spec)

    @property
    def generation(self) -> generation_pb2.GenerationSpec:
        """Return the spec of a generation as the server completed it."""
        return generation_pb2.GenerationSpec.FromString(self.packed_spec)

    @property
    def suggestion(self) -> suggest_pb2.SuggestionSpec:
        """Return the spec of a suggestion."""
        return suggest_pb2.SuggestionSpec.FromString(self.packed_spec)

    @property
    def stem(self) -> pb.Stem:
        """Return the result; an empty one for a job that has none."""
        return pb.Stem.FromString(self.packed_stem or b"")

    @property
    def any_spec(self) -> AnySpec:
        """Return the spec of a job of any kind. Raises DecodeError for a damaged one."""
        if self.kind == pb.JOB_KIND_SUGGEST:
            return self.suggestion
        return self.generation if self.kind == pb.JOB_KIND_GENERATE else self.spec

    @property
    def ended(self) -> bool:
        """Return whether the job has succeeded, failed or been cancelled."""
        return self.state in (pb.STATE_SUCCEEDED, pb.STATE_FAILED, pb.STATE_CANCELLED)

    def message(self, progress: pb.Progress | None = None) -> pb.Job:
        """Return the job as sent to clients; `progress` is what is known beyond the table of a running one."""
        job = pb.Job(
            name=self.name,
            request_id=self.request_id,
            batch_id=self.batch_id,
            spec=None if self.kind in (pb.JOB_KIND_GENERATE, pb.JOB_KIND_SUGGEST) else self.spec,
            state=self.state,
            progress=pb.Progress(fraction=1.0) if self.state == pb.STATE_SUCCEEDED else progress,
            last_sequence=self.sequence,
            priority=self.priority,
            attempt=self.attempt,
            key=self.key,
            model=self.model,
            revision=self.revision,
            engine_s=self.engine_s,
            create_time=_timestamp(self.create_us),
            start_time=_timestamp(self.start_us),
            end_time=_timestamp(self.end_us),
            kind=self.kind,
            owner=self.owned_by,
        )
        if self.packed_error is not None:
            job.error.MergeFromString(self.packed_error)
        if self.packed_stem is not None:
            job.stem.MergeFromString(self.packed_stem)
        return job


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked request to create a job. `spec` is complete, so that equal requests are equal."""

    request_id: str
    batch_id: str
    priority: int
    spec: AnySpec
    keys: JobKeys
    model: str
    revision: str
    kind: pb.JobKind.ValueType = pb.JOB_KIND_SEPARATE
    seat: Seat = OPERATOR
    audio_s: float = 0.0
    length_samples: int = 0
    reason: str = ""

    @property
    def stored_request_id(self) -> str:
        """Return the request id as the table holds it: that of one seat says nothing to another."""
        return self.request_id if self.seat is OPERATOR else f"{self.seat.name}\n{self.request_id}"

    @property
    def rank(self) -> int:
        """Return the priority over jobs of other seats."""
        return self.priority if self.seat.is_operator else min(self.priority, self.seat.max_priority)


@dataclass(frozen=True, slots=True)
class Change:
    """The job that answers a request, and whether the request changed it."""

    job: JobRecord
    changed: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """The jobs that a caller asks for, as far as its seat may see them; empty fields admit any."""

    names: frozenset[str] = frozenset()
    batch_id: str = ""
    states: tuple[int, ...] = ()
    seat: Seat = OPERATOR

    def admits(self, job: JobRecord) -> bool:
        """Return whether the filter admits a job."""
        return (
            (not self.names or job.name in self.names)
            and (not self.batch_id or job.batch_id == self.batch_id)
            and (not self.states or job.state in self.states)
            and may_see(self.seat, job.owned_by, job.project)
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a computation: the stem of one key, and the seconds that it took."""

    key: str
    stem: pb.Stem
    engine_s: float
    revision: str


def media_read_by(spec: AnySpec) -> tuple[str, ...]:
    """Return the names of the media that a job with this spec reads."""
    if isinstance(spec, pb.SeparationSpec):
        return media_names(spec)
    if isinstance(spec, suggest_pb2.SuggestionSpec):
        return (spec.media,)
    return tuple(name for name in (spec.context, spec.reference) if name)


def _timestamp(moment_us: int | None) -> Timestamp | None:
    if moment_us is None:
        return None
    return Timestamp(seconds=moment_us // 1_000_000, nanos=moment_us % 1_000_000 * 1000)
