"""The job table in SQL: every change of state, as functions of the open transaction.

A lease lasts as long as the server process that took it: the lock of the state folder admits one process, so a lease
of another process has expired. A job on which three processes crashed is not tried again.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence

from google.protobuf.message import DecodeError

from stemline.errors import Code, InputError, SeparationError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.record import Change, Filter, JobRecord, NewJob, Result, media_read_by
from stemline_server.seats.seat_file import holder_of
from stemline_server.store.media_table import grant, now_us

MAX_LOST_LEASES = 3  # by crashes of the engine's process or of the server
_SEQUENCE_LEAP = 1_000_000  # past every number that a client of a damaged table may have seen
_LIVE = (pb.STATE_QUEUED, pb.STATE_RUNNING, pb.STATE_CANCELLING)
_ENDED_BADLY = (pb.STATE_FAILED, pb.STATE_CANCELLED)


def create(connection: sqlite3.Connection, new: NewJob, in_store: Callable[[str], bool]) -> Change:
    """Create a job, or return the job of the same request id.

    A job that failed, was cancelled, or whose stem is lost is started again.

    Args:
        connection: The open transaction.
        new: The checked request.
        in_store: Says whether the stem of an earlier result can still be handed out.

    Raises:
        InputError: The request id was used for another job (REQUEST_ID_REUSED).
    """
    row = connection.execute("SELECT * FROM jobs WHERE request_id = ?", (new.stored_request_id,)).fetchone()
    if row is None:
        return Change(_insert(connection, new, in_store), changed=True)
    job = JobRecord.of(row)
    check_same(job, new)
    if job.state in _ENDED_BADLY or (
        job.state == pb.STATE_SUCCEEDED and _result(connection, job.key, in_store) is None
    ):
        return Change(_restart(connection, job, new, in_store), changed=True)
    return Change(job, changed=False)


def check_same(job: JobRecord, new: NewJob) -> None:
    """Raise InputError (REQUEST_ID_REUSED) where a job of the same request id has another spec."""
    if (job.kind, job.any_spec) != (new.kind, new.spec):
        raise InputError(
            f"The request id {new.request_id!r} was used for another job.",
            code=Code.REQUEST_ID_REUSED,
            advice="Choose a new request id for each job.",
        )


def results_of(connection: sqlite3.Connection, requests: Iterable[NewJob]) -> list[str]:
    """Return the names of the stems that would answer these requests at once."""
    found = set()
    for new in requests:
        row = connection.execute("SELECT key FROM jobs WHERE request_id = ?", (new.stored_request_id,)).fetchone()
        for key in {new.keys.key, row["key"]} if row is not None else {new.keys.key}:
            result = connection.execute("SELECT media FROM results WHERE key = ?", (key,)).fetchone()
            if result is not None and result["media"]:
                found.add(str(result["media"]))
    return sorted(found)


def _insert(connection: sqlite3.Connection, new: NewJob, in_store: Callable[[str], bool]) -> JobRecord:
    cursor = connection.execute(
        "INSERT INTO jobs (name, request_id, batch_id, priority, spec, key, group_key, model, revision, state,"
        " sequence, create_us, kind, owned_by, project, rank, audio_s, share_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            f"jobs/{uuid.uuid4().hex}",
            new.stored_request_id,
            new.batch_id,
            new.priority,
            new.spec.SerializeToString(deterministic=True),
            new.keys.key,
            new.keys.group,
            new.model,
            new.revision,
            pb.STATE_QUEUED,
            _next_sequence(connection),
            now_us(),
            new.kind,
            new.seat.name,
            new.seat.project,
            new.rank,
            new.audio_s,
            new.audio_s / new.seat.weight,
        ),
    )
    assert cursor.lastrowid is not None  # noqa: S101 - an INSERT has one
    return _enter(connection, cursor.lastrowid, new, in_store)


def _restart(connection: sqlite3.Connection, job: JobRecord, new: NewJob, in_store: Callable[[str], bool]) -> JobRecord:
    connection.execute(
        "UPDATE jobs SET state = ?, attempt = attempt + 1, lost_leases = 0, kills = 0, solo = 0, claim = '',"
        " error = NULL, stem = NULL, start_us = NULL, end_us = NULL, engine_s = 0, key = ?, group_key = ?, model = ?,"
        " revision = ?, priority = ?, sequence = ? WHERE id = ?",
        (
            pb.STATE_QUEUED,
            new.keys.key,
            new.keys.group,
            new.model,
            new.revision,
            new.priority,
            _next_sequence(connection),
            job.id,
        ),
    )
    return _enter(connection, job.id, new, in_store)


def _enter(connection: sqlite3.Connection, job_id: int, new: NewJob, in_store: Callable[[str], bool]) -> JobRecord:
    """Let a job enter the queue and pin its media, or end it at once where its result is there already."""
    result = _result(connection, new.keys.key, in_store)
    if result is not None:
        connection.execute(
            "UPDATE jobs SET state = ?, stem = ?, revision = ?, end_us = ? WHERE id = ?",
            (pb.STATE_SUCCEEDED, result["stem"], result["revision"], now_us(), job_id),
        )
        grant(connection, filter(None, [result["media"]]), new.seat.holder)
    else:
        _pin(connection, job_id, media_read_by(new.spec))
    return _by_id(connection, job_id)


def _pin(connection: sqlite3.Connection, job_id: int, media: Iterable[str]) -> None:
    pins = {(name, job_id) for name in media}
    connection.executemany("INSERT INTO pins VALUES (?, ?)", pins)


def get(connection: sqlite3.Connection, name: str) -> JobRecord:
    """Return a job. Raises SeparationError (JOB_UNKNOWN)."""
    row = connection.execute("SELECT * FROM jobs WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise SeparationError(
            "There is no such job.",
            code=Code.JOB_UNKNOWN,
            advice="It may have been deleted; create it again.",
        )
    return JobRecord.of(row)


def newest(connection: sqlite3.Connection, wanted: Filter, before_id: int, limit: int) -> list[JobRecord]:
    """Return a page of jobs with ids below `before_id`, newest first."""
    conditions, values = ["id < ?"], [str(before_id)]
    if wanted.batch_id:
        conditions.append("batch_id = ?")
        values.append(wanted.batch_id)
    if not wanted.seat.is_operator:
        conditions.append("(owned_by = ? OR (project != '' AND project = ?))")
        values.extend((wanted.seat.name, wanted.seat.project))
    if wanted.states:
        conditions.append(f"state IN ({_marks(wanted.states)})")
        values.extend(str(state) for state in wanted.states)
    query = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {limit:d}"  # noqa: S608
    return [JobRecord.of(row) for row in connection.execute(query, values)]


def changed_after(connection: sqlite3.Connection, batch_id: str, sequence: int, limit: int) -> list[JobRecord]:
    """Return jobs, of a batch or of all, whose last event is later than `sequence`, in the order of events."""
    rows = connection.execute(
        "SELECT * FROM jobs WHERE sequence > ? AND (? = '' OR batch_id = ?) ORDER BY sequence LIMIT ?",
        (sequence, batch_id, batch_id, limit),
    )
    return [JobRecord.of(row) for row in rows]


def cancel(connection: sqlite3.Connection, name: str) -> Change:
    """End a job at once, unless an engine works for it alone: then at the engine's next step.

    An ended job stays as it is.
    """
    job = get(connection, name)
    if job.state not in (pb.STATE_QUEUED, pb.STATE_RUNNING):
        return Change(job, changed=False)
    company = connection.execute(
        "SELECT 1 FROM jobs WHERE state = ? AND claim = ? AND id != ?", (pb.STATE_RUNNING, job.claim, job.id)
    ).fetchone()
    if job.state == pb.STATE_RUNNING and company is None:
        return Change(_move(connection, job.id, pb.STATE_CANCELLING), changed=True)
    return Change(_end(connection, job.id, pb.STATE_CANCELLED), changed=True)


def delete(connection: sqlite3.Connection, name: str) -> None:
    """Delete an ended job. Raises SeparationError (JOB_UNKNOWN), and InputError when the job has not ended."""
    job = get(connection, name)
    if job.state in _LIVE:
        raise InputError("A job that has not ended cannot be deleted.", advice="Cancel it first.")
    connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))


def fail(connection: sqlite3.Connection, jobs: Iterable[JobRecord], error: pb.JobError) -> list[JobRecord]:
    """End those of the jobs that still run, as FAILED, or as CANCELLED where that was asked for."""
    return [
        _end(connection, job.id, pb.STATE_FAILED, error)
        if job.state == pb.STATE_RUNNING
        else _end(connection, job.id, pb.STATE_CANCELLED)
        for job in _running(connection, jobs)
    ]


def requeue(connection: sqlite3.Connection, jobs: Iterable[JobRecord], *, solo: bool) -> list[JobRecord]:
    """Put those of the jobs that still run back into the queue; `solo` makes each run alone. Cancelled ones end."""
    changed = []
    for job in _running(connection, jobs):
        if job.state == pb.STATE_CANCELLING:
            changed.append(_end(connection, job.id, pb.STATE_CANCELLED))
        else:
            connection.execute("UPDATE jobs SET owner = '', solo = max(solo, ?) WHERE id = ?", (solo, job.id))
            changed.append(_move(connection, job.id, pb.STATE_QUEUED))
    return changed


def succeed(connection: sqlite3.Connection, result: Result) -> list[JobRecord]:
    """Store a result, and end every job of its key that waits or runs; cancelled ones end as such."""
    packed = result.stem.SerializeToString()
    connection.execute(
        "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?)",
        (result.key, result.stem.media, packed, result.engine_s, result.revision),
    )
    rows = connection.execute(
        "SELECT * FROM jobs WHERE key = ? AND state IN (?, ?, ?) ORDER BY id",
        (result.key, *_LIVE),
    ).fetchall()
    changed = []
    for job in map(JobRecord.of, rows):
        if job.state == pb.STATE_CANCELLING:
            changed.append(_end(connection, job.id, pb.STATE_CANCELLED))
            continue
        share_s = result.engine_s if job.state == pb.STATE_RUNNING else 0.0
        connection.execute(
            "UPDATE jobs SET stem = ?, engine_s = ?, revision = ? WHERE id = ?",
            (packed, share_s, result.revision, job.id),
        )
        grant(connection, filter(None, [result.stem.media]), holder_of(job.owned_by, job.project))
        changed.append(_end(connection, job.id, pb.STATE_SUCCEEDED))
    return changed


def counts(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many jobs are queued, and how many run."""
    rows = connection.execute("SELECT state, count(*) FROM jobs WHERE state IN (?, ?, ?) GROUP BY state", _LIVE)
    found = dict(rows.fetchall())
    return found.get(pb.STATE_QUEUED, 0), found.get(pb.STATE_RUNNING, 0) + found.get(pb.STATE_CANCELLING, 0)


