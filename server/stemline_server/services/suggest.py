"""SuggestService: the sounds that taggers hear in a media."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from stemline.clips import SampleRange
from stemline.error_table import error_for
from stemline.errors import Cancelled, Code, InputError, MediaError, SeparationError, StemlineError
from stemline.v1 import separation_pb2, suggest_pb2_grpc
from stemline.v1 import suggest_pb2 as pb
from stemline_server.engines.base import Finding
from stemline_server.isolation.work import EngineDeath
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.catalog import PluginThreads
from stemline_server.jobs.gate import Gate, names_of
from stemline_server.jobs.record import Filter, JobRecord
from stemline_server.jobs.suggestions import new_suggestion
from stemline_server.pipeline.tag import TurnSearch
from stemline_server.policy.rules import JobFacts
from stemline_server.seats.access import caller, check_model, client_address
from stemline_server.services.callers import check_media, shown
from stemline_server.store.database import result_of
from stemline_server.store.media_store import KnownMedia, MediaStore
from stemline_server.store.media_table import media_id
from stemline_server.store.sources import SoundOpener
from stemline_server.taggers.base import Tagger
from stemline_server.taggers.hearing import SAMPLE_RATE as TURN_RATE
from stemline_server.taggers.registry import TaggerSource
from stemline_server.taggers.turns import MarkedVoice
from stemline_server.taggers.voice_encoder import EMBEDDING_WIDTH

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

T = TypeVar("T")

_MAX_VOICES = 16
_PROGRESS_EVERY_S = 0.2
_MAX_ATTEMPTS = 3
_TURNS = "turns"
"""Name by which rules know the search for turns of voices."""


class SuggestService(suggest_pb2_grpc.SuggestServiceServicer):
    """Creates jobs of the kind suggest and follows them, and finds turns between such jobs, on the same thread."""

    def __init__(
        self,
        board: JobBoard,
        store: MediaStore,
        opener: SoundOpener,
        taggers: TaggerSource,
        gate: Gate,
        *,
        may_hang: Iterable[str] = (),
    ) -> None:
        """Create jobs on `board` for the media of `store`.

        Args:
            board: Takes the jobs.
            store: Holds the media.
            opener: Opens them.
            taggers: The taggers.
            gate: Admits turns.
            may_hang: Names of taggers that may never answer.
        """
        self._board = board
        self._gate = gate
        self._store = store
        self._opener = opener
        self._source = taggers
        self._taggers: dict[str, Tagger] = {}
        self._callers: Counter[str] = Counter()
        self._threads = PluginThreads("tagger-catalog", may_hang)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Take no more work, and leave the jobs to the next start."""
        self._stopping.set()

    def close(self) -> None:
        """Stop asking taggers."""
        self._stopping.set()
        self._threads.close()

    async def ListTaggers(self, request: pb.ListTaggersRequest, context: Context) -> pb.ListTaggersResponse:
        """Return every tagger; one that can't run says why."""
        ids = await self._threads.ask("", self._source.tagger_ids)
        taggers = await asyncio.gather(*map(self._listed, ids))
        for tagger in taggers:
            tagger.note = shown(context, tagger.note)
        return pb.ListTaggersResponse(taggers=taggers)

    async def SuggestSounds(
        self, request: pb.SuggestSoundsRequest, context: Context
    ) -> AsyncIterator[pb.SuggestSoundsResponse]:
        """Send progress, then the sounds.

        Raises MediaError, UsageError (MODEL_UNKNOWN, POLICY_DENIED), SeparationError.
        """
        media = await self._media(request.media)
        tagger = await self._available(request.tagger)
        check_model(caller(), tagger.info.id)
        for _ in range(_MAX_ATTEMPTS):
            (job,) = await self._board.create([new_suggestion(media.row, tagger.info)])
            async with aclosing(self._followed(job)) as steps:
                async for state, fraction in steps:
                    job = state
                    if not job.ended:
                        yield pb.SuggestSoundsResponse(fraction=fraction, job=job.name)
            if job.state != separation_pb2.STATE_CANCELLED:  # else another call left it at that moment
                break
        yield pb.SuggestSoundsResponse(fraction=1.0, job=job.name, result=_result(job))

    async def _followed(self, job: JobRecord) -> AsyncGenerator[tuple[JobRecord, float]]:
        """Yield a job with its finished share until it has ended. Leaving cancels it, unless other calls follow it.

        Raises StemlineError (SERVER_UNREACHABLE) when the server stops.
        """
        self._callers[job.name] += 1
        try:
            with self._board.hub.watch(Filter(names=frozenset({job.name}))) as watcher:
                job = await result_of(self._board.jobs.get(job.name))
                fraction = 0.0
                while not job.ended:
                    yield job, fraction
                    events = await watcher.next_events()
                    if not events:
                        raise StemlineError(
                            "The server is stopping.", code=Code.SERVER_UNREACHABLE, advice="Try again in a moment."
                        )
                    fraction = max(fraction, *(event.job.progress.fraction for event in events))
                    job = await result_of(self._board.jobs.get(job.name))
                yield job, 1.0
        finally:
            self._callers -= Counter({job.name: 1})
            if not job.ended and not self._callers[job.name] and not self._stopping.is_set():
                await asyncio.shield(self._board.cancel(job.name))

    async def FindTurns(self, request: pb.FindTurnsRequest, context: Context) -> AsyncIterator[pb.FindTurnsResponse]:
        """Send progress, then the turns of the voices.

        Raises MediaError, UsageError (POLICY_DENIED), SeparationError.
        """
        media = await self._media(request.media)
        voices = _marked_voices(request, media.row.shape.length_samples)
        await self._admit(media, _TURNS, ", ".join(voice.name for voice in voices))
        async with aclosing(self._progress(lambda call: self._turns(media, voices, call))) as steps:
            async for fraction, result in steps:
                yield pb.FindTurnsResponse(fraction=fraction, result=result)

    async def _media(self, name: str) -> KnownMedia:
        """Return a known sound. Raises MediaError (MEDIA_UNKNOWN), InputError."""
        media_id(name)
        await check_media(self._store, [name])
        media = await result_of(self._store.lookup(name))
        if media is None:
            raise MediaError(
                f"The server does not hold {name}.", code=Code.MEDIA_UNKNOWN, advice="Register or upload it first."
            )
        return media

    async def _admit(self, media: KnownMedia, model: str, words: str = "") -> None:
        """Check a call by the policy. Raises UsageError (POLICY_DENIED), OutputError."""
        facts = JobFacts(
            who=names_of(caller()),
            kind="suggest",
            model=model,
            words=words,
            media=media.row.name,
            length_samples=media.row.shape.length_samples,
            client=client_address(),
        )
        await self._gate.check_suggestion(facts, self._forget)

    async def _forget(self, media: str) -> None:
        """Take a sound of a denied call from its caller, unless a job needs it."""
        with suppress(StemlineError):
            await result_of(self._store.delete(media, caller().holder))

    async def _progress(self, work: Callable[[_Call], T]) -> AsyncGenerator[tuple[float, T | None], None]:
        """Yield the finished share while the work runs, then 1 and the result. Leaving stops the work."""
        call = _Call(self._stopping)
        running = asyncio.wrap_future(self._board.listener.order(lambda: work(call)))
        try:
            while not running.done():
                await asyncio.wait((running,), timeout=_PROGRESS_EVERY_S)
                if not running.done():
                    yield call.fraction, None
            yield 1.0, running.result()
        finally:
            call.stop()  # the caller has gone, or the work has ended

    def _turns(self, media: KnownMedia, voices: Sequence[MarkedVoice], call: _Call) -> pb.FoundTurns:
        call.step(0, 1)
        rate = media.row.shape.sample_rate
        marked = tuple(replace(voice, spans=_scaled(voice.spans, rate, TURN_RATE)) for voice in voices)
        with self._opener.open(media.row, media.references) as sound:
            try:
                found = self._board.listener.do(TurnSearch(sound, TURN_RATE, marked), call)
            except EngineDeath as death:
                raise death.error from death
        try:
            both = cast(dict[str, list[Any]], found)
            return pb.FoundTurns(
                voices=_voice_turns(both["voices"], rate), overlaps=_span_messages(both["overlaps"], rate)
            )
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            raise SeparationError("The process of the taggers returned no turns.", code=Code.INTERNAL) from error

    async def _available(self, tagger_id: str) -> Tagger:
        """Return a tagger that can run: the one that is asked for, else the first. Raises StemlineError."""
        obstacles = []
        for name in (tagger_id,) if tagger_id else await self._threads.ask("", self._source.tagger_ids):
            tagger, obstacle = await self._threads.ask(name, partial(self._asked, name))
            if not obstacle:
                return tagger
            obstacles.append(obstacle)
        raise SeparationError(" ".join(obstacles) or "This server has no tagger.", code=Code.MODEL_UNAVAILABLE)

    def _tagger(self, tagger_id: str) -> Tagger:
        if tagger_id not in self._taggers:
            self._taggers[tagger_id] = self._source.create_tagger(tagger_id)
        return self._taggers[tagger_id]

    def _asked(self, tagger_id: str) -> tuple[Tagger, str]:
        tagger = self._tagger(tagger_id)
        return tagger, tagger.availability()

    async def _listed(self, tagger_id: str) -> pb.Tagger:
        return await self._threads.ask_for_list(
            tagger_id, lambda: self._message(tagger_id), lambda obstacle: _unknown(tagger_id, obstacle)
        )

    def _message(self, tagger_id: str) -> pb.Tagger:
        try:
            tagger, obstacle = self._asked(tagger_id)
        except StemlineError as error:
            return _unknown(tagger_id, str(error))
        info = tagger.info
        return pb.Tagger(
            name=f"taggers/{info.id}",
            title=info.title,
            revision=info.revision,
            available=not obstacle,
            note=obstacle or info.note,
            licence=info.licence,
        )


