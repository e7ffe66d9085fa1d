"""Shares the devices among seats: limits of what may wait, and whose turn it is.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each seat has a virtual time that grows with the seconds
of sound that it has had processed, by its weight, and the seat of the earliest time goes next. A seat that was away
starts at the present virtual time, so it saves nothing up.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from stemline.errors import Code, SeparationError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.record import JobRecord, NewJob
from stemline_server.store.media_table import now_us

_CLOCK = ""  # the row of the present virtual time
_AGEING_US = 600_000_000  # a job that waits so long goes up by one rank
_MAX_AGE_RANKS = 1000


def queue_age_s(connection: sqlite3.Connection) -> float:
    """Return how long the oldest job that waits has waited."""
    row = connection.execute("SELECT min(create_us) FROM jobs WHERE state = ?", (pb.STATE_QUEUED,)).fetchone()
    return 0.0 if row[0] is None else max(0, now_us() - int(row[0])) / 1e6


def check_limits(connection: sqlite3.Connection, requests: Sequence[NewJob]) -> None:
    """Raise SeparationError (QUEUE_FULL) where a seat would have more sound waiting than it may."""
    for seat in {request.seat for request in requests if request.seat.queued_s}:
        waiting_s = connection.execute(
            "SELECT coalesce(sum(audio_s), 0) FROM jobs WHERE state = ? AND owned_by = ?", (pb.STATE_QUEUED, seat.name)
        ).fetchone()[0]
        new_s = sum(request.audio_s for request in requests if request.seat is seat)
        if waiting_s + new_s > seat.queued_s:
            raise SeparationError(
                f"The seat {seat.name} may have {seat.queued_s:g} s of sound waiting; this would make it"
                f" {waiting_s + new_s:.0f} s.",
                code=Code.QUEUE_FULL,
                advice="Try again when some jobs are done, or send fewer at a time.",
            )


def in_turn(connection: sqlite3.Connection, firsts: Sequence[JobRecord]) -> JobRecord:
    """Return which of the first jobs of several seats is next: by rank, with ageing, then by fair share."""
    if len(firsts) == 1:
        return firsts[0]
    times = _virtual_times(connection)
    now = now_us()

    def turn(job: JobRecord) -> tuple[int, float, int]:
        aged = min(max(0, now - job.create_us) // _AGEING_US, _MAX_AGE_RANKS)
        return -(job.rank + aged), _start_of(times, job.owned_by), job.id

    return min(firsts, key=turn)


def charge(connection: sqlite3.Connection, jobs: Iterable[JobRecord]) -> None:
    """Note that jobs start now."""
    used: dict[str, float] = {}
    for job in jobs:
        used[job.owned_by] = used.get(job.owned_by, 0.0) + job.share_s
    times = _virtual_times(connection)
    starts = {seat: _start_of(times, seat) for seat in used}
    rows = [(seat, starts[seat] + share_s) for seat, share_s in used.items()]
    rows.append((_CLOCK, max(times.get(_CLOCK, 0.0), min(starts.values(), default=0.0))))
    connection.executemany("INSERT OR REPLACE INTO shares VALUES (?, ?)", rows)


def _virtual_times(connection: sqlite3.Connection) -> dict[str, float]:
    return {row["seat"]: row["virtual_s"] for row in connection.execute("SELECT * FROM shares")}


def _start_of(times: dict[str, float], seat: str) -> float:
    return max(times.get(seat, 0.0), times.get(_CLOCK, 0.0))
