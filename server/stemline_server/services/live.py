"""LiveService: the sound of jobs that still run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from stemline.errors import Code, MediaError
from stemline.v1 import live_pb2 as pb
from stemline.v1 import live_pb2_grpc
from stemline_server.jobs.board import JobBoard
from stemline_server.services.callers import visible_job

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

_POLL_S = 0.03
_CHECK_S = 0.5
"""How often the table is asked whether the job has ended while no sound comes."""
_MAX_CHUNK_BYTES = 1 << 20


class LiveService(live_pb2_grpc.LiveServiceServicer):
    """Reads the stems that the workers write."""

    def __init__(self, board: JobBoard, note_download: Callable[[str], Awaitable[None]]) -> None:
        """Serve the jobs of `board`; `note_download` logs whose stem a caller receives."""
        self._board = board
        self._note_download = note_download

    async def WatchStem(self, request: pb.WatchStemRequest, context: Context) -> AsyncIterator[pb.StemChunk]:
        """Send a stem while it is computed. Raises SeparationError (JOB_UNKNOWN), MediaError (MEDIA_OUT_OF_RANGE)."""
        at = request.start_sample
        if at < 0:
            raise MediaError("start_sample is negative.", code=Code.MEDIA_OUT_OF_RANGE, advice="Start at 0 or later.")
        job = await visible_job(self._board, request.job)
        await self._note_download(job.name)
        checked_s = time.monotonic()
        while not job.ended:
            draft = self._board.draft_of(job.key)
            if draft is not None and draft.written_samples > at:
                data = await asyncio.to_thread(draft.read, at, _MAX_CHUNK_BYTES)
                if data:
                    yield pb.StemChunk(start_sample=at, data=data)
                    at += len(data) // draft.frame_bytes
                    continue
            await asyncio.sleep(_POLL_S)
            if time.monotonic() - checked_s > _CHECK_S:
                job = await visible_job(self._board, request.job)
                checked_s = time.monotonic()
