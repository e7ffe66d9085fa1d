"""Chooses the jobs that a free worker runs next: the first in turn, with others that differ only in the prompt."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from stemline.identity import digest
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import shares, table
from stemline_server.jobs.record import JobRecord
from stemline_server.store.media_table import now_us

MAX_PROMPTS = 8  # at once: what an engine holds grows with it
_LEASES_SHARED = 2  # a job that lost this many leases runs alone: one of the group may be the cause
_KILLS_SHARED = 5  # likewise for deaths that nothing explains
_LONGEST_DETOUR_US = 60_000_000  # a job that waits longer is not passed by jobs of models that are loaded
_FREE = "state = ? AND key NOT IN (SELECT key FROM jobs WHERE state IN (?, ?))"
_FREE_VALUES = (pb.STATE_QUEUED, pb.STATE_RUNNING, pb.STATE_CANCELLING)


@dataclass(frozen=True, slots=True)
class Group:
    """Jobs leased together.

    Attributes:
        name: The same whenever the same computations meet again.
        jobs: All jobs of the group.
        keys: One key for each computation, so one for each prompt; several jobs may share one.
    """

    name: str
    jobs: tuple[JobRecord, ...]
    keys: tuple[str, ...]

    def first(self, key: str) -> JobRecord:
        """Return a job of that computation."""
        return next(job for job in self.jobs if job.key == key)


def next_group(
    connection: sqlite3.Connection, owner: str, loaded: Sequence[str] = (), *, suggestions: bool = False
) -> Group | None:
    """Lease the jobs of the next group to `owner`; return None when no job waits.

    Among seats the rank goes first, then the fair share. Within a seat priority goes first, then age; but a job whose
    model is loaded passes others of its priority for a while. A group that was interrupted is formed again, because
    its scratch folder still fits.

    Args:
        connection: The open transaction.
        owner: The server process.
        loaded: Ids of the models that are loaded on the device.
        suggestions: Whether to take suggestions, and nothing else.
    """
    first = _next_job(connection, f"AND kind {'=' if suggestions else '!='} {pb.JOB_KIND_SUGGEST:d}")
    if first is None:
        return None
    waited_us = now_us() - first.create_us
    if loaded and first.model not in loaded and 0 <= waited_us < _LONGEST_DETOUR_US:
        condition = (
            f"AND kind = {first.kind:d} AND owned_by = ? AND priority = ? AND model IN ({', '.join('?' * len(loaded))})"
        )
        first = _first_free(connection, condition, (first.owned_by, first.priority, *loaded)) or first
    chosen: dict[str, list[JobRecord]] = {}
    for job in _company(connection, first):
        if job.key in chosen or len(chosen) < MAX_PROMPTS:
            chosen.setdefault(job.key, []).append(job)
    keys = tuple(sorted(chosen))
    name = claim_name(list(keys))
    jobs = tuple(table.take_lease(connection, job, owner, name) for key in keys for job in chosen[key])
    shares.charge(connection, jobs)
    return Group(name, jobs, keys)


def _next_job(connection: sqlite3.Connection, of_kind: str) -> JobRecord | None:
    """Return the first free job of the seat whose turn it is; `of_kind` is a condition on its kind."""
    seats = connection.execute("SELECT DISTINCT owned_by FROM jobs WHERE state = ?", (pb.STATE_QUEUED,)).fetchall()
    found = (_first_free(connection, f"{of_kind} AND owned_by = ?", (seat["owned_by"],)) for seat in seats)
    firsts = [job for job in found if job is not None]
    return shares.in_turn(connection, firsts) if firsts else None


def _first_free(connection: sqlite3.Connection, condition: str, values: Sequence[object]) -> JobRecord | None:
    row = connection.execute(
        f"SELECT * FROM jobs WHERE {_FREE} {condition} ORDER BY priority DESC, id LIMIT 1",  # noqa: S608
        (*_FREE_VALUES, *values),
    ).fetchone()
    return None if row is None else JobRecord.of(row)


def _company(connection: sqlite3.Connection, first: JobRecord) -> list[JobRecord]:
    """Return the free jobs that may run with `first`, itself included, in turn."""
    if first.solo or first.lost_leases >= _LEASES_SHARED or first.kills >= _KILLS_SHARED:
        return [first]
    rows = connection.execute(
        f"SELECT * FROM jobs WHERE {_FREE} AND group_key = ? AND claim = ? AND solo = 0 AND lost_leases < ?"  # noqa: S608
        " AND kills < ?"
        " ORDER BY priority DESC, id",
        (*_FREE_VALUES, first.group_key, first.claim, _LEASES_SHARED, _KILLS_SHARED),
    )
    return [JobRecord.of(row) for row in rows]


def waiting_claims(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the groups that are to go on, because their scratch folders are still needed."""
    rows = connection.execute("SELECT DISTINCT claim FROM jobs WHERE state = ? AND claim != ''", (pb.STATE_QUEUED,))
    return {row["claim"] for row in rows}


def claim_name(keys: list[str]) -> str:
    """Return the name of a group, which is the same whenever the same keys meet, also after a restart."""
    return digest(keys)
