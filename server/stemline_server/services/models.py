"""ModelService: the models of the server, and the server itself."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from stemline._version import __version__
from stemline.v1 import models_pb2 as pb
from stemline.v1 import models_pb2_grpc
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.catalog import Catalog, ModelFacts
from stemline_server.pipeline import PIPELINE_VERSION
from stemline_server.services.callers import shown
from stemline_server.services.media import MediaService
from stemline_server.store.database import result_of
from stemline_server.store.media_store import MediaStore

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]


_PICTURES_PER_SECOND_GPU = 25  # one for each frame of the model
_PICTURES_PER_SECOND_CPU = 4  # a picture takes 2.7 to 5.2 s of one core, several times the rest of the model at 25


class ModelService(models_pb2_grpc.ModelServiceServicer):
    """Lists, loads and unloads models. Devices load them on their own threads, between jobs."""

    def __init__(self, board: JobBoard, catalog: Catalog, store: MediaStore, media: MediaService) -> None:
        """Serve the models of `catalog` and the devices of `board`."""
        self._board = board
        self._catalog = catalog
        self._store = store
        self._media = media
        self._started_s = time.monotonic()

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Return every model; one that can't run says why."""
        return pb.ListModelsResponse(
            models=[self._message(facts, context) for facts in await self._catalog.all_facts()]
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.Model:
        """Return a model. Raises UsageError (MODEL_UNKNOWN)."""
        return self._message(await self._catalog.facts(_id(request.name)), context)

    async def LoadModel(self, request: pb.LoadModelRequest, context: Context) -> pb.Model:
        """Load a model on every device now. Raises UsageError (MODEL_UNKNOWN), SeparationError (MODEL_UNAVAILABLE)."""
        info = await self._catalog.admit(_id(request.name), ())
        await asyncio.gather(*map(asyncio.wrap_future, self._board.load(info.id)))
        return self._message(await self._catalog.facts(info.id), context)

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Context) -> pb.Model:
        """Drop a model from every device. Raises UsageError (MODEL_UNKNOWN)."""
        facts = await self._catalog.facts(_id(request.name))
        await asyncio.gather(*map(asyncio.wrap_future, self._board.unload(facts.info.id)))
        return self._message(facts, context)

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.ServerInfo:
        """Return what the server is, holds and does."""
        queued, running = await result_of(self._board.jobs.counts())
        nonce_path = self._media.nonce_path(context)
        return pb.ServerInfo(
            version=__version__,
            default_model=self._catalog.default_model,
            devices=[worker.device for worker in self._board.workers],
            pipeline_version=PIPELINE_VERSION,
            store_bytes=await result_of(self._store.stored_bytes()),
            store_limit_bytes=self._store.limit_bytes,
            queued_jobs=queued,
            running_jobs=running,
            shares_disk=bool(nonce_path),
            uptime_s=time.monotonic() - self._started_s,
            nonce_path=nonce_path,
        )

    def _message(self, facts: ModelFacts, context: Context) -> pb.Model:
        info = facts.info
        return pb.Model(
            name=f"models/{info.id}",
            title=info.title,
            revision=info.revision,
            sample_rate=info.sample_rate or 0,
            multichannel=info.multichannel,
            takes_spans=info.spans,
            takes_free_text=info.free_text,
            available=not facts.obstacle,
            note=shown(context, facts.obstacle or info.note),
            loaded=info.id in self._board.loaded_models(),
            licence=info.licence,
            takes_pictures=info.pictures,
            pictures_per_second=info.pictures_per_second or self._pictures_per_second() if info.pictures else 0,
            made_by=info.made_by,
            cell_s=info.cell_s,
            context_s=info.context_s,
            undivided_s=max(info.undivided_s, info.cell_s),
        )

    def _pictures_per_second(self) -> int:
        """Return how many pictures of a second of sound the devices encode in reasonable time."""
        on_gpu = all(worker.device.startswith("cuda") for worker in self._board.workers)
        return _PICTURES_PER_SECOND_GPU if on_gpu else _PICTURES_PER_SECOND_CPU


def _id(name: str) -> str:
    return name.removeprefix("models/")
