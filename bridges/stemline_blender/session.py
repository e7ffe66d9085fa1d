"""The companion, the jobs, and the timer that drives both, for as long as Blender runs.

Everything here runs on Blender's main thread, in `pump`; the threads of `link` touch no Blender data.
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
from .jobs import DONE, QUEUED, RENDERING, RUNNING, HeardSound, SeparationJob, merged_sounds
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
from .preferences import preferences, usable_server
from .writing import StripWriter

_LOG = logging.getLogger(__name__)
OFF, STARTING, READY, BROKEN = "off", "starting", "ready", "broken"
_SILENT_S = 30.0
_KEPT_JOBS = 20
_KEPT_CHECKS = 100
_REINSTALL = "stemline install blender"


class BlenderSession:
    """`state` is the companion's; `sentence` and `command` say what is wrong with it and what fixes it."""

    def __init__(self) -> None:
        """Make a session without jobs. The companion starts on demand."""
        self.state = OFF
        self.sentence = ""
        self.command = ""
        self.version = ""
        self.server = ""
        self.models: list[dict[str, Any]] = []
        self.default_model = ""
        self.jobs: list[SeparationJob] = []
        self.heard: list[HeardSound] = []
        self.document = 0
        self.wanted = False
        self._checks: dict[tuple[str, str], dict[str, Any]] = {}
        self._unchecked: tuple[str, str] | None = None
        self._is_checking = False
        self._companion: CompanionProcess | None = None
        self._writes: list[tuple[Deferred, SeparationJob, dict[str, Any]]] = []

    # -- what the user does --------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the companion, unless it runs. `state` and `sentence` say what went wrong."""
        if self._companion is not None:
            return
        self.state, self.sentence, self.command = STARTING, "", ""
        try:
            server = usable_server()
            installation = find_installation(preferences().program, "blender")
            log = Path(tempfile.gettempdir()) / f"stemline-blender-{os.getpid()}.log"
            arguments = ("host", "--server", server) if server else ("host",)
            self._companion = CompanionProcess.start(installation, self._handlers(), log, arguments)
        except NotInstalled as problem:
            self._break(str(problem), problem.command)
            return
        except HostError as problem:
            self._break(f"{problem} {problem.advice}", "")
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
        """End the companion. Finished work stays on the server."""
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.stop(timeout_s=1.0)
        for job in self.jobs:
            if not job.ended:
                job.fail("Stemline was stopped. Finished work is still there: press the button again.")
        self.state, self._writes = OFF, []

    def add(self, job: SeparationJob) -> None:
        """Add a job to the list, and drop the oldest ended one where the list is full."""
        room = len(self.jobs) + 1 - _KEPT_JOBS
        for old in [one for one in self.jobs if one.ended][: max(0, room)]:
            self.forget(old)
        self.jobs.append(job)
        self.start()

    def cancel(self, job: SeparationJob) -> None:
        """Cancel a job."""
        job.cancelled = True
        if not job.run or self._companion is None:
            job.fail("Cancelled.")
        else:
            self._companion.peer.ask("cancel", {"run": job.run})

    def forget(self, job: SeparationJob) -> None:
        """Remove an ended job from the list."""
        if job.ended:
            self.jobs.remove(job)

    def check_words(self, model: str, text: str) -> dict[str, Any]:
        """Return how the model understands a text, as the protocol has it; empty until that is known."""
        key = ("" if model in ("", "DEFAULT") else model, " ".join(text.split()))
        if key[1] and key not in self._checks:
            self._unchecked = key
        return self._checks.get(key, {})

    @property
    def silent(self) -> bool:
        """Whether the companion has been silent for so long that the user should know."""
        return self._companion is not None and self._companion.peer.silent_s > _SILENT_S

    # -- the timer -----------------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Handle what has arrived and advance every job. Returns True when the panel must be redrawn."""
        if self.wanted and self.state == OFF:
            self.start()
        before = self._shown()
        if self._companion is not None:
            try:
                self._companion.peer.pump()
            except ConnectionClosed:
                self._on_closed()
        self._write_waiting()
        self._check_unchecked()
        for job in self.jobs:
            if job.state == RENDERING and self.state == READY and job.rendered():
                self._ask_to_separate(job)
            elif job.state == RENDERING and self.state == BROKEN:
                job.fail(self.sentence)
        return before != self._shown()

    @property
    def busy(self) -> bool:
        """Whether something is starting or running."""
        return self.state == STARTING or any(not job.ended for job in self.jobs)

    def _shown(self) -> tuple[Any, ...]:
        jobs = tuple((job.state, job.stage, round(job.fraction, 2), len(job.messages)) for job in self.jobs)
        return (self.state, self.server, self.silent, jobs, tuple(self._checks), tuple(self.heard))

    # -- the companion -------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Callable[[dict[str, Any]], Any]]:
        return {
            "read_clips": lambda params: self._job(params).clips(),
            "write_tracks": self._write_later,
            "progress": self._for_open_job(self._on_progress),
            "done": self._for_open_job(self._on_done),
            "failed": self._for_open_job(self._on_failed),
        }

    def find(self, tag: str) -> SeparationJob | None:
        """Return a job by its tag, or None."""
        return next((job for job in self.jobs if job.tag == tag), None)

    def _job(self, params: dict[str, Any]) -> SeparationJob:
        job = self.find(params["tag"])
        if job is None:
            raise HostError("Blender no longer has this run.", "CANCELLED")
        return job

    def _for_open_job(
        self, handler: Callable[[SeparationJob, dict[str, Any]], None]
    ) -> Callable[[dict[str, Any]], None]:
        """Return a handler that ignores jobs that are gone or have ended."""

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
            self._drop(f"Stemline ended immediately. {words}".rstrip(), _REINSTALL)
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

    def _check_unchecked(self) -> None:
        """Ask about the words that were typed last, one question at a time."""
        if self._unchecked is None or self._is_checking or self._companion is None or self.server != "ready":
            return
        key, self._unchecked = self._unchecked, None
        try:
            server = usable_server()
        except HostError:  # the run itself says so
            return
        self._is_checking = True
        params = {"texts": [key[1]], "model": key[0], "server": server or None}
        self._companion.peer.ask("check_prompts", params, lambda ask: self._on_checked(key, ask))

    def _on_checked(self, key: tuple[str, str], ask: Call) -> None:
        self._is_checking = False
        while len(self._checks) >= _KEPT_CHECKS:
            del self._checks[next(iter(self._checks))]
        try:
            self._checks[key] = dict(ask.result()["checks"][0])
        except (RemoteError, ConnectionClosed, LookupError):  # the run itself says what is wrong with them
            self._checks[key] = {"status": "known"}

    def _on_closed(self) -> None:
        if self._companion is None:
            return
        words = self._companion.last_words()
        self._drop(f"Stemline's companion ended. {words}".rstrip(), "")

    def _drop(self, sentence: str, command: str) -> None:
        companion, self._companion = self._companion, None
        if companion is not None:
            companion.stop(timeout_s=0.5)
        self._writes = []
        for job in self.jobs:
            if not job.ended:
                job.fail(f"{sentence} Finished work is still there: press the button again.")
        self._break(sentence, command)

    def _break(self, sentence: str, command: str) -> None:
        self.state, self.sentence, self.command = BROKEN, sentence, command

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _ask_to_separate(self, job: SeparationJob) -> None:
        if not job.reading.picks:
            job.fail(next((skip["reason"] for skip in job.reading.skipped), "There is nothing to separate."))
            return
        assert self._companion is not None  # noqa: S101 - the state is READY
        job.state, job.stage = QUEUED, "waiting"
        self._companion.peer.ask(job.method, {**job.params, "tag": job.tag}, lambda ask: self._on_run(job, ask))

    def _on_run(self, job: SeparationJob, ask: Call) -> None:
        try:
            job.run = str(ask.result()["run"])
        except (RemoteError, ConnectionClosed) as problem:
            if not job.ended:
                job.fail(str(problem))
        else:
            if job.cancelled:
                self.cancel(job)

    def _on_progress(self, job: SeparationJob, params: dict[str, Any]) -> None:
        job.state, job.stage = RUNNING, str(params["stage"])
        job.fraction = params["done"] / params["total"] if params["total"] else 0.0

    def _on_done(self, job: SeparationJob, params: dict[str, Any]) -> None:
        result = params["result"]
        job.state, job.fraction, job.result = DONE, 1.0, result
        left_out = [f"{entry['clip']}: {entry['reason']}" for entry in result.get("skipped", [])]
        left_out += [
            f"{entry['clip']}: {entry['message']} {entry.get('advice', '')}".rstrip()
            for entry in result.get("failed", [])
        ]
        if job.method == "suggest":
            self.heard = merged_sounds(result["sounds"])
            left_out += [] if self.heard else ["No sound is likely enough to be suggested."]
        told = [f"{entry['clip']}: {entry['message']}" for entry in result.get("notices", [])]
        job.messages = [*left_out, *told, *result.get("notes", [])]

    def _on_failed(self, job: SeparationJob, params: dict[str, Any]) -> None:
        error = params["error"]
        if self._companion is not None and str(error["code"]).startswith("SERVER"):
            self.server = "starting"
            self._companion.peer.ask("models", {}, self._on_models)
        job.fail(f"{error['message']} {error.get('advice', '')}".rstrip())

    def _write_later(self, params: dict[str, Any]) -> Deferred:
        later = Deferred()
        self._writes.append((later, self._job(params), params))
        return later

    def _write_waiting(self) -> None:
        """Write stems, unless a tool holds strips or Blender is rendering."""
        self._refuse_unwanted()
        if not self._writes or compat.user_is_dragging() or bpy.app.is_job_running("RENDER"):
            return
        writes, self._writes = self._writes, []
        for later, job, params in writes:
            try:
                answer = StripWriter(job.scene(self.document), job.reading).write(params["tracks"], params["options"])
            except Exception as problem:  # noqa: BLE001 - the other side is told whatever Blender raises
                _LOG.exception("write_tracks failed")
                later.settle(None, problem)
            else:
                later.settle(answer, None)
                with contextlib.suppress(RuntimeError):  # no undo in this context
                    bpy.ops.ed.undo_push(message=f"Stemline: {job.title}")

    def _refuse_unwanted(self) -> None:
        """Refuse writes that nothing waits for any more.

        The companion does not cancel a write it asked for, so one that waits here must not begin.
        """
        for waiting in list(self._writes):
            later, job, _ = waiting
            if job.cancelled or job.ended or later.given_up():
                self._writes.remove(waiting)
                sentence = "Cancelled." if job.cancelled else "Stemline no longer waits for this."
                later.settle(None, HostError(sentence, "CANCELLED"))


SESSION = BlenderSession()


def tick() -> float:
    """Run the timer. Returns the seconds until the next call. Blender drops a timer that raises."""
    try:
        changed = SESSION.pump()
    except Exception:  # noqa: BLE001 - the outermost loop
        _LOG.exception("Stemline")
        changed = True
    if changed:
        redraw()
    return 0.1 if SESSION.busy else 0.5


def redraw() -> None:
    """Redraw every sequencer."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "SEQUENCE_EDITOR":
                area.tag_redraw()


def on_load(*_: Any) -> None:
    """Note that another file is open: earlier jobs must not write into it."""
    SESSION.document += 1
    SESSION.heard = []


def wait(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Pump where no timer runs (scripts, background Blender). Returns False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        SESSION.pump()
        time.sleep(0.02)
    return True
