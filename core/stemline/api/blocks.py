"""The sound of a run in the order of playback, as soon as it is finished."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stemline.client import Client, Job, JobState, LiveStem
from stemline.clips import RESIDUAL, MediaSource, SampleRange
from stemline.errors import StemlineError
from stemline.media import AudioReader, open_audio
from stemline.plan import Cell, Part, StemSegment
from stemline.workflow import Prepared, RunSettings
from stemline.workflow.fileset import blocks, divide
from stemline.workflow.joined_stem import JoinedTarget, PartReader
from stemline.workflow.progress import Listener
from stemline.workflow.segment_writer import written_format
from stemline.workflow.splitting import Split, playback_order

_POLL_S = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A finished block of one stem.

    Attributes:
        media: Path of the media that the sound comes from.
        stem: Name of the stem, or "residual".
        start_sample: Position of the first sample in the media.
        sample_rate: Samples per second.
        samples: float32 array of shape [channels, samples].

    Examples:
        >>> import stemline
        >>> with stemline.start("interview.wav", {"dialogue": "speech"}, output="out") as run:
        ...     first = next(run.blocks())
        >>> first.stem, first.start_sample, first.samples.shape
        ('dialogue', 0, (1, 32768))
    """

    media: str
    stem: str
    start_sample: int
    sample_rate: int
    samples: npt.NDArray[np.float32]


