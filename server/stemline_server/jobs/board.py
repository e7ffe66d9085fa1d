"""Jobs as the services use them: the table, the workers and the news in one place."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

from stemline.errors import Code, OutputError, SeparationError, StemlineError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import table
from stemline_server.jobs.record import JobRecord
from stemline_server.jobs.worker import Worker, Workshop

_log = logging.getLogger(__name__)

_MAX_QUEUED = 200_000
_VERIFY_TIMEOUT_S = 20.0  # well under the deadline of a call; clients try again


class JobBoard:
    """Every change is committed before the caller hears of it."""

    def __init__(self, workshop: Workshop, workers: Sequence[Worker]) -> None:
        self.hub = workshop.hub
        self.workers = tuple(workers)
        self._database = workshop.database
        self._store = workshop.store
        self._owner = workshop.owner

    def start(self) -> None:
        for worker in self.workers:
            worker.start()
            worker.wake()

    async def stop(self) -> None:
        """Tells the engines to stop at their next step, and puts their jobs back into the queue.

        That is not left to the workers: a step may last longer than anybody waits, and a job that is leased when the
        process is killed counts as one that may have killed it.
        """
        for worker in self.workers:
            worker.stop()
        try:
            await self._database.run(lambda connection: table.give_back(connection, self._owner), self.hub.publish)
        except (OutputError, sqlite3.Error) as error:
            _log.warning("jobs could not be put back into the queue: %s", error)

    def join(self, timeout_s: float) -> None:
        """Waits until the workers have stopped, at most so long."""
        deadline_s = time.monotonic() + timeout_s
        for worker in self.workers:
            if worker.ident is not None:
                worker.join(max(0.0, deadline_s - time.monotonic()))
            if worker.is_alive():
                _log.warning("the engine on %s did not reach its next step within %g s", worker.device, timeout_s)

    async def create(self, requests: Sequence[table.NewJob]) -> list[JobRecord]:
        """Create all of the jobs or, when one is refused, none.

        A result counts only once its stem was verified in this process; a damaged one is computed again.

        Raises:
            InputError: A request id was used for another job (REQUEST_ID_REUSED).
            SeparationError: Too many jobs wait (QUEUE_FULL).
            StemlineError: Verifying the stems takes long; asking again goes on with it (SERVER_UNREACHABLE).
        """
        await self._verify_results(requests)

        def work(connection: sqlite3.Connection) -> list[table.Change]:
            queued, _ = table.counts(connection)
            if queued + len(requests) > _MAX_QUEUED:
                raise SeparationError(
                    f"The server has {queued} jobs waiting.",
                    code=Code.QUEUE_FULL,
                    advice="Try again when some are done.",
                )
            return [table.create(connection, request, self._store.is_verified) for request in requests]

        changes = await self._database.run(work, after=self._publish)
        for worker in self.workers:
            worker.wake()
        return [change.job for change in changes]

    async def _verify_results(self, requests: Sequence[table.NewJob]) -> None:
        stems = await self._database.run(lambda connection: table.results_of(connection, requests))
        unverified = [stem for stem in stems if not self._store.is_verified(stem.name)]
        checks = [asyncio.to_thread(self._store.verify, stem) for stem in unverified]
        try:
            await asyncio.wait_for(asyncio.gather(*checks), _VERIFY_TIMEOUT_S)
        except TimeoutError as error:
            raise StemlineError(
                "The server is still verifying the stems that it holds.",
                code=Code.SERVER_UNREACHABLE,
                advice="Try again in a moment.",
            ) from error

    async def get(self, name: str) -> JobRecord:
        return await self._database.run(lambda connection: table.get(connection, name))

    async def newest(self, wanted: table.Filter, before_id: int, limit: int) -> list[JobRecord]:
        return await self._database.run(lambda connection: table.newest(connection, wanted, before_id, limit))

    async def check_known(self, names: Iterable[str]) -> None:
        """Raises SeparationError (JOB_UNKNOWN) for the first that is not."""
        await self._database.run(lambda connection: [table.get(connection, name) for name in names])

    async def changed_after(self, batch_id: str, sequence: int, limit: int) -> list[JobRecord]:
        return await self._database.run(lambda connection: table.changed_after(connection, batch_id, sequence, limit))

    async def cancel(self, name: str) -> JobRecord:
        """The engine of a running job is told before this returns."""

        def tell(change: table.Change) -> None:
            self._publish([change])
            if change.job.state == pb.STATE_CANCELLING:
                for worker in self.workers:
                    worker.stop_group(change.job.claim)

        change = await self._database.run(lambda connection: table.cancel(connection, name), after=tell)
        return change.job

    async def delete(self, name: str) -> None:
        await self._database.run(lambda connection: table.delete(connection, name))

    async def counts(self) -> tuple[int, int]:
        """(queued, running)."""
        return await self._database.run(table.counts)

    def loaded_models(self) -> frozenset[str]:
        return frozenset(worker.loaded_model for worker in self.workers)

    def load(self, model: str) -> list[Future[object]]:
        """Has every device load it, between jobs."""
        return [worker.load(model) for worker in self.workers]

    def unload(self, model: str) -> list[Future[object]]:
        return [worker.unload(model) for worker in self.workers]

    def _publish(self, changes: Sequence[table.Change]) -> None:
        self.hub.publish([change.job for change in changes if change.changed])
