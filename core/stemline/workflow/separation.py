"""Separate the segments of a plan: send sound, run jobs, write files."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from stemline.client import Client, Job, JobRequest, JobState, Model
from stemline.clips import RESIDUAL
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, SeparationError, StemlineError, UsageError
from stemline.plan import Extent, PlannedJob, StemSegment
from stemline.trust.signatures import signer_for
from stemline.workflow.outputs import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import FinishedFile, check_free, claim, find_finished, is_enough, sweep
from stemline.workflow.progress import Hooks, Meter
from stemline.workflow.recipe import Recipe
from stemline.workflow.segment_writer import SegmentWork, write_segment
from stemline.workflow.settings import RunSettings

_WRITERS = 2
_BATCHES_AT_ONCE = 3
_BATCH_EXTENTS = 16
_BATCH_SAMPLES = 1 << 23  # three minutes
_CANCEL_POLL_S = 0.2
_T = TypeVar("_T")

STOPS_ALL = (Code.DISK_FULL, Code.DISK_QUOTA, Code.OUTPUT_UNWRITABLE, Code.OUTPUT_EXISTS)
"""Codes of errors that every other segment would meet, too."""


@dataclass(slots=True)
class SegmentResult:
    """The files of one segment, or the error. `engine_s` is 0 where nothing had to be computed."""

    segment: StemSegment
    files: dict[str, FinishedFile] = field(default_factory=dict)
    error: StemlineError | None = None
    reused: bool = False
    engine_s: float = 0.0
    elapsed_s: float = 0.0


class Separation:
    """Runs the jobs of a plan and writes the files of every segment. Used once."""

    def __init__(
        self,
        client: Client,
        prepared: Prepared,
        settings: RunSettings,
        namer: Namer,
        hooks: Hooks,
    ) -> None:
        """Prepare a run and choose its model. Raises UsageError for a model or a signing key that cannot be used."""
        self._client = client
        self._prepared = prepared
        self._settings = settings
        self._namer = namer
        self._hooks = hooks
        self._signer = signer_for(settings.sign, settings.c2pa)
        self._model = _choose_model(client, settings.model)
        self._pipeline_version = client.server_info().pipeline_version
        self._planned = prepared.plan.jobs_of()
        self._jobs: dict[tuple[Extent, str], Job] = {}
        self._open_jobs = hooks.open_jobs
        self._results: list[SegmentResult] = []
        self._swept: set[Path] = set()
        self._meter = Meter(prepared, hooks.on_progress)

    @property
    def model(self) -> Model:
        """The model of the run."""
        return self._model

    def run(self) -> list[SegmentResult]:
        """Run everything. While one batch of extents is sent, the batches before it are separated and written.

        Returns:
            The results in the order of the plan's segments.

        Raises:
            Cancelled: The hooks say so.
            UsageError: The model refuses a prompt.
            StemlineError: Something else that stops the whole run, such as a full disk.
        """
        try:
            self._run_batches()
        except BaseException:
            self._cancel_jobs()  # again: a batch may have created its jobs while the others were cancelled
            raise
        order = {id(segment): i for i, segment in enumerate(self._prepared.plan.segments)}
        return sorted(self._results, key=lambda result: order[id(result.segment)])

    def computed(self) -> tuple[float, float]:
        """Return the seconds of media in the jobs that had to be computed, and the seconds of computing them."""
        jobs = {at: job for at, job in self._jobs.items() if job.engine_s > 0}
        facts = self._prepared.facts
        audio_s = sum(extent.range.length / facts[extent.source].sample_rate for extent, _ in jobs)
        return audio_s, sum(job.engine_s for job in jobs.values())

    def _run_batches(self) -> None:
        batches: list[Future[list[Future[SegmentResult]]]] = []
        with (
            ThreadPoolExecutor(_WRITERS, thread_name_prefix="stem-writer") as writers,
            ThreadPoolExecutor(_BATCHES_AT_ONCE, thread_name_prefix="stem-batch") as followers,
        ):
            try:
                for batch in _batches(self._prepared.plan.segments):
                    _raise_failed(batches)
                    open_work = self._send(batch)
                    if open_work:
                        batches.append(followers.submit(self._separate, open_work, writers))
                written = [future for batch in self._all(batches) for future in batch]
                self._results += self._all(written)
            except BaseException:
                self._hooks.stop()
                writers.shutdown(wait=False, cancel_futures=True)
                self._cancel_jobs()
                raise

    def _all(self, futures: Sequence[Future[_T]]) -> list[_T]:
        """Return the results. Raises the first error, and Cancelled while it waits."""
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_CANCEL_POLL_S, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            self._check_cancelled()
        return [future.result() for future in futures]

    def _send(self, segments: Sequence[StemSegment]) -> list[SegmentWork]:
        """Send the sound of these segments; return those whose files do not exist yet."""
        media: dict[Extent, str | StemlineError] = {}
        open_work: list[SegmentWork] = []
        for segment in segments:
            self._check_cancelled()
            if segment.extent not in media:
                media[segment.extent] = self._media(segment.extent)
            known = media[segment.extent]
            if isinstance(known, StemlineError):
                self._leave_out(SegmentResult(segment, error=known))
                continue
            work = self._work(segment, known)
            self._sweep(work)
            finished = find_finished(work.paths, work.fingerprints)
            if finished is not None and is_enough(finished, self._settings):
                self._leave_out(SegmentResult(segment, finished, reused=True))
                continue
            if not self._settings.overwrite:
                check_free(work.paths, work.fingerprints)
            open_work.append(work)
        return open_work

    def _media(self, extent: Extent) -> str | StemlineError:
        """Return the name of the extent's sound on the server, or the error."""
        try:
            return self._client.ensure_media(
                extent.source,
                extent.range,
                lambda *_: self._check_cancelled(),
                accept_peaks=self._settings.accept_peaks,
            ).name
        except Cancelled:
            raise
        except StemlineError as error:
            if error.code in (Code.SERVER_UNREACHABLE, Code.DISK_FULL, Code.DISK_QUOTA):
                raise
            return error
        except Exception as error:  # noqa: BLE001 - media is untrusted: one file must not stop the others
            return report_crash(error)

    def _work(self, segment: StemSegment, media: str) -> SegmentWork:
        facts = self._prepared.facts[segment.source]
        jobs = self._planned[segment.extent]
        recipe = Recipe(segment, facts, jobs, media, self._model, self._pipeline_version, self._settings)
        fingerprints = {name: recipe.fingerprint(name) for name in [*(job.stem for job in jobs), RESIDUAL]}
        paths = {name: self._namer(segment, facts, name, fingerprint) for name, fingerprint in fingerprints.items()}
        return SegmentWork(recipe, paths, fingerprints, self._signer)

    def _sweep(self, work: SegmentWork) -> None:
        """Sweep each output folder once."""
        folders = {path.parent for path in work.paths.values()} - self._swept
        for folder in folders:
            sweep(folder)
        self._swept |= folders

    def _separate(self, open_work: Sequence[SegmentWork], writers: ThreadPoolExecutor) -> list[Future[SegmentResult]]:
        """Run the jobs of one batch; pass the segments of each extent to the writers when its last job has ended."""
        by_extent: dict[Extent, list[SegmentWork]] = {}
        for work in open_work:
            by_extent.setdefault(work.recipe.segment.extent, []).append(work)
        names = [stem.name for stem in self._prepared.stems]
        rounds = [[name] for name in names] if self._settings.chain else [names]
        for earlier in rounds[:-1]:
            for _ in self._jobs_of(by_extent, earlier):
                pass
        return [
            writers.submit(self._write, work)
            for extent in self._jobs_of(by_extent, rounds[-1])
            for work in by_extent[extent]
        ]

    def _jobs_of(self, by_extent: Mapping[Extent, list[SegmentWork]], names: list[str]) -> Iterator[Extent]:
        """Run the jobs of these stems; yield each extent when all of its jobs have ended."""
        batch = str(uuid.uuid4())
        requests: dict[tuple[Extent, str], JobRequest] = {}
        waiting: dict[Extent, set[str]] = {extent: set() for extent in by_extent}
        for extent, works in by_extent.items():
            for planned in works[0].recipe.jobs:
                if planned.stem in names and not planned.prompt.is_empty:
                    requests[extent, planned.stem] = works[0].recipe.request(
                        planned, self._stems_before(planned), batch
                    )
                    waiting[extent].add(planned.stem)
        place = {request.request_id: asked for asked, request in requests.items()}
        self._check_cancelled()
        created = self._client.create_jobs(list(requests.values()))
        self._open_jobs.update(job.name for job in created)
        yield from [extent for extent, stems in waiting.items() if not stems]
        for job in self._client.watch(batch) if created else ():
            extent, stem = place[job.request.request_id]
            self._meter.job(extent, stem, 1.0 if job.ended else job.fraction, job.stage or "separating")
            if job.ended:
                self._open_jobs.discard(job.name)
                self._jobs[extent, stem] = job
                waiting[extent].discard(stem)
                if not waiting[extent]:
                    yield extent
            self._check_cancelled()

    def _cancel_jobs(self) -> None:
        """Cancel the jobs that have not ended. A server that is gone has none."""
        with contextlib.suppress(StemlineError):
            self._client.cancel(list(self._open_jobs))

    def _stems_before(self, job: PlannedJob) -> list[str]:
        """Return the media of the finished stems that come before this one in a chain."""
        before: list[str] = []
        for stem in self._prepared.stems if self._settings.chain else ():
            if stem.name == job.stem:
                break
            done = self._jobs.get((job.extent, stem.name))
            if done and done.stem:
                before.append(done.stem.media)
        return before

    def _write(self, work: SegmentWork) -> SegmentResult:
        """Write the files of one segment. Called from a writer's thread."""
        started = time.monotonic()
        segment = work.recipe.segment
        result = SegmentResult(segment)
        try:
            jobs = {job.stem: self._jobs.get((segment.extent, job.stem)) for job in work.recipe.jobs}
            for job in jobs.values():
                if job is not None and job.state is not JobState.SUCCEEDED:
                    raise job.error.error() if job.error else SeparationError("The job was stopped on the server.")
            with claim(work.paths, work.fingerprints, overwrite=self._settings.overwrite):
                result.files = write_segment(work, jobs, self._client, self._hooks.stopped)
            share = segment.range.length / segment.extent.range.length
            result.engine_s = sum(job.engine_s for job in jobs.values() if job) * min(1.0, share)
        except StemlineError as error:
            if isinstance(error, Cancelled) or error.code in STOPS_ALL:
                raise
            result.error = error
        except Exception as error:  # noqa: BLE001 - as above
            result.error = report_crash(error)
        result.elapsed_s = time.monotonic() - started
        self._announce(result)
        self._meter.segment(segment)
        return result

    def _leave_out(self, result: SegmentResult) -> None:
        self._results.append(result)
        self._announce(result)
        self._meter.leave_out(result.segment)

    def _announce(self, result: SegmentResult) -> None:
        if result.files:
            self._hooks.on_files(result.segment, {name: file.path for name, file in result.files.items()})

    def _check_cancelled(self) -> None:
        if self._hooks.stopped():
            raise Cancelled


