"""The job board: the job table, the workers and the event hub, as the services use them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stemline.errors import Code, OutputError, StemlineError
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.gate import Gate
from stemline_server.jobs.record import JobRecord, NewJob
from stemline_server.jobs.worker import Worker, WorkerContext
from stemline_server.seats.access import caller
from stemline_server.store.content import Draft
from stemline_server.store.database import result_of

_log = logging.getLogger(__name__)

_KILL_TIMEOUT_S = 5.0
_VERIFY_TIMEOUT_S = 20.0  # well under the deadline of a call; clients try again


class JobBoard:
    """Creates and cancels jobs, and keeps the workers informed.

    Attributes:
        jobs: The job table.
        hub: The events of jobs.
        workers: One for each device.
        listener: The worker for suggestions.
    """

    def __init__(self, context: WorkerContext, workers: Sequence[Worker], listener: Worker, gate: Gate) -> None:
        """Work with the table of `context`, which the workers share; `gate` admits jobs.

        `note_created`, set later if at all, gets the jobs of each call that creates some.
        """
        self.note_created: Callable[[Sequence[JobRecord]], object] = lambda _: None
        self._gate = gate
        self.jobs = context.jobs
        self.hub = context.hub
        self.workers = tuple(workers)
        self.listener = listener
        self._all_workers = (*self.workers, listener)
        self._store = context.store
        self._owner = context.owner

    def start(self, warm: Sequence[str] = ()) -> None:
        """Start the workers, which load the models in `warm`, as far as memory allows, and look for jobs."""
        for worker in self.workers:
            worker.warm(warm)
        for worker in self._all_workers:
            worker.start()
            worker.wake()

    async def stop(self) -> None:
        """Tell the engines to stop at their next step, and put their jobs back into the queue.

        That is not left to the workers: a step may last longer than the stop may take, and a job that is leased when
        the process is killed counts as one that may have killed it.
        """
        for worker in self._all_workers:
            worker.stop()
        try:
            await result_of(self.jobs.give_back(self._owner))
        except (OutputError, sqlite3.Error) as error:
            _log.warning("jobs could not be put back into the queue: %s", error)

    def join(self, timeout_s: float) -> None:
        """Wait until the workers have stopped, for at most `timeout_s`; then end their engines."""
        started = [worker for worker in self._all_workers if worker.ident is not None]
        _join_all(started, timeout_s)
        for worker in started:
            if worker.is_alive():
                _log.warning("the engine on %s did not reach its next step within %g s", worker.device, timeout_s)
                worker.kill()
        _join_all(started, _KILL_TIMEOUT_S)

    async def create(self, requests: Sequence[NewJob]) -> list[JobRecord]:
        """Create all of the jobs or, when one is refused, none.

        A result counts only once its stem was verified in this process; a damaged one is computed again.

        Raises:
            UsageError: The policy of the server denies one of them (POLICY_DENIED).
            InputError: A request id was used for another job (REQUEST_ID_REUSED).
            SeparationError: Too many jobs wait (QUEUE_FULL).
            StemlineError: Verifying the stems takes long; asking again goes on with it (SERVER_UNREACHABLE).
        """
        await self._gate.check(requests, self._forget)
        await self._verify_results(requests)
        jobs = await result_of(self.jobs.create(requests, self._store.is_verified))
        self._gate.accepted(requests, jobs)
        self.note_created(jobs)
        for worker in self._all_workers:
            worker.wake()
        return jobs

    async def _forget(self, media: str) -> None:
        """Take a sound of a denied job from its caller, unless another job needs it."""
        with contextlib.suppress(StemlineError):
            await result_of(self._store.delete(media, caller().holder))

    async def cancel(self, name: str) -> JobRecord:
        """Cancel a job. The engine of a running job knows before this returns.

        Raises SeparationError (JOB_UNKNOWN).
        """

        def stop_engine(job: JobRecord) -> None:
            if job.state == pb.STATE_CANCELLING:
                for worker in self._all_workers:
                    worker.stop_group(job.claim)

        return await result_of(self.jobs.cancel(name, stop_engine))

    def draft_of(self, key: str) -> Draft | None:
        """Return the stem of the running computation with that key, as far as it is written; None if none runs."""
        return next((draft for worker in self.workers if (draft := worker.draft_of(key)) is not None), None)

    def loaded_models(self) -> frozenset[str]:
        """Return the ids of the models that are loaded on some device."""
        return frozenset(model for worker in self.workers for model in worker.loaded_models)

    def load(self, model: str) -> list[Future[object]]:
        """Have every device load a model, between jobs."""
        return [worker.load(model) for worker in self.workers]

    def unload(self, model: str) -> list[Future[object]]:
        """Have every device drop a model, between jobs."""
        return [worker.unload(model) for worker in self.workers]

    async def _verify_results(self, requests: Sequence[NewJob]) -> None:
        names = await result_of(self.jobs.results_of(requests))
        unverified = [name for name in names if not self._store.is_verified(name)]
        stems = (await result_of(self._store.known(unverified))).values() if unverified else ()
        checks = [asyncio.ensure_future(asyncio.to_thread(self._store.verify, stem)) for stem in stems]
        if not checks:
            return
        done, running = await asyncio.wait(checks, timeout=_VERIFY_TIMEOUT_S)  # they go on when the caller leaves
        for check in done:
            check.result()
        if running:
            raise StemlineError(
                "The server is still verifying the stems that it holds.",
                code=Code.SERVER_UNREACHABLE,
                advice="Try again in a moment.",
            )


def _join_all(workers: Sequence[Worker], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    for worker in workers:
        worker.join(max(0.0, deadline_s - time.monotonic()))
