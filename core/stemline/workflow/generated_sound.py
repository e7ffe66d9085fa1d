"""Make the sounds of fills from words: jobs of the server's generators, joined to any length."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import numpy as np

from stemline.client import Client, GenerationRequest, Job, SoundGenerator
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Cancelled, Code, SeparationError, StemlineError, UsageError
from stemline.fill import FillFile, Texture, joined, resampled_blocks, write_fill_file
from stemline.identity import digest
from stemline.media.samples import FloatBlock
from stemline.workflow.progress import Hooks
from stemline.workflow.replacing import Replace
from stemline.workflow.results import Progress
from stemline.workflow.settings import Settings

_OVERLAP_S = 1.0  # between two pieces of a long sound
_CONTEXT_S = 5.0  # of the piece before, that a generator which fills goes on from
_READ_SAMPLES = 1 << 16
_MAX_SEED = 1 << 64


@dataclass(frozen=True, slots=True)
class SoundWish:
    """A sound to make from words.

    Attributes:
        fill: The words, the generator, the room, and whether to vary.
        length_s: Length in seconds.
        seed: Seed of all its pieces.
        reference: Sound to vary, as long as the wish; None for none.
    """

    fill: Replace
    length_s: float
    seed: int
    reference: tuple[MediaSource, SampleRange] | None = None


class SoundMaker:
    """Makes sounds from words on the server of a run. Safe to use from several threads.

    Args:
        client: Connection to the server.
        settings: Settings of the run.
        hooks: Progress and cancel.

    Raises:
        UsageError: A generator is unknown, or cannot do what a fill asks for (MODEL_UNKNOWN, PROMPT_UNSUPPORTED).
        SeparationError: A generator cannot run there (MODEL_UNAVAILABLE).
    """

    def __init__(self, client: Client, settings: Settings, hooks: Hooks) -> None:
        """Choose the generators."""
        fills = tuple(settings.replace.values())
        self._client = client
        self._hooks = hooks
        self._quality, self._priority, self._reason = settings.quality, settings.priority, settings.reason
        self._generators = client.generators() if any(fill.words for fill in fills) else ()
        self._lock = threading.Lock()
        self._total_ms = self._done_ms = 0
        for fill in fills:
            if fill.words:
                self.generator(fill)

    def generator(self, fill: Replace) -> SoundGenerator:
        """Return the generator of a fill with words. Raises as the constructor does."""
        known = {generator.id: generator for generator in self._generators}
        if not known:
            raise SeparationError(
                "The server has no generator of sounds from words.",
                code=Code.MODEL_UNAVAILABLE,
                advice="Use room tone or a file, or update the server.",
            )
        name = fill.generator or self._generators[0].id
        if name not in known:
            raise UsageError(
                f"The server has no generator {name!r}.",
                code=Code.MODEL_UNKNOWN,
                advice=f"It has: {', '.join(sorted(known))}.",
            )
        chosen = known[name]
        if not chosen.available:
            raise SeparationError(
                f"The generator {name!r} cannot run on the server.", code=Code.MODEL_UNAVAILABLE, advice=chosen.note
            )
        if fill.vary is not None and not chosen.varies:
            raise UsageError(
                f"The generator {name} does not vary sounds.",
                code=Code.PROMPT_UNSUPPORTED,
                advice="Leave out the variation, or choose another --generator.",
            )
        return chosen

    def expect(self, length_s: float) -> None:
        """Count a sound that will be made, for the progress."""
        with self._lock:
            self._total_ms += round(length_s * 1000)

    def make(self, wish: SoundWish, wanted: FillFile) -> FillFile:
        """Make a sound and write it as `wanted` says. Raises StemlineError; Cancelled when the hooks say so."""
        generator = self.generator(wish.fill)
        blocks = joined(self._pieces(wish, generator))
        return write_fill_file(
            resampled_blocks(blocks, generator.sample_rate, wanted.sample_rate), wanted, wish.fill.room
        )

    def _pieces(self, wish: SoundWish, generator: SoundGenerator) -> Texture:
        """Yield the sound in segments, each with its overlap with the one before."""
        rate = generator.sample_rate
        left = max(round(wish.length_s * rate), -(-round(generator.min_s * rate * 1000) // 1000), 1)
        longest = int(generator.max_s * rate)
        overlap = min(round(_OVERLAP_S * rate), longest // 8)
        context = max(overlap, min(round(_CONTEXT_S * rate), longest // 2)) if generator.fills else overlap
        context = overlap if wish.reference is not None else context
        before: tuple[Job, int] | None = None
        tail: FloatBlock | None = None
        number = at = 0
        while left > 0:
            goes_on = before is not None
            length = min(longest, left + (context if goes_on else 0))
            length = max(length, min(longest, round(generator.min_s * rate) + 1))
            job = self._run(self._request(wish, generator, (number, at, length, context), before))
            start = context - overlap if goes_on else 0
            for segment, joint, correlation in self._read(job, start, length, overlap if goes_on else 0, tail):
                yield segment, joint, correlation
                tail = segment[:, -overlap:] if overlap else None
            fresh = length - (context if goes_on else 0)
            left -= fresh
            at += fresh
            before, number = (job, length), number + 1

    def _request(
        self,
        wish: SoundWish,
        generator: SoundGenerator,
        piece: tuple[int, int, int, int],
        before: tuple[Job, int] | None,
    ) -> GenerationRequest:
        """Return the request of one piece: its number, where its fresh part begins, its length and its context.

        `before` is the job of the piece before it and the length of that piece.
        """
        number, at, length, context = piece
        more: dict[str, object] = {}
        if wish.reference is not None:
            more = {"reference": self._reference(wish, at - (context if before else 0), length, generator)}
            more["strength"] = wish.fill.vary or 1.0
        elif before is not None and generator.fills:
            job, held = before
            assert job.stem is not None  # noqa: S101 - it has succeeded
            more = {
                "context": job.stem.media,
                "context_start_sample": held - context,
                "holes": (SampleRange(context, length),),
            }
        return GenerationRequest(
            text=wish.fill.words,
            length_samples=length,
            generator=generator.id,
            seed=int(digest([wish.seed, number])[:16], 16) % _MAX_SEED,
            quality=self._quality,
            priority=self._priority,
            reason=self._reason,
            **more,  # type: ignore[arg-type]
        )

    def _reference(self, wish: SoundWish, at: int, length: int, generator: SoundGenerator) -> str:
        """Return the name of the media that a piece varies: a part of the reference of the wish."""
        assert wish.reference is not None  # noqa: S101 - checked by the caller
        source, whole = wish.reference
        scale = whole.length / max(wish.length_s * generator.sample_rate, 1)
        start = min(whole.start_sample + round(at * scale), whole.end_sample - 1)
        end = max(start + 1, min(whole.start_sample + round((at + length) * scale), whole.end_sample))
        return self._client.ensure_media(source, SampleRange(start, end)).name

    def _read(self, job: Job, start: int, end: int, overlap: int, tail: FloatBlock | None) -> Texture:
        """Yield the sound of a job from `start` on; its first segment overlaps the tail of the piece before."""
        assert job.stem is not None  # noqa: S101 - it has succeeded
        with self._client.open_media(job.stem.media) as reader:
            first = True
            while start < end:
                stop = min(end, start + max(_READ_SAMPLES, 2 * overlap))
                if end - stop < _READ_SAMPLES:
                    stop = end  # the last segment must hold the next overlap
                segment = reader.read(start, stop)
                joint = min(overlap, segment.shape[1]) if first else 0
                yield segment, joint, _likeness(tail, segment, joint)
                start, first = stop, False

    def _run(self, request: GenerationRequest) -> Job:
        """Run one job to its end. Raises its error, and Cancelled when the hooks say so."""
        (job,) = self._client.create_generations([request])
        self._hooks.open_jobs.add(job.name)
        seen_ms = 0
        with contextlib.ExitStack() as undo:
            undo.callback(self._cancel, job.name)
            for seen in self._client.watch([job.name]):
                job = seen
                if self._hooks.stopped():
                    raise Cancelled
                generator = next(known for known in self._generators if known.id == request.generator)
                whole_ms = round(request.length_samples * 1000 / generator.sample_rate)
                now_ms = round(whole_ms * (1.0 if job.ended else job.fraction))
                self._report(now_ms - seen_ms)
                seen_ms = now_ms
            undo.pop_all()
        self._hooks.open_jobs.discard(job.name)
        if job.stem is None:
            raise job.error.error() if job.error else SeparationError("The job was stopped on the server.")
        return job

    def _cancel(self, job: str) -> None:
        with contextlib.suppress(StemlineError):
            self._client.cancel([job])

    def _report(self, more_ms: int) -> None:
        with self._lock:
            self._done_ms += more_ms
            self._total_ms = max(self._total_ms, self._done_ms)
            done, total = self._done_ms, self._total_ms
        self._hooks.on_progress(Progress("generating", done, total))


def check_generators(client: Client, settings: Settings, hooks: Hooks) -> None:
    """Check that the generators of a run can do what its fills ask for. Raises as `SoundMaker` does."""
    SoundMaker(client, settings, hooks)


def _likeness(tail: FloatBlock | None, head: FloatBlock, overlap: int) -> float:
    """Return how the two sides of a joint correlate, from 0 (unrelated) to 1 (the same)."""
    if tail is None or overlap == 0:
        return 0.0
    before, after = tail[:, -overlap:].ravel().astype(np.float64), head[:, :overlap].ravel().astype(np.float64)
    if before.shape != after.shape:
        return 0.0
    norm = float(np.sqrt((before @ before) * (after @ after)))
    return float(np.clip(before @ after / norm, 0, 1)) if norm > 0 else 0.0
