"""Takes batches of jobs into the table: checked as a whole, stored in slices, so that other calls come in between."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stemline.errors import Code, SeparationError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import shares, table
from stemline_server.jobs.record import Change, JobRecord, NewJob
from stemline_server.store.database import Database

_MAX_QUEUED = 200_000
_SLICE = 200

Publish = Callable[[Sequence[JobRecord]], None]


class Admission:
    """The creation of the jobs of one call."""

    def __init__(
        self, database: Database, publish: Publish, requests: Sequence[NewJob], in_store: Callable[[str], bool]
    ) -> None:
        """Create jobs in `database`, and pass what changed to `publish`."""
        self._database = database
        self._publish = publish
        self._slices = [requests[start : start + _SLICE] for start in range(0, len(requests), _SLICE)]
        self._requests = requests
        self._in_store = in_store
        self._jobs: list[JobRecord] = []
        self._new: list[str] = []
        self._outcome: Future[list[JobRecord]] = Future()

    def start(self) -> Future[list[JobRecord]]:
        """Begin, and return the future of all jobs. When one is refused, it raises, and no new job is left waiting."""
        if len(self._slices) == 1:
            return self._at_once(self._slices[0])
        checked = self._database.submit(lambda connection: _check(connection, self._requests))
        checked.add_done_callback(self._go_on)
        return self._outcome

    def _at_once(self, requests: Sequence[NewJob]) -> Future[list[JobRecord]]:
        """Check and store a small batch in one transaction."""

        def work(connection: sqlite3.Connection) -> list[JobRecord]:
            _check(connection, requests)
            changes[:] = self._store(connection, requests)
            return [change.job for change in changes]

        changes: list[Change] = []
        return self._database.submit(work, lambda _: self._note(changes))

    def _go_on(self, done: Future[None]) -> None:
        """Store the next slice, behind whatever else waits for the database."""
        error = done.exception()
        if error is not None:
            self._give_up(error)
        elif not self._slices:
            self._outcome.set_result(self._jobs)
        else:
            requests = self._slices.pop(0)
            try:
                stored = self._database.submit(lambda connection: self._store(connection, requests), self._note)
            except BaseException as closed:  # noqa: BLE001 - handed to the waiting caller
                self._outcome.set_exception(closed)
                return
            following: Future[None] = Future()
            following.add_done_callback(self._go_on)
            stored.add_done_callback(lambda each: _pass_on(each, following))

    def _store(self, connection: sqlite3.Connection, requests: Sequence[NewJob]) -> list[Change]:
        return [table.create(connection, request, self._in_store) for request in requests]

    def _note(self, changes: list[Change]) -> None:
        changed = [change.job for change in changes if change.changed]
        self._publish(changed)
        self._jobs.extend(change.job for change in changes)
        self._new.extend(job.name for job in changed if job.attempt == 1)

    def _give_up(self, error: BaseException) -> None:
        """Forget the new jobs of earlier slices, as far as no engine has begun with them."""
        names = self._new

        def withdraw(connection: sqlite3.Connection) -> None:
            for name in names:
                found = "SELECT id FROM jobs WHERE name = ? AND state = ?"
                row = connection.execute(found, (name, pb.STATE_QUEUED)).fetchone()
                if row is not None:
                    connection.execute("DELETE FROM pins WHERE job = ?", (row["id"],))
                    connection.execute("DELETE FROM jobs WHERE id = ?", (row["id"],))

        try:
            withdrawn = self._database.submit(withdraw)
        except BaseException:  # noqa: BLE001 - the database is closed
            self._outcome.set_exception(error)
        else:
            withdrawn.add_done_callback(lambda _: self._outcome.set_exception(error))


def _pass_on(done: Future[list[Change]], following: Future[None]) -> None:
    error = done.exception()
    if error is not None:
        following.set_exception(error)
    else:
        following.set_result(None)


def _check(connection: sqlite3.Connection, requests: Sequence[NewJob]) -> None:
    """Check the requests as a whole.

    Raises:
        InputError: A request id was used for another job, or twice in the batch (REQUEST_ID_REUSED).
        SeparationError: Too many jobs wait, or too much sound of a seat (QUEUE_FULL).
    """
    shares.check_limits(connection, requests)
    queued, _ = table.counts(connection)
    if queued + len(requests) > _MAX_QUEUED:
        raise SeparationError(
            f"The server has {queued} jobs waiting.", code=Code.QUEUE_FULL, advice="Try again when some are done."
        )
    for new in requests:
        found = "SELECT * FROM jobs WHERE request_id = ?"
        row = connection.execute(found, (new.stored_request_id,)).fetchone()
        if row is not None:
            table.check_same(JobRecord.of(row), new)
