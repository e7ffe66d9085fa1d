"""Progress and cancellation between a run and its caller."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from stemline.client import Client, Job
from stemline.clips import MediaFacts, MediaSource, SampleRange
from stemline.plan import Part, StemSegment
from stemline.workflow.results import Progress
from stemline.workflow.splitting import Split

_LEAST_SHARE = 0.005  # of the work: before it, no time can be foretold


class Listener:
    """Receives what a run finishes, from the run's threads. This one ignores it."""

    def on_splits(self, splits: Mapping[StemSegment, Split]) -> None:
        """Take how each segment is separated, before the work."""

    def on_running(self, part: Part, job: Job) -> None:
        """Take the job of a part that the server computes now; called more than once."""

    def on_part(self, part: Part, job: Job) -> None:
        """Take the job of a part that has ended."""

    def on_files(self, segment: StemSegment, files: Mapping[str, Path]) -> None:
        """Take the finished files of a segment by stem name; none where it failed."""


class Hooks:
    """Callbacks of a run's caller, and what the run tells about itself while it works.

    `stop` ends the run from within. `client` is set while the run is connected, `meter` when its work is known;
    `open_jobs` names its jobs that have not ended.
    """

    def __init__(
        self,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
        listener: Listener | None = None,
    ) -> None:
        """Store the callbacks."""
        self.on_progress = on_progress
        self.listener = listener or Listener()
        self.client: Client | None = None
        self.meter: Meter | None = None
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

    def __init__(
        self,
        facts: Mapping[MediaSource, MediaFacts],
        parts: Mapping[StemSegment, Sequence[Part]],
        on_progress: Callable[[Progress], None],
        sets: int = 1,
    ) -> None:
        """Prepare for a planned run.

        Args:
            facts: The facts of each source.
            parts: The parts that each segment needs.
            on_progress: Called whenever the run moves.
            sets: How often each segment is written: more than once with files that are made from its stems.
        """
        self._tell = on_progress
        self._facts = facts
        self._parts = parts
        self._lock = threading.Lock()
        self._jobs = {part: 0.0 for needed in parts.values() for part in needed if not part.prompt.is_empty}
        self._users = Counter(part for needed in parts.values() for part in needed)
        self._total = sum(self._ms(part.cell.source, part.cell.range) for part in self._jobs)
        self._total += sets * sum(self._ms(segment.source, segment.range) for segment in parts)
        self._written: dict[tuple[StemSegment, str], float] = {}
        self._media_s = sum(segment.range.length / facts[segment.source].sample_rate for segment in parts)
        self._done = self._left_out = 0.0
        self._started_s = time.monotonic()

    def say(self, stage: str) -> None:
        """Report the progress."""
        elapsed_s = max(time.monotonic() - self._started_s, 1e-3)
        with self._lock:
            done, left_out = self._done, self._left_out
        worked = (done - left_out) / self._total if self._total else 0.0
        share = (done - left_out) / max(1, self._total - left_out)
        left_s = elapsed_s * (1 - share) / share if share > _LEAST_SHARE else None
        self._tell(Progress(stage, round(done), self._total, worked * self._media_s / elapsed_s, left_s))

    def job(self, part: Part, fraction: float, stage: str) -> None:
        """Report that the job of a part is at `fraction`. It never goes back."""
        with self._lock:
            self._advance(part, fraction)
        self.say(stage)

    def segment(self, segment: StemSegment, fraction: float = 1.0, stage: str = "writing") -> None:
        """Report that the files of a segment are finished, or to which part. It never goes back."""
        with self._lock:
            before = self._written.get((segment, stage), 0.0)
            if fraction > before:
                self._written[segment, stage] = fraction
                self._done += self._ms(segment.source, segment.range) * (fraction - before)
        self.say(stage)

    def leave_out(self, segment: StemSegment) -> None:
        """Report that a segment needs no work. Parts that no other segment needs are not separated either."""
        with self._lock:
            before = self._done
            for part in self._parts[segment]:
                self._users[part] -= 1
                if not self._users[part]:
                    self._advance(part, 1.0)
            self._left_out += self._done - before + self._ms(segment.source, segment.range)
        self.segment(segment, stage="reusing")

    def _advance(self, part: Part, fraction: float) -> None:
        before = self._jobs.get(part)
        if before is not None and fraction > before:
            self._jobs[part] = fraction
            self._done += self._ms(part.cell.source, part.cell.range) * (fraction - before)

    def _ms(self, source: MediaSource, held: SampleRange) -> int:
        """Return the milliseconds of media in a range."""
        return held.length * 1000 // self._facts[source].sample_rate
