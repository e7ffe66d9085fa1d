"""SeparationService: jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from stemline.errors import Code, InputError, StemlineError
from stemline.v1 import separation_pb2 as pb
from stemline.v1 import separation_pb2_grpc
from stemline_server.engines.base import EngineInfo
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.catalog import Catalog
from stemline_server.jobs.record import Filter, JobRecord, NewJob
from stemline_server.jobs.specs import (
    check_against_media,
    check_ids,
    check_mask,
    checked_reason,
    engine_prompt,
    job_kind,
    keys_of,
    media_names,
    normal_spec,
)
from stemline_server.pipeline import PIPELINE_VERSION
from stemline_server.seats.access import caller, check_model
from stemline_server.services.callers import check_media, shown_job, visible_job
from stemline_server.store.database import result_of
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaShape

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

T = TypeVar("T")

_MAX_WAIT_S = 60.0
_MAX_PAGE = 1000
_DEFAULT_PAGE = 100
_REPLAY_PAGE = 500
_SLICE = 200  # requests of a batch between two turns of other calls
_MAX_BATCH = 20_000
_NEWEST = 1 << 62


class SeparationService(separation_pb2_grpc.SeparationServiceServicer):
    """Creates, lists, cancels and watches jobs. Handlers never block: other threads wait for disks and engines."""

    def __init__(self, board: JobBoard, catalog: Catalog, store: MediaStore) -> None:
        """Serve the jobs of `board`, whose media are in `store`."""
        self._board = board
        self._catalog = catalog
        self._store = store
        self.draining = False

    async def CreateJob(self, request: pb.CreateJobRequest, context: Context) -> pb.Job:
        """Create a job, or return the job of the same request id. Raises StemlineError."""
        (job,) = await self._create([request])
        return self._message(job, context)

    async def BatchCreateJobs(self, request: pb.BatchCreateJobsRequest, context: Context) -> pb.BatchCreateJobsResponse:
        """Create all of the jobs or, when one is refused, none. Raises StemlineError."""
        if len(request.requests) > _MAX_BATCH:
            raise InputError(f"A batch may have {_MAX_BATCH} jobs.", advice="Send several batches with one batch_id.")
        jobs = await self._create(request.requests)
        return pb.BatchCreateJobsResponse(jobs=[self._message(job, context) async for job in _in_slices(jobs)])

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.Job:
        """Return a job. Raises SeparationError (JOB_UNKNOWN)."""
        return self._message(await visible_job(self._board, request.name), context)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Return a page of jobs, newest first."""
        size = min(request.page_size, _MAX_PAGE) if request.page_size > 0 else _DEFAULT_PAGE
        wanted = Filter(batch_id=request.batch_id, states=tuple(request.states), seat=caller())
        jobs = await result_of(self._board.jobs.newest(wanted, _page_start(request.page_token), size + 1))
        token = str(jobs[size - 1].id) if len(jobs) > size else ""
        return pb.ListJobsResponse(jobs=[self._message(job, context) for job in jobs[:size]], next_page_token=token)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.Job:
        """Cancel a job. Raises SeparationError (JOB_UNKNOWN)."""
        await visible_job(self._board, request.name)
        return self._message(await self._board.cancel(request.name), context)

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> pb.DeleteJobResponse:
        """Forget an ended job. Raises SeparationError (JOB_UNKNOWN), InputError."""
        await visible_job(self._board, request.name)
        await result_of(self._board.jobs.delete(request.name))
        return pb.DeleteJobResponse()

    async def WaitJob(self, request: pb.WaitJobRequest, context: Context) -> pb.Job:
        """Return a job once it has ended or the timeout is over. Raises SeparationError (JOB_UNKNOWN)."""
        timeout_s = (
            request.timeout.seconds + request.timeout.nanos / 1e9 if request.HasField("timeout") else _MAX_WAIT_S
        )
        with self._board.hub.watch(Filter(names=frozenset({request.name}))) as watcher:
            job = await visible_job(self._board, request.name)
            try:
                async with asyncio.timeout(timeout_s):
                    while not job.ended and await watcher.next_events():
                        job = await result_of(self._board.jobs.get(request.name))
            except TimeoutError:
                job = await result_of(self._board.jobs.get(request.name))
        return self._message(job, context)

    async def WatchJobs(self, request: pb.WatchJobsRequest, context: Context) -> AsyncIterator[pb.JobEvent]:
        """Send the events of jobs in order. Raises SeparationError (JOB_UNKNOWN)."""
        wanted = Filter(names=frozenset(request.names), batch_id=request.batch_id, seat=caller())
        for name in wanted.names if not wanted.seat.is_operator else ():
            await visible_job(self._board, name)
        await result_of(self._board.jobs.check_known(wanted.names))
        with self._board.hub.watch(wanted, request.after_sequence) as watcher:
            sequence = request.after_sequence
            while page := await result_of(self._board.jobs.changed_after(wanted.batch_id, sequence, _REPLAY_PAGE)):
                for job in page:
                    if wanted.admits(job):
                        yield pb.JobEvent(sequence=job.sequence, job=self._message(job, context))
                sequence = page[-1].sequence
            while events := await watcher.next_events():
                for event in events:
                    if event.sequence == 0 or event.sequence > sequence:
                        shown_job(context, event.job)
                        yield event

    async def _create(self, requests: Sequence[pb.CreateJobRequest]) -> list[JobRecord]:
        if self.draining:
            raise StemlineError(
                "The server is stopping.", code=Code.SERVER_UNREACHABLE, advice="Try again in a moment."
            )
        specs = []
        async for request in _in_slices(requests):
            check_ids(request)
            job_kind(request)
            specs.append(normal_spec(request.spec, self._catalog.default_model))
        names = {name for spec in specs for name in media_names(spec)}
        await check_media(self._store, names)
        known = await result_of(self._store.known(names))
        for spec in specs:
            check_against_media(spec, known)
        models = await self._admit(specs)
        for spec in specs:
            check_mask(spec, known)
        pairs = list(zip(requests, specs, strict=True))
        return await self._board.create(
            [
                _new_job(request, spec, models[spec.model], known[spec.media].shape)
                async for request, spec in _in_slices(pairs)
            ]
        )

    async def _admit(self, specs: Sequence[pb.SeparationSpec]) -> dict[str, EngineInfo]:
        """Return the models of the specs. Each model checks each different prompt once."""
        prompts: dict[str, dict[bytes, pb.Prompt]] = {}
        for spec in specs:
            check_model(caller(), spec.model)
            prompts.setdefault(spec.model, {})[spec.prompt.SerializeToString(deterministic=True)] = spec.prompt
        return {
            model: await self._catalog.admit(model, [engine_prompt(prompt) for prompt in different.values()])
            for model, different in prompts.items()
        }

    def _message(self, job: JobRecord, context: Context) -> pb.Job:
        return shown_job(context, job.message(self._board.hub.progress_of(job)))


async def _in_slices(items: Sequence[T]) -> AsyncIterator[T]:
    """Yield the items, and let other calls run in between: a large batch takes seconds."""
    for number, item in enumerate(items):
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        yield item


def _new_job(request: pb.CreateJobRequest, spec: pb.SeparationSpec, info: EngineInfo, shape: MediaShape) -> NewJob:
    return NewJob(
        request_id=request.request_id,
        batch_id=request.batch_id,
        priority=request.priority,
        spec=spec,
        keys=keys_of(spec, info.id, info.revision, PIPELINE_VERSION),
        model=info.id,
        revision=info.revision,
        kind=job_kind(request),
        seat=caller(),
        audio_s=shape.duration_s,
        length_samples=shape.length_samples,
        reason=checked_reason(request.reason),
    )


def _page_start(token: str) -> int:
    if not token:
        return _NEWEST
    if not token.isascii() or not token.isdigit() or len(token) > 18:
        raise InputError("The server does not know this page token.", advice="Start again without one.")
    return int(token)