def take_lease(connection: sqlite3.Connection, job: JobRecord, owner: str, claim: str) -> JobRecord:
    """Lease a job to `owner` as part of the group `claim`."""
    connection.execute(
        "UPDATE jobs SET owner = ?, claim = ?, start_us = coalesce(start_us, ?) WHERE id = ?",
        (owner, claim, now_us(), job.id),
    )
    return _move(connection, job.id, pb.STATE_RUNNING)


def give_back(connection: sqlite3.Connection, owner: str) -> list[JobRecord]:
    """Put all jobs that `owner` has leased back into the queue, as a stop in good order does."""
    leased = connection.execute("SELECT * FROM jobs WHERE owner = ?", (owner,)).fetchall()
    return requeue(connection, map(JobRecord.of, leased), solo=False)


def recover(connection: sqlite3.Connection, owner: str, *, crashed: bool) -> None:
    """Take up what a server that died had leased.

    Args:
        connection: The open transaction.
        owner: The server process that takes the jobs up.
        crashed: Whether the server died of what it did, not of a kill from outside.
    """
    orphans = connection.execute(
        "SELECT * FROM jobs WHERE state IN (?, ?) AND owner != ?", (pb.STATE_RUNNING, pb.STATE_CANCELLING, owner)
    ).fetchall()
    for job in map(JobRecord.of, orphans):
        _take_up(connection, job, _poisoned(), explained=crashed)


