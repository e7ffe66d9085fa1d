"""A run: a separation that is planned, started, watched and cancelled."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from stemline.api.blocks import Block, BlockFeed
from stemline.client import Client, Job, JobState
from stemline.errors import StemlineError
from stemline.hosts.base import Host
from stemline.prompts import StemRequest
from stemline.workflow import (
    EditNamer,
    Hooks,
    Prepared,
    Progress,
    RunResult,
    RunSettings,
    Wanted,
    prepare,
    run_prepared,
)
from stemline.workflow.estimate import check_room, estimate
from stemline.workflow.outputs import Namer
from stemline.workflow.results import Estimate

T = TypeVar("T")
_POLL_S = 0.2
_CLOSE_TIMEOUT_S = 10.0
_QUEUE_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned run: the host with its clips, the work, and where the files go."""

    host: Host
    prepared: Prepared
    settings: RunSettings
    namer: Namer


class Run(Generic[T]):
    """A separation that runs in the background.

    `stemline.start` returns one. As a context manager it is cancelled at the end of the block unless it has ended. It
    also ends with the program, so wait for `result`.

    Examples:
        >>> import stemline
        >>> with stemline.start("interview.wav", {"dialogue": "speech"}, output="out") as run:
        ...     result = run.result()
        >>> run.done, run.progress.fraction
        (True, 1.0)
    """

    def __init__(
        self,
        plan: Plan,
        finish: Callable[[RunResult, Hooks], T],
        client: Client | None = None,
        resources: ExitStack | None = None,
    ) -> None:
        """Prepare a run. `finish` makes the result and reports to the hooks; `resources` are closed at the end."""
        self._plan = plan
        self._finish = finish
        self._client = client
        self._on_progress: Callable[[Progress], None] | None = None
        self._cancelled: Callable[[], bool] | None = None
        self._resources = resources or ExitStack()
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._feed = BlockFeed(plan.prepared, plan.settings, lambda: self._hooks.client)
        self._hooks = Hooks(self._note_progress, self._stopped, self._feed)
        self._progress = Progress("planned", 0, 1)
        self._expected_s: float | None = None
        self._started_s = 0.0
        self._values: list[T] = []
        self._error: BaseException | None = None

    @property
    def plan(self) -> Plan:
        """Return what the run does, for callers inside this repository."""
        return self._plan

    @property
    def estimate(self) -> Estimate:
        """Return the expected seconds of sound, computing time and bytes on disk."""
        return estimate(self._plan.prepared, self._plan.settings)

    @property
    def progress(self) -> Progress:
        """Return how far the run is."""
        return self._progress

    @property
    def done(self) -> bool:
        """Return whether the run has ended: with a result, an error, or cancelled."""
        return self._ended.is_set()

    def follow(
        self, progress: Callable[[Progress], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> Self:
        """Call `progress` while the run works, from several threads, and stop it when `cancelled` returns true.

        For use before the run starts.
        """
        self._on_progress, self._cancelled = progress, cancelled
        return self

    def start(self) -> Self:
        """Start the run in a thread of its own, once, and return it."""
        if self._thread is None and not self.done:
            self._thread = threading.Thread(target=self._run_quietly, name="stemline-run", daemon=True)
            self._thread.start()
        return self

    def cancel(self) -> None:
        """Ask the run to stop. Its jobs are cancelled and finished files stay; `result` raises Cancelled."""
        self._stop.set()

    def queue_place(self) -> int | None:
        """Return how many jobs of others the server starts before this run's next one.

        Zero while one of its jobs is computed; None while it has no job on the server.
        """
        client, names = self._hooks.client, set(self._hooks.open_jobs)
        if client is None or not names or self.done:
            return None
        waiting: list[Job] = []
        with suppress(StemlineError):  # the server stops, or the run ends now
            waiting = list(client.jobs(states=(JobState.QUEUED, JobState.RUNNING)))
        own = [job for job in waiting if job.name in names]
        if not own:
            return None
        if any(job.state is JobState.RUNNING for job in own):
            return 0
        first = min(map(_order, own))
        others = (job for job in waiting if job.name not in names)
        return sum(job.state is JobState.RUNNING or _order(job) < first for job in others)

    def blocks(self) -> Iterator[Block]:
        """Yield the sound of each stem as soon as it is finished, in blocks of at most 65536 samples.

        The blocks come in the order of playback: from `near` on where the run was started with it, then what lies
        before. Each position comes with every stem and then the residual. The samples are those of the files; where
        media is not of integers and a stem turns out to leave full scale, to within half a step of 24 bits. Starts the
        run; can be iterated once. Raises what `result` raises.
        """
        self.start()
        yield from self._feed.blocks()
        self.result()

    def result(self, timeout_s: float | None = None) -> T:
        """Return the result, waiting for the end of the run; a run that is not started works in this thread.

        Raises:
            TimeoutError: The run has not ended after `timeout_s` seconds. It goes on.
            StemlineError: What stopped the run.
        """
        if self._thread is None and not self.done:
            self._run()
        self._wait(timeout_s)
        if self._error is not None:
            raise self._error
        return self._values[0]

    def close(self) -> None:
        """Cancel the run unless it has ended, wait for it, and free the names of its results."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)
        self._resources.close()

    def __enter__(self) -> Self:
        """Return the run."""
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel the run unless it has ended."""
        self.close()

    def _wait(self, timeout_s: float | None) -> None:
        """Wait in short steps, so that signals are handled."""
        left_s = timeout_s
        while not self._ended.wait(_POLL_S if left_s is None else min(_POLL_S, max(0.0, left_s))):
            if left_s is not None:
                left_s -= _POLL_S
                if left_s <= 0:
                    raise TimeoutError(f"The run has not ended after {timeout_s:g} s.")

    def _run_quietly(self) -> None:
        with suppress(BaseException):  # `result` raises it where the caller is
            self._run()

    def _run(self) -> None:
        plan = self._plan
        try:
            expected = self.estimate
            check_room(expected, plan.settings.output_dir)
            self._expected_s, self._started_s = expected.total_s, time.monotonic()
            self._note_progress(Progress("starting", 0, 1))
            threading.Thread(target=self._tell_place, name="stemline-queue", daemon=True).start()
            result = run_prepared(plan.host, plan.prepared, plan.settings, plan.namer, self._hooks, client=self._client)
            self._values.append(self._finish(result, self._hooks))
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._resources.close()
            self._ended.set()
            self._feed.end()

    def _tell_place(self) -> None:
        """Report the place in the queue as a stage until the first job of the run is computed."""
        while not self._ended.wait(_QUEUE_POLL_S):
            before = None
            with suppress(StemlineError, ValueError):  # the connection is closed
                before = self.queue_place()
            if before == 0 or self._progress.done:
                return
            if before and not self._ended.is_set():
                stage = f"waiting for {before} {'job' if before == 1 else 'jobs'}"
                self._note_progress(replace(self._progress, stage=stage))

    def _stopped(self) -> bool:
        return self._stop.is_set() or (self._cancelled is not None and self._cancelled())

    def _note_progress(self, progress: Progress) -> None:
        if progress.left_s is None and self._expected_s is not None:  # too early to tell it from the work
            left_s = max(1.0, self._expected_s - (time.monotonic() - self._started_s))
            progress = replace(progress, left_s=left_s)
        self._progress = progress
        if self._on_progress is not None:
            self._on_progress(progress)


def plan_host(
    host: Host,
    stems: Sequence[StemRequest],
    settings: RunSettings,
    finish: Callable[[RunResult], T],
    *,
    client: Client | None = None,
    wanted: Wanted | None = None,
) -> Run[T]:
    """Plan a run on the clips of any host, to which the new tracks are written. Raises StemlineError."""
    namer = EditNamer(settings.output_dir)
    plan = Plan(host, prepare(host, stems, settings, namer.folder, wanted), settings, namer)
    return Run(plan, lambda run, _: finish(run), client)


def _order(job: Job) -> tuple[int, float]:
    """Return the sort key by which the server starts jobs."""
    return -job.request.priority, job.created.timestamp() if job.created else 0.0
