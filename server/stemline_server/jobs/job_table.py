"""The job table as workers and services use it: a protocol, and its implementation on SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Protocol

from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import claims, table
from stemline_server.jobs.admission import Admission, Publish
from stemline_server.jobs.claims import Group
from stemline_server.jobs.record import Change, Filter, JobRecord, NewJob, Result
from stemline_server.store.database import Database


class JobTable(Protocol):
    """The durable jobs. May be used from several threads.

    Every method returns at once. Its future is done once the change is committed and published, or raises what
    `Raises` says; a future that is abandoned undoes nothing. Changes happen one after another, in the order of the
    calls. `on_commit` sees the outcome before any later change happens.
    """

    def create(self, requests: Sequence[NewJob], in_store: Callable[[str], bool]) -> Future[list[JobRecord]]:
        """Create all of the jobs or, when one is refused, none. Idempotent by request id.

        Args:
            requests: Checked requests.
            in_store: Says whether the stem of an earlier result can still be handed out.

        Raises:
            InputError: A request id was used for another job (REQUEST_ID_REUSED).
            SeparationError: Too many jobs wait (QUEUE_FULL).
        """
        ...

    def results_of(self, requests: Sequence[NewJob]) -> Future[list[str]]:
        """Return the names of the stems that would answer these requests at once."""
        ...

    def get(self, name: str) -> Future[JobRecord]:
        """Return a job. Raises SeparationError (JOB_UNKNOWN)."""
        ...

    def check_known(self, names: Iterable[str]) -> Future[None]:
        """Raise SeparationError (JOB_UNKNOWN) for the first job that does not exist."""
        ...

    def newest(self, wanted: Filter, before_id: int, limit: int) -> Future[list[JobRecord]]:
        """Return a page of jobs with ids below `before_id`, newest first."""
        ...

    def changed_after(self, batch_id: str, sequence: int, limit: int) -> Future[list[JobRecord]]:
        """Return jobs, of a batch or of all, whose last event is later than `sequence`, in the order of events."""
        ...

    def counts(self) -> Future[tuple[int, int]]:
        """Return how many jobs are queued, and how many run."""
        ...

    def cancel(self, name: str, on_commit: Callable[[JobRecord], object]) -> Future[JobRecord]:
        """Cancel a job; one that an engine works for alone becomes CANCELLING. Raises SeparationError (JOB_UNKNOWN)."""
        ...

    def delete(self, name: str) -> Future[None]:
        """Forget an ended job. Raises SeparationError (JOB_UNKNOWN), and InputError for a job that has not ended."""
        ...

    def claim(
        self,
        owner: str,
        on_commit: Callable[[Group], object],
        loaded: Sequence[str] = (),
        *,
        suggestions: bool = False,
    ) -> Future[Group | None]:
        """Lease the jobs of the next group to `owner`; None when no job waits. Jobs of `loaded` models may go first.

        `suggestions` takes jobs of the kind suggest and no others; else all others are taken.
        """
        ...

    def requeue(self, jobs: Sequence[JobRecord], *, solo: bool) -> Future[list[JobRecord]]:
        """Put those of the jobs that still run back into the queue; `solo` makes each run alone."""
        ...

    def fail(self, jobs: Sequence[JobRecord], error: pb.JobError) -> Future[list[JobRecord]]:
        """End those of the jobs that still run, with an error."""
        ...

    def succeed(self, result: Result) -> Future[list[JobRecord]]:
        """Store a result, and give it to every job of its key that has not ended."""
        ...

    def lose(self, jobs: Sequence[JobRecord], error: pb.JobError, *, explained: bool) -> Future[list[JobRecord]]:
        """Take up those of the jobs that still run, after the process of their engine has ended.

        A job that lost several leases to explained deaths fails with `error`; the others go back into the queue.
        """
        ...

    def give_back(self, owner: str) -> Future[list[JobRecord]]:
        """Put all jobs that `owner` has leased back into the queue, as a stop in good order does."""
        ...

    def recover(self, owner: str, *, crashed: bool) -> Future[None]:
        """Take up what other owners had leased when they died."""
        ...

    def forget_ended_before(self, moment_us: int) -> Future[None]:
        """Forget the jobs that ended before a moment, in microseconds since 1970."""
        ...

    def waiting_claims(self) -> Future[set[str]]:
        """Return the names of the groups that are to go on."""
        ...


class SqliteJobTable:
    """A `JobTable` in the server's database."""

    def __init__(self, database: Database, publish: Publish) -> None:
        """Keep the jobs in `database`, and pass committed changes to `publish`."""
        self._database = database
        self._publish = publish

    def create(self, requests: Sequence[NewJob], in_store: Callable[[str], bool]) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return Admission(self._database, self._publish, requests, in_store).start()

    def results_of(self, requests: Sequence[NewJob]) -> Future[list[str]]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.results_of(connection, requests))

    def get(self, name: str) -> Future[JobRecord]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.get(connection, name))

    def check_known(self, names: Iterable[str]) -> Future[None]:
        """See `JobTable`."""

        def work(connection: sqlite3.Connection) -> None:
            for name in names:
                table.get(connection, name)

        return self._database.submit(work)

    def newest(self, wanted: Filter, before_id: int, limit: int) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.newest(connection, wanted, before_id, limit))

    def changed_after(self, batch_id: str, sequence: int, limit: int) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.changed_after(connection, batch_id, sequence, limit))

    def counts(self) -> Future[tuple[int, int]]:
        """See `JobTable`."""
        return self._database.submit(table.counts)

    def cancel(self, name: str, on_commit: Callable[[JobRecord], object]) -> Future[JobRecord]:
        """See `JobTable`."""
        changes: list[Change] = []

        def work(connection: sqlite3.Connection) -> JobRecord:
            changes[:] = [table.cancel(connection, name)]
            return changes[0].job

        def after(job: JobRecord) -> None:
            if changes[0].changed:
                self._publish([job])
            on_commit(job)

        return self._database.submit(work, after)

    def delete(self, name: str) -> Future[None]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.delete(connection, name))

    def claim(
        self,
        owner: str,
        on_commit: Callable[[Group], object],
        loaded: Sequence[str] = (),
        *,
        suggestions: bool = False,
    ) -> Future[Group | None]:
        """See `JobTable`."""

        def after(group: Group | None) -> None:
            if group is not None:
                on_commit(group)
                self._publish(group.jobs)

        def work(connection: sqlite3.Connection) -> Group | None:
            return claims.next_group(connection, owner, loaded, suggestions=suggestions)

        return self._database.submit(work, after)

    def requeue(self, jobs: Sequence[JobRecord], *, solo: bool) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._change(lambda connection: table.requeue(connection, jobs, solo=solo))

    def fail(self, jobs: Sequence[JobRecord], error: pb.JobError) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._change(lambda connection: table.fail(connection, jobs, error))

    def succeed(self, result: Result) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._change(lambda connection: table.succeed(connection, result))

    def lose(self, jobs: Sequence[JobRecord], error: pb.JobError, *, explained: bool) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._change(lambda connection: table.lose(connection, jobs, error, explained=explained))

    def give_back(self, owner: str) -> Future[list[JobRecord]]:
        """See `JobTable`."""
        return self._change(lambda connection: table.give_back(connection, owner))

    def recover(self, owner: str, *, crashed: bool) -> Future[None]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.recover(connection, owner, crashed=crashed))

    def forget_ended_before(self, moment_us: int) -> Future[None]:
        """See `JobTable`."""
        return self._database.submit(lambda connection: table.forget_ended_before(connection, moment_us))

    def waiting_claims(self) -> Future[set[str]]:
        """See `JobTable`."""
        return self._database.submit(claims.waiting_claims)

    def _change(self, work: Callable[[sqlite3.Connection], list[JobRecord]]) -> Future[list[JobRecord]]:
        return self._database.submit(work, self._publish)
