"""GenerationService: generators, and jobs that make sound from words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stemline.errors import Code, InputError, StemlineError
from stemline.v1 import generation_pb2 as pb
from stemline.v1 import generation_pb2_grpc, separation_pb2
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.generation import (
    GeneratorCatalog,
    GeneratorFacts,
    check_generation_media,
    generation_keys,
    normal_generation,
)
from stemline_server.jobs.record import NewJob, media_read_by
from stemline_server.jobs.specs import check_ids, checked_reason
from stemline_server.seats.access import caller, check_model
from stemline_server.services.callers import check_media, shown, shown_job
from stemline_server.store.database import result_of
from stemline_server.store.media_store import MediaStore

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

_MAX_JOBS = 1000


class GenerationService(generation_pb2_grpc.GenerationServiceServicer):
    """Lists generators and creates their jobs, which run on the devices and in the queue of separations."""

    def __init__(
        self, board: JobBoard, catalog: GeneratorCatalog, store: MediaStore, is_draining: Callable[[], bool]
    ) -> None:
        """Create jobs on `board` from media in `store`, until the server is draining."""
        self._board = board
        self._catalog = catalog
        self._store = store
        self._is_draining = is_draining

    async def ListGenerators(self, request: pb.ListGeneratorsRequest, context: Context) -> pb.ListGeneratorsResponse:
        """Return every generator; one that can't run says why."""
        return pb.ListGeneratorsResponse(
            generators=[_message(facts, context) for facts in await self._catalog.all_facts()]
        )

    async def CreateGenerations(
        self, request: pb.CreateGenerationsRequest, context: Context
    ) -> pb.CreateGenerationsResponse:
        """Create all of the jobs or, when one is refused, none. Raises StemlineError."""
        if self._is_draining():
            raise StemlineError(
                "The server is stopping.", code=Code.SERVER_UNREACHABLE, advice="Try again in a moment."
            )
        if len(request.requests) > _MAX_JOBS:
            raise InputError(f"At most {_MAX_JOBS} sounds at a time.", advice="Send several requests.")
        jobs = await self._board.create(await self._checked(request.requests))
        progress_of = self._board.hub.progress_of
        return pb.CreateGenerationsResponse(jobs=[shown_job(context, job.message(progress_of(job))) for job in jobs])

    async def _checked(self, requests: Sequence[pb.CreateGenerationRequest]) -> list[NewJob]:
        default = self._catalog.default()
        specs = [normal_generation(request.spec, default) for request in requests]
        media = {name for spec in specs for name in media_read_by(spec)}
        await check_media(self._store, media)
        known = await result_of(self._store.known(media))
        jobs = []
        for request, spec in zip(requests, specs, strict=True):
            check_ids(request)
            check_generation_media(spec, known)
            check_model(caller(), spec.generator)
            info = await self._catalog.admit(spec)
            jobs.append(
                NewJob(
                    request_id=request.request_id,
                    batch_id=request.batch_id,
                    priority=request.priority,
                    spec=spec,
                    keys=generation_keys(spec, info),
                    model=info.id,
                    revision=info.revision,
                    kind=separation_pb2.JOB_KIND_GENERATE,
                    seat=caller(),
                    audio_s=spec.length_samples / info.sample_rate,
                    length_samples=spec.length_samples,
                    reason=checked_reason(request.reason),
                )
            )
        return jobs


def _message(facts: GeneratorFacts, context: Context) -> pb.Generator:
    info = facts.info
    return pb.Generator(
        name=f"generators/{info.id}",
        title=info.title,
        revision=info.revision,
        sample_rate=info.sample_rate,
        channels=info.channels,
        min_s=info.min_s,
        max_s=info.max_s,
        fills=info.fills,
        varies=info.varies,
        available=not facts.obstacle,
        note=shown(context, facts.obstacle or info.note),
        licence=info.licence,
        commercial=info.commercial,
        marks=info.marks,
    )
