"""Delivers events of jobs from any thread to every client that watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs.record import Filter, JobRecord


class Watcher:
    """The events that one client has not been sent yet: at most the last one of each job."""

    def __init__(self, wanted: Filter, after_sequence: int) -> None:
        """Watch the jobs that `wanted` admits, for events later than `after_sequence`."""
        self.wanted = wanted
        self._seen_sequence = after_sequence
        self._pending: dict[str, tuple[int, pb.Job]] = {}
        self._news = asyncio.Event()
        self._closed = False

    def offer(self, job: JobRecord, progress: pb.Progress | None = None) -> None:
        """Note a change or progress. Changes that the client has seen are dropped."""
        if not self.wanted.admits(job):
            return
        if progress is None:
            if job.sequence <= self._seen_sequence:
                return
            self._seen_sequence = job.sequence
            self._pending.pop(job.name, None)
            self._pending[job.name] = (job.sequence, job.message())
        else:
            sequence = self._pending[job.name][0] if job.name in self._pending else 0
            self._pending[job.name] = (sequence, job.message(progress))
        self._news.set()

    def close(self) -> None:
        """End the watch."""
        self._closed = True
        self._news.set()

    async def next_events(self) -> list[pb.JobEvent]:
        """Wait for events; return none when the server ends the watch."""
        await self._news.wait()
        self._news.clear()
        pending, self._pending = self._pending, {}
        if self._closed:
            self._news.set()
        return [pb.JobEvent(sequence=sequence, job=job) for sequence, job in pending.values()]


class EventHub:
    """The events of all jobs. It lives in the event loop; `publish` and `report` may be called from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver events in `loop`."""
        self._loop = loop
        self._watchers: set[Watcher] = set()
        self._running: dict[str, JobRecord] = {}
        self._progress: dict[str, pb.Progress] = {}
        self._closed = False

    def publish(self, jobs: Sequence[JobRecord]) -> None:
        """Deliver committed changes, in the order of their sequence numbers."""
        if jobs:
            self._soon(self._deliver, jobs)

    def report(self, jobs: Sequence[JobRecord], progress: pb.Progress) -> None:
        """Deliver progress, which stays in memory only."""
        self._soon(self._deliver_progress, jobs, progress)

    def progress_of(self, job: JobRecord) -> pb.Progress | None:
        """Return the last progress of a running job, if there is any."""
        return self._progress.get(job.name)

    @contextlib.contextmanager
    def watch(self, wanted: Filter, after_sequence: int = 0) -> Iterator[Watcher]:
        """Yield a watcher that gets every event from now on."""
        watcher = Watcher(wanted, after_sequence)
        self._watchers.add(watcher)
        if self._closed:
            watcher.close()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """End every watch, so that clients of a server that stops get an orderly end of stream."""
        self._closed = True
        for watcher in self._watchers:
            watcher.close()

    def _soon(self, function: object, *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and every watch with it
            self._loop.call_soon_threadsafe(function, *arguments)  # type: ignore[arg-type]

    def _deliver(self, jobs: Sequence[JobRecord]) -> None:
        for job in jobs:
            if job.state in (pb.STATE_RUNNING, pb.STATE_CANCELLING):
                self._running[job.name] = job
            else:
                self._running.pop(job.name, None)
                self._progress.pop(job.name, None)
            for watcher in self._watchers:
                watcher.offer(job)

    def _deliver_progress(self, jobs: Sequence[JobRecord], progress: pb.Progress) -> None:
        for job in (self._running[job.name] for job in jobs if job.name in self._running):
            self._progress[job.name] = progress
            for watcher in self._watchers:
                watcher.offer(job, progress)
