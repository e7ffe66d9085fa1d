"""SuggestService: the sounds that taggers hear in a media."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from stemline.errors import Cancelled, Code, MediaError, SeparationError, StemlineError
from stemline.v1 import suggest_pb2 as pb
from stemline.v1 import suggest_pb2_grpc
from stemline_server._futures import result_of
from stemline_server.engines.base import AudioSource
from stemline_server.pipeline.resample import ResampledSource, Resampler
from stemline_server.pipeline.views import FoldDown
from stemline_server.services.rights import check_media
from stemline_server.store.media_store import KnownMedia, MediaStore
from stemline_server.store.names import media_id
from stemline_server.store.sources import SoundOpener
from stemline_server.taggers.base import SoundTag, Tagger
from stemline_server.taggers.registry import TaggerSource

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

T = TypeVar("T")

_REMEMBERED_RESULTS = 256
_PROGRESS_EVERY_S = 0.2


class SuggestService(suggest_pb2_grpc.SuggestServiceServicer):
    """Runs taggers on a thread of their own, one call after the other: they are fast, and engines have the devices."""

    def __init__(self, store: MediaStore, opener: SoundOpener, taggers: TaggerSource) -> None:
        """Serve the media of `store` with the taggers of a source."""
        self._store = store
        self._opener = opener
        self._source = taggers
        self._taggers: dict[str, Tagger] = {}
        self._results: OrderedDict[tuple[str, str], pb.SuggestedSounds] = OrderedDict()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tagger")
        self._stopping = threading.Event()

    def close(self) -> None:
        """Stop the running tagger at its next piece."""
        self._stopping.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def ListTaggers(self, request: pb.ListTaggersRequest, context: Context) -> pb.ListTaggersResponse:
        """Return every tagger; one that can't run says why."""
        return pb.ListTaggersResponse(taggers=await self._run(self._messages))

    async def SuggestSounds(
        self, request: pb.SuggestSoundsRequest, context: Context
    ) -> AsyncIterator[pb.SuggestSoundsResponse]:
        """Send progress, then the sounds. Raises MediaError, UsageError (MODEL_UNKNOWN), SeparationError."""
        media_id(request.media)
        await check_media(self._store, [request.media])
        media = await result_of(self._store.lookup(request.media))
        if media is None:
            raise MediaError(
                f"The server does not hold {request.media}.",
                code=Code.MEDIA_UNKNOWN,
                advice="Register or upload it first.",
            )
        call = _Call(self._stopping)
        running = asyncio.ensure_future(self._run(partial(self._suggest, media, request.tagger, call)))
        try:
            while not running.done():
                await asyncio.wait((running,), timeout=_PROGRESS_EVERY_S)
                if not running.done():
                    yield pb.SuggestSoundsResponse(fraction=call.fraction)
            yield pb.SuggestSoundsResponse(fraction=1.0, result=running.result())
        finally:
            call.stop()  # the caller has gone, or the work has ended

    def _suggest(self, media: KnownMedia, tagger_id: str, call: _Call) -> pb.SuggestedSounds:
        tagger = self._available(tagger_id)
        info = tagger.info
        key = media.row.name, info.revision
        if key not in self._results:
            call.progress(0, 1)
            with self._opener.open(media.row, media.references) as sound:
                mono: AudioSource = FoldDown(sound)
                rate = info.sample_rate or mono.sample_rate
                if rate != mono.sample_rate:
                    mono = ResampledSource(mono, Resampler(mono.sample_rate, rate))
                tags = tagger.tag(mono, call.progress)
                sounds = [_sound(tag, sound.sample_rate, rate, sound.length_samples) for tag in tags]
            self._results[key] = pb.SuggestedSounds(sounds=sounds, tagger=info.id, revision=info.revision)
        self._results.move_to_end(key)
        while len(self._results) > _REMEMBERED_RESULTS:
            self._results.popitem(last=False)
        return self._results[key]

    def _available(self, tagger_id: str) -> Tagger:
        """Return a tagger that can run: the one that is asked for, else the first."""
        obstacles = []
        for name in (tagger_id,) if tagger_id else self._source.tagger_ids():
            tagger = self._tagger(name)
            obstacle = tagger.availability()
            if not obstacle:
                return tagger
            obstacles.append(obstacle)
        raise SeparationError(" ".join(obstacles) or "This server has no tagger.", code=Code.MODEL_UNAVAILABLE)

    def _tagger(self, tagger_id: str) -> Tagger:
        if tagger_id not in self._taggers:
            self._taggers[tagger_id] = self._source.create_tagger(tagger_id)
        return self._taggers[tagger_id]

    def _messages(self) -> list[pb.Tagger]:
        return [self._message(tagger_id) for tagger_id in self._source.tagger_ids()]

    def _message(self, tagger_id: str) -> pb.Tagger:
        try:
            tagger = self._tagger(tagger_id)
            info, obstacle = tagger.info, tagger.availability()
        except StemlineError as error:
            return pb.Tagger(name=f"taggers/{tagger_id}", title=tagger_id, note=str(error))
        return pb.Tagger(
            name=f"taggers/{info.id}",
            title=info.title,
            revision=info.revision,
            available=not obstacle,
            note=obstacle or info.note,
            licence=info.licence,
        )

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _Call:
    """The progress of one call, which another thread can stop."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._stopped = threading.Event()
        self.fraction = 0.0

    def stop(self) -> None:
        self._stopped.set()

    def progress(self, done: int, total: int) -> None:
        """Note the progress. Raises Cancelled."""
        if self._stopped.is_set() or self._stopping.is_set():
            raise Cancelled
        self.fraction = min(done / total, 1.0) if total > 0 else 0.0


def _sound(tag: SoundTag, media_rate: int, rate: int, length_samples: int) -> pb.SuggestedSound:
    """Return the message of a tag, with its spans in samples of the media."""
    spans = [
        pb.SuggestedSpan(
            start_sample=span.range.start_sample * media_rate // rate,
            end_sample=min(-(-span.range.end_sample * media_rate // rate), length_samples),
            likelihood=span.likelihood,
        )
        for span in tag.spans
    ]
    return pb.SuggestedSound(prompt=tag.prompt, likelihood=tag.likelihood, spans=spans)