def lose(
    connection: sqlite3.Connection, jobs: Iterable[JobRecord], error: pb.JobError, *, explained: bool
) -> list[JobRecord]:
    """Take up those of the jobs that still run, after the process of their engine has ended.

    Args:
        connection: The open transaction.
        jobs: The jobs that it worked on.
        error: The error of a job that is not tried again.
        explained: Whether the process died of what it did, not of a kill from outside.
    """
    return [_take_up(connection, job, error, explained=explained) for job in _running(connection, jobs)]


def _take_up(connection: sqlite3.Connection, job: JobRecord, error: pb.JobError, *, explained: bool) -> JobRecord:
    """Put a job whose process died back into the queue, or fail it after a few crashes. Kills are no fault of a job."""
    crashes, kills = job.lost_leases + explained, job.kills + (not explained)
    if job.state == pb.STATE_CANCELLING:
        return _end(connection, job.id, pb.STATE_CANCELLED)
    if crashes >= MAX_LOST_LEASES:
        return _end(connection, job.id, pb.STATE_FAILED, error)
    connection.execute(
        "UPDATE jobs SET lost_leases = ?, kills = ?, attempt = attempt + 1, owner = '' WHERE id = ?",
        (crashes, kills, job.id),
    )
    return _move(connection, job.id, pb.STATE_QUEUED)


