"""Progress and cancellation between a run and its caller."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from stemline.client import Client
from stemline.clips import SampleRange
from stemline.plan import Extent, StemSegment
from stemline.workflow.prepare import Prepared
from stemline.workflow.results import Progress


class Hooks:
    """Callbacks of a run's caller, and what the run tells about itself while it works.

    `on_files` is called from the run's threads with each finished set of stem files by stem name. `stop` ends the run
    from within. `client` is set while the run is connected; `open_jobs` names its jobs that have not ended.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
        on_files: Callable[[StemSegment, Mapping[str, Path]], None] = lambda segment, files: None,
    ) -> None:
        """Store the callbacks."""
        self.on_progress = on_progress
        self.on_files = on_files
        self.client: Client | None = None
        self.open_jobs: set[str] = set()
        self._cancelled = cancelled
        self._stop = False

    def stop(self) -> None:
        """Stop the run."""
        self._stop = True

    def stopped(self) -> bool:
        """Return whether the run should stop."""
        return self._stop or self._cancelled()


class Meter:
    """Adds up the parts of a run. A second of media counts the same when it is separated and when it is written.

    Safe to use from several threads.
    """

    def __init__(self, prepared: Prepared, on_progress: Callable[[Progress], None]) -> None:
        """Prepare for a planned run; `on_progress` is called whenever it moves."""
        self._tell = on_progress
        self._prepared = prepared
        self._lock = threading.Lock()
        self._jobs = {(job.extent, job.stem): 0.0 for job in prepared.plan.jobs if not job.prompt.is_empty}
        self._stems = [stem.name for stem in prepared.stems]
        self._open_segments = Counter(segment.extent for segment in prepared.plan.segments)
        self._total = sum(self._size(extent, extent.range) for extent, _ in self._jobs)
        self._total += sum(self._size(segment.extent, segment.range) for segment in prepared.plan.segments)
        self._media_s = sum(
            segment.range.length / prepared.facts[segment.source].sample_rate for segment in prepared.plan.segments
        )
        self._done = self._left_out = 0.0
        self._started_s = time.monotonic()

    def say(self, stage: str) -> None:
        """Report the progress."""
        elapsed_s = max(time.monotonic() - self._started_s, 1e-3)
        worked = (self._done - self._left_out) / self._total if self._total else 0.0
        self._tell(Progress(stage, round(self._done), self._total, worked * self._media_s / elapsed_s))

    def job(self, extent: Extent, stem: str, fraction: float, stage: str) -> None:
        """Report that a job is at `fraction`. It never goes back."""
        with self._lock:
            self._advance(extent, stem, fraction)
        self.say(stage)

    def segment(self, segment: StemSegment, stage: str = "writing") -> None:
        """Report that the files of a segment are finished."""
        with self._lock:
            self._done += self._size(segment.extent, segment.range)
        self.say(stage)

    def leave_out(self, segment: StemSegment) -> None:
        """Report that a segment needs no work. Jobs of an extent without other segments need none either."""
        with self._lock:
            before = self._done
            self._open_segments[segment.extent] -= 1
            if not self._open_segments[segment.extent]:
                for stem in self._stems:
                    self._advance(segment.extent, stem, 1.0)
            self._left_out += self._done - before + self._size(segment.extent, segment.range)
        self.segment(segment, "reusing")

    def _advance(self, extent: Extent, stem: str, fraction: float) -> None:
        before = self._jobs.get((extent, stem))
        if before is not None and fraction > before:
            self._jobs[extent, stem] = fraction
            self._done += self._size(extent, extent.range) * (fraction - before)

    def _size(self, extent: Extent, held: SampleRange) -> int:
        """Return the milliseconds of media in a range."""
        return held.length * 1000 // self._prepared.facts[extent.source].sample_rate
