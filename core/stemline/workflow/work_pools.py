"""The threads of a run: those that follow jobs, and those that write the files of what has been separated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from stemline.errors import StemlineError
from stemline.plan import Part, StemSegment
from stemline.workflow.part_jobs import PartJobs
from stemline.workflow.previous_stems import FinishedFile
from stemline.workflow.recipe import PartSound
from stemline.workflow.segment_writer import SegmentWork


@dataclass(slots=True)
class SegmentResult:
    """The files of one segment, or the error. `engine_s` is 0 where nothing had to be computed."""

    segment: StemSegment
    files: dict[str, FinishedFile] = field(default_factory=dict)
    error: StemlineError | None = None
    reused: bool = False
    engine_s: float = 0.0
    elapsed_s: float = 0.0


class WorkPools:
    """Runs jobs, and writes each segment when the last of its jobs has ended."""

    def __init__(
        self,
        writers: ThreadPoolExecutor,
        followers: ThreadPoolExecutor,
        jobs: PartJobs,
        write: Callable[[SegmentWork], SegmentResult],
    ) -> None:
        """Use two pools of threads; `write` writes the files of a segment."""
        self.followed: list[Future[None]] = []
        self.written: list[Future[SegmentResult]] = []
        self._followers = followers
        self._jobs = jobs
        self._waiting = _WaitingWork(lambda work: self.written.append(writers.submit(write, work)))

    def follow(self, sounds: Sequence[PartSound]) -> None:
        """Run the jobs of these parts."""
        if sounds:
            self.followed.append(self._followers.submit(self._jobs.run, sounds, self._waiting.end))

    def add(self, work: SegmentWork) -> None:
        """Write the files of a segment when its jobs have ended."""
        self._waiting.add(work)

    def raise_failed(self) -> None:
        """Raise the error of what has ended, before more sound is sent."""
        futures: list[Future[Any]] = [*self.followed, *self.written]
        for future in futures:
            if future.done():
                future.result()


class _WaitingWork:
    """Passes each segment on when the last of its parts has ended. Safe to use from several threads."""

    def __init__(self, write: Callable[[SegmentWork], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._ended: set[Part] = set()
        self._waiting: dict[Part, list[SegmentWork]] = {}
        self._missing: dict[int, int] = {}

    def add(self, work: SegmentWork) -> None:
        """Add a segment whose parts are, or will be, separated."""
        with self._lock:
            needed = {
                sound.part
                for sounds in work.recipe.sounds.values()
                for sound in sounds
                if not sound.part.prompt.is_empty and sound.part not in self._ended
            }
            for part in needed:
                self._waiting.setdefault(part, []).append(work)
            self._missing[id(work)] = len(needed)
        if not needed:
            self._write(work)

    def end(self, part: Part) -> None:
        """Note the end of a part."""
        ready = []
        with self._lock:
            self._ended.add(part)
            for work in self._waiting.pop(part, ()):
                self._missing[id(work)] -= 1
                if not self._missing[id(work)]:
                    ready.append(work)
        for work in ready:
            self._write(work)
