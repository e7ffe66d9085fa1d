"""The thread of one device: it takes the next group, runs it, and stores its stems."""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stemline.errors import Cancelled, Code, OutputError, StemlineError
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import AudioSource
from stemline_server.generators.registry import GeneratorSource
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.work import (
    EngineDeath,
    EngineHost,
    Json,
    StoppableControl,
    Work,
    is_out_of_memory,
    out_of_memory,
)
from stemline_server.jobs.claims import Group
from stemline_server.jobs.control import GroupControl
from stemline_server.jobs.events import EventHub
from stemline_server.jobs.generation import request_of, with_sounds
from stemline_server.jobs.group_media import GroupMedia
from stemline_server.jobs.job_table import JobTable
from stemline_server.jobs.record import Result
from stemline_server.jobs.specs import task_of
from stemline_server.jobs.suggestions import heard
from stemline_server.pipeline.generate import Generation
from stemline_server.pipeline.separate import Separation
from stemline_server.pipeline.tag import Tagging
from stemline_server.store.content import Draft
from stemline_server.store.disk import full_disk_named
from stemline_server.store.media_store import MediaStore
from stemline_server.store.media_table import MediaShape
from stemline_server.store.sources import SoundOpener

_log = logging.getLogger(__name__)

T = TypeVar("T")
_RETRY_WAIT_S = 1.0
_IDLE_S = 120.0
"""Time without work after which the process of the taggers ends: it holds memory that engines can use."""

