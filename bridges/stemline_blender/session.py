"""The talk with Stemline for as long as Blender runs: the companion, the jobs, and the one timer that drives both.

Everything here happens on Blender's main thread, in `pump`; the threads of `link` touch no Blender data.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

from . import compat
from .jobs import DONE, QUEUED, RENDERING, RUNNING, Job
from .link import (
    PROTOCOLS,
    Call,
    CompanionProcess,
    ConnectionClosed,
    Deferred,
    HostError,
    NotInstalled,
    RemoteError,
    find_installation,
)
from .preferences import preferences
from .writing import Writing

_LOG = logging.getLogger(__name__)
OFF, STARTING, READY, BROKEN = "off", "starting", "ready", "broken"
_SILENT_S = 30.0
_KEPT_JOBS = 20
_REINSTALL = "stemline install blender"


class Session:
    """`state` is that of the companion; `sentence` and `command` say what is wrong with it and what mends it."""

    def __init__(self) -> None:
        self.state = OFF
        self.sentence = ""
        self.command = ""
        self.version = ""
        self.server = ""
        self.models: list[dict[str, Any]] = []
        self.default_model = ""
        self.jobs: list[Job] = []
        self.document = 0
        self.wanted = False
        self._companion: CompanionProcess | None = None
        self._writes: list[tuple[Deferred, Job, dict[str, Any]]] = []

    # -- what the user does --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the companion, if none runs. What goes wrong is in `state` and `sentence`."""
        if self._companion is not None:
            return
        self.state, self.sentence, self.command = STARTING, "", ""
        try:
            installation = find_installation(preferences().program, "blender")
            log = Path(tempfile.gettempdir()) / f"stemline-blender-{os.getpid()}.log"
            server = preferences().server.strip()
            arguments = ("host", "--server", server) if server else ("host",)
            self._companion = CompanionProcess.start(installation, self._handlers(), log, arguments)
        except NotInstalled as problem:
            self._break(str(problem), problem.command)
            return
        except OSError as problem:
            self._break(f"Stemline cannot be started: {problem.strerror or problem}.", _REINSTALL)
            return
        hello = {
            "protocols": list(PROTOCOLS),
            "capabilities": {
                "name": "Blender",
                "version": bpy.app.version_string,
                "writes_tracks": True,
                "disables_clips": True,
                "carries_metadata": True,
                "removes_results": False,
            },
        }
        self._companion.peer.ask("hello", hello, self._on_hello)

    def stop(self) -> None:
        """Ends the companion; what runs there is kept on the server."""
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.stop(timeout_s=1.0)
        for job in self.jobs:
            if not job.ended:
                job.fail("Stemline was stopped. What is separated is kept: press the button again.")
        self.state, self._writes = OFF, []

    def add(self, job: Job) -> None:
        """Lists it, and drops the oldest of those that have ended where the list is full."""
        room = len(self.jobs) + 1 - _KEPT_JOBS
        for old in [one for one in self.jobs if one.ended][: max(0, room)]:
            self.forget(old)
        self.jobs.append(job)
        self.start()

    def cancel(self, job: Job) -> None:
        job.cancelled = True
        if not job.run or self._companion is None:
            job.fail("Cancelled.")
        else:
            self._companion.peer.ask("cancel", {"run": job.run})

    def forget(self, job: Job) -> None:
        if job.ended:
            self.jobs.remove(job)

    @property
    def silent(self) -> bool:
        """Whether a companion that lives has not been heard for so long that the user should know."""
        return self._companion is not None and self._companion.peer.silent_s > _SILENT_S

    # -- the timer -----------------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Handles what has arrived and moves every job on. True when something that is shown may have changed."""
        if self.wanted and self.state == OFF:
            self.start()
        before = self._shown()
        if self._companion is not None:
            try:
                self._companion.peer.pump()
            except ConnectionClosed:
                self._on_gone()
        self._write_what_waits()
        for job in self.jobs:
            if job.state == RENDERING and self.state == READY and job.rendered():
                self._ask_to_separate(job)
            elif job.state == RENDERING and self.state == BROKEN:
                job.fail(self.sentence)
        return before != self._shown()

    @property
    def busy(self) -> bool:
        return self.state == STARTING or any(not job.ended for job in self.jobs)

    def _shown(self) -> tuple[Any, ...]:
        jobs = tuple((job.state, job.stage, round(job.fraction, 2), len(job.messages)) for job in self.jobs)
        return (self.state, self.server, self.silent, jobs)

    # -- the companion -------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {
            "read_clips": lambda params: self._job(params).clips(),
            "write_tracks": self._write_later,
            "progress": self._noted(self._on_progress),
            "done": self._noted(self._on_done),
            "failed": self._noted(self._on_failed),
        }

    def find(self, tag: str) -> Job | None:
        return next((job for job in self.jobs if job.tag == tag), None)

    def _job(self, params: dict[str, Any]) -> Job:
        job = self.find(params["tag"])
        if job is None:
            raise HostError("Blender knows nothing of this run any more.", "CANCELLED")
        return job

    def _noted(self, handler: Callable[[Job, dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Hears about a job that is still there and has not ended."""

        def heard(params: dict[str, Any]) -> None:
            job = self.find(params["tag"])
            if job is not None and not job.ended:
                handler(job, params)

        return heard

    def _on_hello(self, ask: Call) -> None:
        try:
            self.version = str(ask.result()["version"])
        except RemoteError as problem:
            self._drop(str(problem), _REINSTALL)
        except ConnectionClosed:
            words = self._companion.last_words() if self._companion is not None else ""
            self._drop(f"Stemline ended at once. {words}".rstrip(), _REINSTALL)
        else:
            self.state, self.server = READY, "starting"
            assert self._companion is not None  # noqa: S101 - it has just answered
            self._companion.peer.ask("models", {}, self._on_models)

    def _on_models(self, ask: Call) -> None:
        try:
            answer = ask.result()
        except (RemoteError, ConnectionClosed) as problem:
            self.server = str(problem)
        else:
            self.server, self.models, self.default_model = "ready", answer["models"], answer["default"]

    def _on_gone(self) -> None:
        if self._companion is None:
            return
        words = self._companion.last_words()
        self._drop(f"Stemline's companion has ended. {words}".rstrip(), "")

    def _drop(self, sentence: str, command: str) -> None:
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.stop(timeout_s=0.5)
        self._writes = []
        for job in self.jobs:
            if not job.ended:
                job.fail(f"{sentence} What is separated is kept: press the button again.")
        self._break(sentence, command)

    def _break(self, sentence: str, command: str) -> None:
        self.state, self.sentence, self.command = BROKEN, sentence, command

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _ask_to_separate(self, job: Job) -> None:
        if not job.reading.picks:
            job.fail(next((skip["reason"] for skip in job.reading.skipped), "There is nothing to separate."))
            return
        assert self._companion is not None  # noqa: S101 - the state is READY
        job.state, job.stage = QUEUED, "waiting"
        self._companion.peer.ask("separate", {**job.params, "tag": job.tag}, lambda ask: self._on_run(job, ask))

    def _on_run(self, job: Job, ask: Call) -> None:
        try:
            job.run = str(ask.result()["run"])
        except (RemoteError, ConnectionClosed) as problem:
            if not job.ended:
                job.fail(str(problem))
        else:
            if job.cancelled:
                self.cancel(job)

    def _on_progress(self, job: Job, params: dict[str, Any]) -> None:
        job.state, job.stage = RUNNING, str(params["stage"])
        job.fraction = params["done"] / params["total"] if params["total"] else 0.0

    def _on_done(self, job: Job, params: dict[str, Any]) -> None:
        result = params["result"]
        job.state, job.fraction, job.result = DONE, 1.0, result
        left_out = [f"{entry['clip']}: {entry['reason']}" for entry in result.get("skipped", [])]
        left_out += [f"{entry['clip']}: {entry['message']}" for entry in result.get("failed", [])]
        told = [f"{entry['clip']}: {entry['message']}" for entry in result.get("notices", [])]
        job.messages = [*left_out, *told, *result.get("notes", [])]

    def _on_failed(self, job: Job, params: dict[str, Any]) -> None:
        error = params["error"]
        if self._companion is not None and str(error["code"]).startswith("SERVER"):
            self.server = "starting"
            self._companion.peer.ask("models", {}, self._on_models)
        job.fail(f"{error['message']} {error.get('advice', '')}".rstrip())

    def _write_later(self, params: dict[str, Any]) -> Deferred:
        later = Deferred()
        self._writes.append((later, self._job(params), params))
        return later

    def _write_what_waits(self) -> None:
        """A sequence is not changed under a tool that the user holds, nor while Blender renders it."""
        self._refuse_what_nobody_wants()
        if not self._writes or compat.user_is_dragging() or bpy.app.is_job_running("RENDER"):
            return
        writes, self._writes = self._writes, []
        for later, job, params in writes:
            try:
                answer = Writing(job.scene(self.document), job.reading).write(params["tracks"], params["options"])
            except Exception as problem:  # noqa: BLE001 - whatever Blender throws is told to the other side
                _LOG.exception("write_tracks failed")
                later.settle(None, problem)
            else:
                later.settle(answer, None)
                with contextlib.suppress(RuntimeError):  # no undo in this context: the stems are there all the same
                    bpy.ops.ed.undo_push(message=f"Stemline: {job.title}")

    def _refuse_what_nobody_wants(self) -> None:
        """The companion cancels no write that it has asked for: one that waits here is not begun any more."""
        for waiting in list(self._writes):
            later, job, _ = waiting
            if job.cancelled or job.ended or later.given_up():
                self._writes.remove(waiting)
                sentence = "Cancelled." if job.cancelled else "Nobody waits for this any more."
                later.settle(None, HostError(sentence, "CANCELLED"))


SESSION = Session()


def tick() -> float:
    """The timer: soon again while there is something to wait for. Blender drops a timer that raises."""
    try:
        changed = SESSION.pump()
    except Exception:  # noqa: BLE001 - the outermost loop
        _LOG.exception("Stemline")
        changed = True
    if changed:
        redraw()
    return 0.1 if SESSION.busy else 0.5


def redraw() -> None:
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "SEQUENCE_EDITOR":
                area.tag_redraw()


def on_load(*_: Any) -> None:
    """Another file is open: no job of before may write into it."""
    SESSION.document += 1


def wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Pumps where no timer runs (scripts, background Blender). False when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        SESSION.pump()
        time.sleep(0.02)
    return True