def mend(connection: sqlite3.Connection) -> None:
    """Make a salvaged table agree with itself: readable jobs only, their pins, and sequence numbers that only grow."""
    connection.execute("DELETE FROM pins")
    for job in map(JobRecord.of, connection.execute("SELECT * FROM jobs").fetchall()):
        media = _readable_media(job)
        if media is None:
            connection.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        elif job.state in _LIVE:
            _pin(connection, job.id, media)
    (highest,) = connection.execute("SELECT coalesce(max(sequence), 0) FROM jobs").fetchone()
    connection.execute(
        "UPDATE counters SET value = ? WHERE name = 'sequence' AND value < ?", (highest + _SEQUENCE_LEAP, highest)
    )


def _readable_media(job: JobRecord) -> tuple[str, ...] | None:
    try:
        job.message()
        return media_read_by(job.any_spec)
    except (DecodeError, TypeError, ValueError):
        return None


def forget_ended_before(connection: sqlite3.Connection, moment_us: int) -> None:
    """Delete the jobs that ended before a moment, in microseconds since 1970, and results without sound and job."""
    connection.execute("DELETE FROM jobs WHERE end_us < ?", (moment_us,))
    connection.execute("DELETE FROM results WHERE media = '' AND key NOT IN (SELECT key FROM jobs)")


def _poisoned() -> pb.JobError:
    return pb.JobError(
        reason=Code.POISONED_INPUT,
        message=f"The server died {MAX_LOST_LEASES} times while it worked on this job.",
        advice="Look into server.log, and try another model or a shorter range; creating the job again retries it.",
    )


def _end(connection: sqlite3.Connection, job_id: int, state: int, error: pb.JobError | None = None) -> JobRecord:
    connection.execute("DELETE FROM pins WHERE job = ?", (job_id,))
    connection.execute(
        "UPDATE jobs SET owner = '', end_us = ?, error = ? WHERE id = ?",
        (now_us(), None if error is None else error.SerializeToString(), job_id),
    )
    return _move(connection, job_id, state)


def _move(connection: sqlite3.Connection, job_id: int, state: int) -> JobRecord:
    connection.execute(
        "UPDATE jobs SET state = ?, sequence = ? WHERE id = ?", (state, _next_sequence(connection), job_id)
    )
    return _by_id(connection, job_id)


def _running(connection: sqlite3.Connection, jobs: Iterable[JobRecord]) -> list[JobRecord]:
    """Return the jobs as they are now, without those that have ended or were deleted."""
    current = (connection.execute("SELECT * FROM jobs WHERE id = ?", (job.id,)).fetchone() for job in jobs)
    records = [JobRecord.of(row) for row in current if row is not None]
    return [job for job in records if job.state in (pb.STATE_RUNNING, pb.STATE_CANCELLING)]


def _by_id(connection: sqlite3.Connection, job_id: int) -> JobRecord:
    return JobRecord.of(connection.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone())


def _next_sequence(connection: sqlite3.Connection) -> int:
    row = connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'sequence' RETURNING value").fetchone()
    return int(row[0])


def _result(connection: sqlite3.Connection, key: str, in_store: Callable[[str], bool]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute("SELECT * FROM results WHERE key = ?", (key,)).fetchone()
    is_there = row is not None and (not row["media"] or in_store(row["media"]))  # a suggestion has no sound
    return row if is_there else None


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))
