"""The separations that a host asked for: one after the other, each with a name, its progress and its end."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stemline.errors import Cancelled, Code, StemlineError, UsageError

_KEPT_RUNS = 200
_log = logging.getLogger(__name__)

Report = Callable[[dict[str, Any]], None]
Work = Callable[[Report, Callable[[], bool]], Mapping[str, Any]]
"""(report progress, is it cancelled) -> the result, both as JSON can hold them. Raises StemlineError."""
Tell = Callable[[str, Mapping[str, Any]], None]


class RunState(StrEnum):
    """The state of a run, as `status` tells it."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class HostRun:
    """One run. `tag` is the host's own name for it."""

    name: str
    tag: str
    work: Work
    state: RunState = RunState.QUEUED
    progress: dict[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self) -> dict[str, Any]:
        """The fields that every notification about the run has."""
        return {"run": self.name, "tag": self.tag}

    def as_wire(self) -> dict[str, Any]:
        """Return the run as `status` answers it."""
        shown = self.names | {"state": str(self.state), "progress": dict(self.progress)}
        ends = {"result": self.result, "error": self.error}
        return shown | {name: end for name, end in ends.items() if end is not None}


class Runs:
    """The queue and its one worker. `tell` sends `progress` (throttled), `done` and `failed`."""

    def __init__(self, tell: Tell, progress_every_s: float = 0.1) -> None:
        """Prepare the queue. `start` begins it."""
        self._tell = tell
        self._progress_every_s = progress_every_s
        self._lock = threading.Lock()
        self._runs: dict[str, HostRun] = {}
        self._count = 0
        self._waiting: queue.SimpleQueue[HostRun | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._work, name="stemline-runs", daemon=True)

    def start(self) -> None:
        """Start the worker."""
        self._worker.start()

    def add(self, work: Work, tag: str = "") -> str:
        """Queue `work` and return its name. `tag` is the host's own name for it."""
        with self._lock:
            self._count += 1
            run = HostRun(f"run-{self._count}", tag, work)
            self._runs[run.name] = run
            self._forget_old()
        self._waiting.put(run)
        return run.name

    def cancel(self, name: str) -> None:
        """Cancel a run. It ends with `failed` and the code CANCELLED."""
        self._find(name).cancel.set()

    def status(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return one run, or all that are remembered, oldest first. Raises UsageError for an unknown name."""
        if name is not None:
            return [self._find(name).as_wire()]
        with self._lock:
            return [run.as_wire() for run in self._runs.values()]

    def stop(self, timeout_s: float) -> bool:
        """Cancel all runs and wait for the worker. Returns whether it ended in time."""
        with self._lock:
            for run in self._runs.values():
                run.cancel.set()
        self._waiting.put(None)
        self._worker.join(timeout_s)
        return not self._worker.is_alive()

    def _find(self, name: str) -> HostRun:
        with self._lock:
            run = self._runs.get(name)
        if run is None:
            raise UsageError(f"There is no run {name!r}.", code=Code.JOB_UNKNOWN)
        return run

    def _forget_old(self) -> None:
        ended = [run.name for run in self._runs.values() if run.state in (RunState.DONE, RunState.FAILED)]
        for name in ended[: max(0, len(self._runs) - _KEPT_RUNS)]:
            del self._runs[name]

    def _work(self) -> None:
        while (run := self._waiting.get()) is not None:
            try:
                self._do(run)
            except StemlineError as error:
                self._fail(run, error)
            except Exception:  # noqa: BLE001 - the outermost loop of a worker: the next run goes on
                _log.exception("a run failed inside")
                self._fail(run, StemlineError("Stemline failed with an internal error; see its log."))

    def _do(self, run: HostRun) -> None:
        if run.cancel.is_set():
            raise Cancelled
        run.state = RunState.RUNNING
        run.result = run.work(self._reporter(run), run.cancel.is_set)
        run.state = RunState.DONE
        self._tell("done", run.names | {"result": run.result})

    def _fail(self, run: HostRun, error: StemlineError) -> None:
        run.error = error.to_json()
        run.state = RunState.FAILED
        self._tell("failed", run.names | {"error": run.error})

    def _reporter(self, run: HostRun) -> Report:
        last_s = float("-inf")

        def report(progress: dict[str, Any]) -> None:
            nonlocal last_s
            new_stage = progress.get("stage") != run.progress.get("stage")
            run.progress = progress
            if new_stage or time.monotonic() - last_s >= self._progress_every_s:
                last_s = time.monotonic()
                self._tell("progress", run.names | progress)

        return report