# Errors that no smaller group avoids.
_OF_ALL = frozenset(
    {
        Code.DISK_FULL,
        Code.DISK_QUOTA,
        Code.MODEL_UNAVAILABLE,
        Code.MODEL_UNKNOWN,
        *(c for c in Code if c.startswith("MEDIA_")),
    }
)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What every worker works with.

    Attributes:
        jobs: The job table.
        hub: Takes the progress of jobs.
        store: Takes their stems.
        sounds: Opens their media.
        scratch: Folder of the groups that run or were interrupted.
        owner: This server process, as leases name it.
        generators: Where generators come from.
    """

    jobs: JobTable
    hub: EventHub
    store: MediaStore
    sounds: SoundOpener
    scratch: Path
    owner: str
    generators: GeneratorSource


class Worker(threading.Thread):
    """The thread of one device. Only it gives work to the engines of the device."""

    def __init__(self, device: str, context: WorkerContext, host: EngineHost, *, suggestions: bool = False) -> None:
        """Make the worker of a device ("cpu", "cuda:0"), whose engines run in `host`.

        With `suggestions` it takes jobs of the kind suggest and no others, and its process ends when it has no work
        for a while.
        """
        super().__init__(name=f"worker-{device}", daemon=True)
        self.device = device
        self._context = context
        self._media = GroupMedia(context.store, context.sounds)
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._control: GroupControl | None = None
        self._drafts_of: Mapping[str, Draft] = {}
        self._host = host
        self._suggestions = suggestions

    @property
    def loaded_models(self) -> tuple[str, ...]:
        """Return the ids of the loaded models."""
        return self._host.loaded

    @property
    def progress_age_s(self) -> float:
        """Return the seconds since the engine last reported anything; 0 where it has no work."""
        return self._host.progress_age_s

    @property
    def device_bytes(self) -> int:
        """Return the memory of the device that the models used after the last group."""
        return self._host.device_bytes

    @property
    def memory_bytes(self) -> int:
        """Return the resident memory of the process of its engines."""
        return self._host.memory_bytes

    def draft_of(self, key: str) -> Draft | None:
        """Return the stem of the running computation with that key, as far as it is written; None if none runs."""
        return self._drafts_of.get(key)

    def set_limits(self, limits: Limits) -> None:
        """Bound the engines from the next group on."""
        self._host.limits = limits

    def wake(self) -> None:
        """Look for work."""
        if self._orders.empty():
            self._orders.put(None)

    def stop_group(self, name: str) -> None:
        """Make the engine give up that group at its next step, if this worker runs it."""
        control = self._control
        if control is not None and control.group.name == name:
            control.stop()

    def stop(self) -> None:
        """End the thread. What runs goes back to the queue at its next step."""
        self._stopping.set()
        control = self._control
        if control is not None:
            control.stop()
        self._orders.put(None)

    def kill(self) -> None:
        """End the engine in the middle of a step, after `stop`. Its jobs are in the queue again."""
        self._host.kill()

    def load(self, model: str) -> Future[object]:
        """Bring the model into memory, between groups."""
        return self.order(lambda: self._host.load(model))

    def warm(self, models: Sequence[str]) -> None:
        """Load models before the first group, in order, until one takes the memory of another."""
        if models:
            self.order(lambda: self._warm(models))

    def unload(self, model: str) -> Future[object]:
        """Drop the model, between groups."""
        return self.order(lambda: self._host.unload(model))

    def order(self, action: Callable[[], T]) -> Future[T]:
        """Do something between groups, on this thread."""
        answer: Future[T] = Future()

        def order() -> None:
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(action())
                except BaseException as error:  # noqa: BLE001 - handed to the waiting caller
                    answer.set_exception(error)

        self._orders.put(order)
        return answer

    def do(self, work: Work, control: StoppableControl) -> Json:
        """Do work without a job, on this thread: within an order. Raises as `EngineHost.run`."""
        return self._host.run(work, control, (), self._context.store.drafts)

    def run(self) -> None:
        """Run group after group until `stop`."""
        if not self._suggestions:
            self._host.start()
        try:
            self._run_until_stopped()
        finally:
            self._host.close()

    def _run_until_stopped(self) -> None:
        while not self._stopping.is_set():
            try:
                order = self._orders.get(timeout=_IDLE_S if self._suggestions else None)
            except queue.Empty:
                self._host.close()
                continue
            try:
                if order is not None:
                    order()
                self._work()
            except Cancelled:  # the database was closed over a worker that took too long to stop
                return
            except Exception:  # noqa: BLE001 - the outermost loop: jobs wait for this device as long as the server runs
                _log.exception("the worker of %s goes on after an error that was not foreseen", self.device)
                self._stopping.wait(_RETRY_WAIT_S)
                self.wake()

    def _work(self) -> None:
        """Run group after group until an order comes in or no job waits."""
        if self._control is not None:  # the round before could not write down how that group ended
            group = self._control.group
            self._fail(group, _end_unwritten())
            self._leave(group)
        while self._orders.empty() and (control := self._claim()) is not None:
            self._run_group(control)
            self._stopping.wait(self._host.restart_wait_s)

    def _warm(self, models: Sequence[str]) -> None:
        for model in models:
            before = self._host.loaded
            if self._stopping.is_set():
                return
            try:
                self._host.load(model)
            except (StemlineError, EngineDeath) as error:
                _log.error("%s is not loaded on %s: %s", model, self.device, error)
            if missing := set(before) - set(self._host.loaded):
                _log.warning("%s has no room for %s and %s", self.device, model, ", ".join(sorted(missing)))
                return
        _log.info("%s has loaded %s", self.device, ", ".join(self._host.loaded))

    def _claim(self) -> GroupControl | None:
        """Lease a group. The control is in place before any caller can cancel one of its jobs."""
        if self._stopping.is_set():
            return None

        def take_on(group: Group) -> None:
            self._control = GroupControl(group, self._context.hub)

        group = self._retry_until_committed(
            lambda: self._context.jobs.claim(
                self._context.owner, take_on, self._host.loaded, suggestions=self._suggestions
            )
        )
        control = self._control if group is not None else None
        if control is not None and self._stopping.is_set():  # told to stop before the control was in place
            control.stop()
        return control

    def _run_group(self, control: GroupControl) -> None:
        group = control.group
        try:
            with full_disk_named(self._context.scratch):
                if group.jobs[0].kind == pb.JOB_KIND_GENERATE:
                    self._generate(control)
                elif self._suggestions:
                    self._suggest(control)
                else:
                    self._separate(control)
        except Cancelled:
            self._retry_until_committed(lambda: self._context.jobs.requeue(group.jobs, solo=False))
        except EngineDeath as death:
            reason, explained = _reason(death.error), death.explained
            self._retry_until_committed(lambda: self._context.jobs.lose(group.jobs, reason, explained=explained))
        except StemlineError as error:
            self._fail(group, error)
        except BaseException as error:  # noqa: BLE001 - a worker survives every failure, `sys.exit()` included
            self._fail(group, out_of_memory() if is_out_of_memory(error) else _internal(group))
        self._leave(group)

    def _leave(self, group: Group) -> None:
        self._control = None
        self._drafts_of = {}
        if not self._stopping.is_set():
            shutil.rmtree(self._context.scratch / group.name, ignore_errors=True)

    def _fail(self, group: Group, error: StemlineError) -> None:
        """Fail the jobs of a group. A group of several is tried again one by one: one prompt may be the cause."""
        if len(group.keys) > 1 and error.code not in _OF_ALL:
            self._retry_until_committed(lambda: self._context.jobs.requeue(group.jobs, solo=True))
            return
        reason = _reason(error)
        self._retry_until_committed(lambda: self._context.jobs.fail(group.jobs, reason))

    def _separate(self, control: GroupControl) -> None:
        group = control.group
        specs = [group.first(key).spec for key in group.keys]
        control.stage("loading")
        scratch = self._context.scratch / group.name
        scratch.mkdir(exist_ok=True)
        with self._media.sound(specs[0]) as audio, self._media.drafts(audio, len(specs)) as drafts:
            work = Separation(group.jobs[0].model, task_of(specs, audio, scratch, self._media.pictures))
            self._drafts_of = dict(zip(group.keys, drafts, strict=True))
            seconds = _seconds(self._host.run(work, control, drafts, scratch))
            for number, draft in enumerate(drafts):
                self._keep(control, number, draft, seconds / len(specs))

    def _generate(self, control: GroupControl) -> None:
        job = control.group.jobs[0]
        spec = job.generation
        control.stage("loading")
        info = self._context.generators.create(job.model).info
        scratch = self._context.scratch / control.group.name
        scratch.mkdir(exist_ok=True)
        shape = MediaShape(info.sample_rate, info.channels, spec.length_samples)
        with contextlib.ExitStack() as stack:
            sounds: list[AudioSource] = []

            def open_media(name: str) -> AudioSource:
                sounds.append(stack.enter_context(self._media.open(name)))
                return sounds[-1]

            request = with_sounds(request_of(spec, scratch), spec, info, open_media)
            draft = Draft(self._context.store, shape)
            stack.callback(draft.discard)
            work = Generation(job.model, request, tuple(sounds))
            seconds = _seconds(self._host.run(work, control, [draft], scratch))
            self._keep(control, 0, draft, seconds)

    def _suggest(self, control: GroupControl) -> None:
        job = control.group.jobs[0]
        control.step(0, 1)
        started_s = time.monotonic()
        with self._media.open(job.suggestion.media) as sound:
            tags = self.do(Tagging(job.model, sound), control)
        stem = heard(tags, job.model, job.revision)
        result = Result(job.key, stem, time.monotonic() - started_s, job.revision)
        self._retry_until_committed(lambda: self._context.jobs.succeed(result))

    def _keep(self, control: GroupControl, number: int, draft: Draft, engine_s: float) -> None:
        outcome, key = control.outcomes[number], control.group.keys[number]
        stem = pb.Stem(
            media=draft.close().name,
            found=outcome.finding.found,
            confidence=outcome.finding.confidence,
            matched=outcome.finding.matched,
            warnings=outcome.warnings,
            notes=dict(outcome.finding.notes),
        )
        result = Result(key, stem, engine_s, control.group.first(key).revision)
        self._retry_until_committed(lambda: self._context.jobs.succeed(result))

    def _retry_until_committed(self, change: Callable[[], Future[T]]) -> T:
        """Make a change, however long the table can't be written: a full disk or a lock must not lose a job's end.

        Gives up while the worker stops.
        """
        while True:
            try:
                return change().result()
            except (OutputError, sqlite3.OperationalError) as error:
                _log.warning("the job table cannot be written: %s", error)
                if self._stopping.wait(_RETRY_WAIT_S):
                    raise


def _seconds(result: Json) -> float:
    """Return how long an engine worked; 0 where its process said something else."""
    return float(result) if isinstance(result, (int, float)) else 0.0


def _reason(error: StemlineError) -> pb.JobError:
    return pb.JobError(reason=error.code, message=error.message, advice=error.advice)


def _end_unwritten() -> StemlineError:
    return StemlineError(
        "The server could not save the end of this job.",
        code=Code.INTERNAL,
        advice="Run it again; the reason is in server.log.",
    )


def _internal(group: Group) -> StemlineError:
    """Log the exception being handled under a number that the caller can quote."""
    number = secrets.token_hex(4)
    _log.exception("error %s while running %s", number, ", ".join(job.name for job in group.jobs))
    return StemlineError(
        f"The model failed with an internal error ({number}).",
        code=Code.INTERNAL,
        advice="Look for this number in server.log.",
    )