def _raise_failed(batches: Sequence[Future[list[Future[SegmentResult]]]]) -> None:
    """Raise the error of a finished batch before more sound is sent."""
    for batch in batches:
        for written in batch.result() if batch.done() else ():
            if written.done():
                written.result()


def _batches(segments: Sequence[StemSegment]) -> Iterator[list[StemSegment]]:
    """Yield the segments in batches: a few extents, or a long one. Segments of one extent stay together."""
    of_extent: dict[Extent, list[StemSegment]] = {}
    for segment in segments:
        of_extent.setdefault(segment.extent, []).append(segment)
    batch: list[StemSegment] = []
    extents = samples = 0
    for extent, own in of_extent.items():
        if extents == _BATCH_EXTENTS or samples > _BATCH_SAMPLES:
            yield batch
            batch, extents, samples = [], 0, 0
        batch += own
        extents, samples = extents + 1, samples + extent.range.length
    if batch:
        yield batch


def _choose_model(client: Client, wanted: str) -> Model:
    models = {model.id: model for model in client.models()}
    name = wanted or client.server_info().default_model
    if name not in models:
        known = ", ".join(sorted(models))
        raise UsageError(f"The server has no model {name!r}.", code=Code.MODEL_UNKNOWN, advice=f"It has: {known}.")
    model = models[name]
    if not model.available:
        raise UsageError(f"The model {name!r} cannot run here.", code=Code.MODEL_UNAVAILABLE, advice=model.note)
    return model