def _unknown(tagger_id: str, obstacle: str) -> pb.Tagger:
    return pb.Tagger(name=f"taggers/{tagger_id}", title=tagger_id, note=obstacle)


class _Call:
    """The progress of one call, which another thread can stop."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._stopped = threading.Event()
        self.fraction = 0.0

    def stop(self) -> None:
        self._stopped.set()

    @property
    def is_stopped(self) -> bool:
        """Return whether the tagger is to end at its next step."""
        return self._stopped.is_set() or self._stopping.is_set()

    def step(self, done: int, total: int) -> None:
        """Note the progress. Raises Cancelled."""
        if self.is_stopped:
            raise Cancelled
        self.fraction = min(done / total, 1.0) if total > 0 else 0.0

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Ignore warnings: taggers give none."""

    def find(self, prompt: int, finding: Finding) -> None:
        """Ignore findings: taggers return theirs."""


def _scaled(spans: Sequence[SampleRange], from_rate: int, to_rate: int) -> tuple[SampleRange, ...]:
    """Return spans counted at another sample rate, rounded outward."""
    return tuple(
        SampleRange(s.start_sample * to_rate // from_rate, -(-s.end_sample * to_rate // from_rate)) for s in spans
    )


def _marked_voices(request: pb.FindTurnsRequest, length_samples: int) -> list[MarkedVoice]:
    """Return the voices of a request. Raises InputError for marks outside of the media and for wrong embeddings."""
    voices = []
    for voice in request.voices:
        spans = tuple(SampleRange(span.start_sample, span.end_sample) for span in voice.spans)
        inside = all(0 <= span.start_sample < span.end_sample <= length_samples for span in spans)
        if not inside or len(voice.centroid) not in (0, EMBEDDING_WIDTH) or not (spans or voice.centroid):
            raise InputError(
                f"The mark of the voice {voice.name!r} lies outside the media.",
                advice="Mark where that voice alone speaks.",
            )
        voices.append(MarkedVoice(voice.name, spans, tuple(voice.centroid)))
    if not 1 <= len(voices) <= _MAX_VOICES:
        raise InputError(f"Ask for 1 to {_MAX_VOICES} voices.", advice="Mark each voice once.")
    return voices


def _voice_turns(found: list[Any], rate: int) -> list[pb.VoiceTurns]:
    """Return the messages of what `TurnSearch` returns, for a sound of that sample rate."""
    return [
        pb.VoiceTurns(
            name=name,
            centroid=centroid,
            turns=_span_messages(spans, rate),
        )
        for name, centroid, spans in found
    ]


def _span_messages(spans: list[Any], rate: int) -> list[pb.SuggestedSpan]:
    return [
        pb.SuggestedSpan(start_sample=span.start_sample, end_sample=span.end_sample, likelihood=1.0)
        for span in _scaled([SampleRange(*span) for span in spans], TURN_RATE, rate)
    ]


def _result(job: JobRecord) -> pb.SuggestedSounds:
    """Return what a job heard. Raises StemlineError for one that failed or was cancelled."""
    if job.state == separation_pb2.STATE_CANCELLED:
        raise Cancelled
    if job.state != separation_pb2.STATE_SUCCEEDED:
        error = separation_pb2.JobError.FromString(job.packed_error or b"")
        raise error_for(error.reason, error.message, error.advice)
    return job.stem.sounds