class BlockFeed(Listener):
    """Takes what a run finishes, and yields it as blocks in another thread.

    A part is read from the server while it is computed; what has files is read from those.
    """

    def __init__(self, prepared: Prepared, settings: RunSettings, client: Callable[[], Client | None]) -> None:
        """Prepare for a run; `client` returns its connection while it has one."""
        self._prepared = prepared
        self._settings = settings
        self._client = client
        self._changed = threading.Condition()
        self._splits: Mapping[StemSegment, Split] = {}
        self._running: dict[Part, str] = {}
        self._live: dict[str, LiveStem] = {}
        self._jobs: dict[Part, Job] = {}
        self._files: dict[StemSegment, Mapping[str, Path]] = {}
        self._ended = False

    def on_splits(self, splits: Mapping[StemSegment, Split]) -> None:
        """Take how each segment is separated."""
        with self._changed:
            self._splits = splits
            self._changed.notify_all()

    def on_running(self, part: Part, job: Job) -> None:
        """Take the job of a part that the server computes now."""
        with self._changed:
            if self._running.get(part) != job.name:
                self._running[part] = job.name
                self._changed.notify_all()

    def on_part(self, part: Part, job: Job) -> None:
        """Take the job of a part that has ended."""
        with self._changed:
            self._jobs[part] = job
            self._running.pop(part, None)
            self._changed.notify_all()

    def on_files(self, segment: StemSegment, files: Mapping[str, Path]) -> None:
        """Take the finished files of a segment by stem name; none where it failed."""
        with self._changed:
            self._files[segment] = files
            self._changed.notify_all()

    def end(self) -> None:
        """Note that the run has ended."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of all segments until the run has ended."""
        later = []
        try:
            for segment, near in playback_order(self._prepared):
                yield from self._stretch(segment, SampleRange(near, segment.range.end_sample))
                if near > segment.range.start_sample:
                    later.append((segment, SampleRange(segment.range.start_sample, near)))
            for segment, before in later:
                yield from self._stretch(segment, before)
        finally:
            self._close_live(set(self._live))

    def _stretch(self, segment: StemSegment, span: SampleRange) -> Iterator[Block]:
        """Yield the blocks of a range of a segment."""
        at = span.start_sample
        with ExitStack() as stack:
            mix: AudioReader | None = None
            while at < span.end_sample:
                self._close_live(self._live.keys() - set(self._running.values()))
                files, ready = self._wait(segment, at)
                if files is None and ready is None:
                    return
                try:
                    end = span.end_sample if ready is None else min(ready, span.end_sample)
                    if files:
                        found = self._of_files(segment, files, at, end)
                    else:
                        mix = mix or stack.enter_context(open_audio(segment.source))
                        found = self._of_parts(segment, mix, at, end)
                    for block in found:
                        yield block
                        if block.stem == RESIDUAL:
                            at = block.start_sample + block.samples.shape[1]
                except (StemlineError, ValueError):
                    if files or not self._files.get(segment):  # else the run has ended, and its files are there
                        raise

    def _wait(self, segment: StemSegment, at: int) -> tuple[Mapping[str, Path] | None, int | None]:
        """Wait for sound from a position on; return its files, or up to where it can be read from the server.

        Waits in short steps, so that signals are handled. Neither where the segment failed or the run has ended.
        """
        with self._changed:
            while True:
                if segment in self._files:
                    return self._files[segment] or None, None
                if segment in self._splits and (ready := self._ready(segment, at)) > at:
                    return None, ready
                if self._ended:
                    return None, None
                self._changed.wait(_POLL_S)

    def _ready(self, segment: StemSegment, at: int) -> int:
        """Return up to where all sound from a position on can be read: of parts that are separated, or computed now."""
        split = self._splits[segment]
        reach = split.grid.fade_samples // 2 if split.grid else 0
        ready = segment.range.end_sample
        for parts in split.parts.values():
            for number, part in enumerate(parts):
                core = part.cell.core
                if core.end_sample + reach <= at or self._is_done(part):
                    continue
                last = number + 1 == len(parts)
                until = min(self._received(segment, part), core.end_sample - (0 if last else reach))
                ready = min(ready, max(at, core.start_sample - (reach if number else 0), until))
                break
        return ready

    def _is_done(self, part: Part) -> bool:
        job = self._jobs.get(part)
        return part.prompt.is_empty or (job is not None and job.state is JobState.SUCCEEDED)

    def _received(self, segment: StemSegment, part: Part) -> int:
        """Return up to which sample of the media the sound of a part that is computed now was received."""
        name, client = self._running.get(part), self._client()
        if name is None or client is None:
            return 0
        if name not in self._live:
            channels = self._prepared.facts[segment.source].channels
            self._live[name] = client.receive_stem(name, channels, self._notify)
        return part.cell.range.start_sample + self._live[name].received_samples

    def _close_live(self, jobs: Set[str]) -> None:
        """Stop receiving the stems of some jobs; only the thread that yields blocks reads them."""
        for job in jobs:
            self._live.pop(job).close()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _of_parts(self, segment: StemSegment, mix: AudioReader, start_sample: int, end_sample: int) -> Iterator[Block]:
        """Yield blocks that are joined from parts on the server, as files will hold them."""
        client = self._client()
        if client is None:
            raise ValueError("There is no connection.")
        facts, split = self._prepared.facts[segment.source], self._splits[segment]
        is_float = written_format(segment.source, self._settings.sample_format).is_float
        fade_samples = split.grid.fade_samples if split.grid else 0
        with ExitStack() as stack:
            targets: dict[str, JoinedTarget] = {}
            for stem, parts in split.parts.items():
                opener = partial(self._open_part, client)
                targets[stem] = JoinedTarget(opener, self._sounds(parts), facts.channels, fade_samples)
                stack.callback(targets[stem].close)
            for span in blocks(SampleRange(start_sample, end_sample)):
                whole = mix.read(span.start_sample, span.end_sample)
                exact = whole if is_float else mix.on_grid(whole)
                stems, residual = divide(exact, targets, span, is_float=is_float)
                for name, sound in (*stems, (RESIDUAL, residual)):
                    yield Block(segment.source.path, name, span.start_sample, facts.sample_rate, sound)

    def _sounds(self, parts: tuple[Part, ...]) -> list[tuple[Cell, str | None]]:
        """Return each part with the name of its sound, or of its job where it is computed now."""
        with self._changed:
            jobs = [self._jobs.get(part) for part in parts]
            running = [self._running.get(part) for part in parts]
        return [
            (part.cell, job.stem.media if job is not None and job.stem is not None else name)
            for part, job, name in zip(parts, jobs, running, strict=True)
        ]

    def _open_part(self, client: Client, name: str) -> PartReader:
        live = self._live.get(name)
        return client.open_media(name) if live is None else _Received(live)

    def _of_files(
        self, segment: StemSegment, files: Mapping[str, Path], start_sample: int, end_sample: int
    ) -> Iterator[Block]:
        sample_rate, base = self._prepared.facts[segment.source].sample_rate, segment.range.start_sample
        names = [name for name in (*(stem.name for stem in self._prepared.stems), RESIDUAL) if name in files]
        with ExitStack() as stack:
            readers = {name: stack.enter_context(open_audio(MediaSource(str(files[name])))) for name in names}
            for span in blocks(SampleRange(start_sample, end_sample)):
                for name, reader in readers.items():
                    sound = reader.read(span.start_sample - base, span.end_sample - base)
                    yield Block(segment.source.path, name, span.start_sample, sample_rate, sound)


@dataclass(frozen=True, slots=True)
class _Received:
    """Reads a stem that goes on being received after this reader is closed."""

    stem: LiveStem

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        return self.stem.read(start_sample, end_sample)

    def close(self) -> None:
        pass
