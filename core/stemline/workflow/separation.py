"""The middle of a run: sound to the server, jobs, and files from what comes back."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from stemline.client import Client, Job, JobPrompt, JobRequest, JobState, Model, Stem
from stemline.clips import RESIDUAL, MediaSource
from stemline.errors import Cancelled, Code, SeparationError, StemlineError, UsageError
from stemline.faults import unforeseen
from stemline.media import SampleFormat, StemTags, open_audio, probe
from stemline.plan import Cut, Extent, PlannedJob
from stemline.workflow.fileset import SetRequest, WrittenSet, write_set
from stemline.workflow.naming import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.progress import Hooks, Meter
from stemline.workflow.record import Recipe, clip_metadata, sidecar_path, stem_tags, write_json
from stemline.workflow.resume import FinishedFile, check_free, claim, find_finished, sweep
from stemline.workflow.settings import RunSettings
from stemline.workflow.targets import Target

_WRITERS = 2
_LOTS = 3
_LOT_EXTENTS = 16
_LOT_SAMPLES = 1 << 23  # three minutes
_CANCEL_POLL_S = 0.2
_T = TypeVar("_T")


@dataclass(slots=True)
class CutResult:
    """The set of files of one cut, or why there is none. `engine_s` is 0 when nothing had to be computed."""

    cut: Cut
    files: dict[str, FinishedFile] = field(default_factory=dict)
    error: StemlineError | None = None
    reused: bool = False
    engine_s: float = 0.0
    elapsed_s: float = 0.0


@dataclass(slots=True)
class _Work:
    """One cut on its way."""

    recipe: Recipe
    paths: dict[str, Path]
    works: dict[str, str]


class Separation:
    """Runs the jobs of a plan and writes the files of every cut. Used once."""

    def __init__(
        self,
        client: Client,
        prepared: Prepared,
        settings: RunSettings,
        namer: Namer,
        hooks: Hooks,
    ) -> None:
        self._client = client
        self._prepared = prepared
        self._settings = settings
        self._namer = namer
        self._hooks = hooks
        self._model = _choose_model(client, settings.model)
        self._pipeline_version = client.server_info().pipeline_version
        self._planned = prepared.plan.jobs_of()
        self._jobs: dict[tuple[Extent, str], Job] = {}
        self._open_jobs: set[str] = set()
        self._results: list[CutResult] = []
        self._swept: set[Path] = set()
        self._meter = Meter(prepared, hooks.on_progress)

    @property
    def model(self) -> Model:
        return self._model

    def run(self) -> list[CutResult]:
        """Results in the order of the plan's cuts. Raises Cancelled, and UsageError for a prompt that the model
        refuses.

        While one lot of extents is sent, the lots before it are separated and written.
        """
        try:
            self._run_lots()
        except BaseException:
            self._cancel_jobs()  # once more: a lot may have created its jobs while the others were being cancelled
            raise
        order = {id(cut): i for i, cut in enumerate(self._prepared.plan.cuts)}
        return sorted(self._results, key=lambda result: order[id(result.cut)])

    def _run_lots(self) -> None:
        lots: list[Future[list[Future[CutResult]]]] = []
        with (
            ThreadPoolExecutor(_WRITERS, thread_name_prefix="stem-writer") as writers,
            ThreadPoolExecutor(_LOTS, thread_name_prefix="stem-lot") as followers,
        ):
            try:
                for lot in _lots(self._prepared.plan.cuts):
                    _raise_failed(lots)
                    open_work = self._send(lot)
                    if open_work:
                        lots.append(followers.submit(self._separate, open_work, writers))
                written = [future for lot in self._all(lots) for future in lot]
                self._results += self._all(written)
            except BaseException:
                self._hooks.stop()
                writers.shutdown(wait=False, cancel_futures=True)
                self._cancel_jobs()
                raise

    def _all(self, futures: Sequence[Future[_T]]) -> list[_T]:
        """Their results. Raises the first error, and Cancelled while it waits."""
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_CANCEL_POLL_S, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            self._check_cancelled()
        return [future.result() for future in futures]

    def _send(self, cuts: Sequence[Cut]) -> list[_Work]:
        """Makes sure that the server has these cuts' sound; gives those whose files are not there yet."""
        media: dict[Extent, str | StemlineError] = {}
        open_work: list[_Work] = []
        for cut in cuts:
            self._check_cancelled()
            if cut.extent not in media:
                media[cut.extent] = self._media(cut.extent)
            known = media[cut.extent]
            if isinstance(known, StemlineError):
                self._leave_out(CutResult(cut, error=known))
                continue
            work = self._work(cut, known)
            self._sweep(work)
            finished = find_finished(work.paths, work.works)
            if finished is not None:
                self._leave_out(CutResult(cut, finished, reused=True))
                continue
            if not self._settings.overwrite:
                check_free(work.paths, work.works)
            open_work.append(work)
        return open_work

    def _media(self, extent: Extent) -> str | StemlineError:
        """The name of the extent's sound on the server, or why there is none."""
        try:
            return self._client.ensure_media(extent.source, extent.range, lambda *_: self._check_cancelled()).name
        except Cancelled:
            raise
        except StemlineError as error:
            if error.code in (Code.SERVER_UNREACHABLE, Code.DISK_FULL, Code.DISK_QUOTA):
                raise
            return error
        except Exception as error:  # noqa: BLE001 - media is untrusted: what one file does to us is not the others' end
            return unforeseen(error)

    def _work(self, cut: Cut, media: str) -> _Work:
        facts = self._prepared.facts[cut.source]
        jobs = self._planned[cut.extent]
        recipe = Recipe(cut, facts, jobs, media, self._model, self._pipeline_version, self._settings)
        works = {name: recipe.work(name) for name in [*(job.stem for job in jobs), RESIDUAL]}
        paths = {name: self._namer(cut, facts, name, work) for name, work in works.items()}
        return _Work(recipe, paths, works)

    def _sweep(self, work: _Work) -> None:
        """Once for each folder that files go to."""
        folders = {path.parent for path in work.paths.values()} - self._swept
        for folder in folders:
            sweep(folder)
        self._swept |= folders

    def _separate(self, open_work: Sequence[_Work], writers: ThreadPoolExecutor) -> list[Future[CutResult]]:
        """Runs the jobs of one lot; hands each extent's cuts to the writers when its last job has ended."""
        by_extent: dict[Extent, list[_Work]] = {}
        for work in open_work:
            by_extent.setdefault(work.recipe.cut.extent, []).append(work)
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

    def _jobs_of(self, by_extent: Mapping[Extent, list[_Work]], names: list[str]) -> Iterator[Extent]:
        """Runs the jobs of these stems; yields each extent when all of its jobs have ended."""
        batch = str(uuid.uuid4())
        requests: dict[tuple[Extent, str], JobRequest] = {}
        waiting: dict[Extent, set[str]] = {extent: set() for extent in by_extent}
        for extent, works in by_extent.items():
            for planned in works[0].recipe.jobs:
                if planned.stem in names and not planned.says_nothing:
                    requests[extent, planned.stem] = self._request(planned, works[0].recipe.media, batch)
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
        """Nobody waits for them any more. A server that is gone has none."""
        with contextlib.suppress(StemlineError):
            self._client.cancel(list(self._open_jobs))

    def _request(self, job: PlannedJob, media: str, batch: str) -> JobRequest:
        before: list[str] = []
        if self._settings.chain:
            for stem in self._prepared.stems:
                if stem.name == job.stem:
                    break
                done = self._jobs.get((job.extent, stem.name))
                if done and done.stem:
                    before.append(done.stem.media)
        return JobRequest(
            media=media,
            prompt=JobPrompt(job.text, job.plus, job.minus),
            model=self._model.id,
            seed=self._settings.seed,
            channels="each" if self._settings.channels == "each" else "linked",
            quality=self._settings.quality,
            subtract=tuple(before),
            origin_sample=job.extent.range.start_sample,
            batch_id=batch,
            priority=self._settings.priority,
        )

    def _write(self, work: _Work) -> CutResult:
        """Writes one cut's files, from the writer's thread."""
        started = time.monotonic()
        cut = work.recipe.cut
        result = CutResult(cut)
        try:
            jobs = {job.stem: self._jobs.get((cut.extent, job.stem)) for job in work.recipe.jobs}
            for job in jobs.values():
                if job is not None and job.state is not JobState.SUCCEEDED:
                    raise job.error.error() if job.error else SeparationError("The job was stopped on the server.")
            with claim(work.paths, work.works, overwrite=self._settings.overwrite):
                result.files = self._write_files(work, jobs)
            share = cut.range.length / cut.extent.range.length
            result.engine_s = sum(job.engine_s for job in jobs.values() if job) * min(1.0, share)
        except StemlineError as error:
            stops_all = (Code.DISK_FULL, Code.DISK_QUOTA, Code.OUTPUT_UNWRITABLE, Code.OUTPUT_EXISTS)
            if isinstance(error, Cancelled) or error.code in stops_all:
                raise
            result.error = error
        except Exception as error:  # noqa: BLE001 - as above
            result.error = unforeseen(error)
        result.elapsed_s = time.monotonic() - started
        self._meter.cut(cut)
        return result

    def _write_files(self, work: _Work, jobs: Mapping[str, Job | None]) -> dict[str, FinishedFile]:
        cut = work.recipe.cut
        metadata = {name: clip_metadata(work.recipe, name, jobs.get(name)) for name in work.paths}

        def tags(name: str) -> StemTags:
            return stem_tags(work.recipe, name, metadata[name], work.works[name])

        targets = {name: Target.of(self._client, job, cut.extent.range) for name, job in jobs.items()}
        sample_format = SampleFormat(self._settings.sample_format or _default_format(cut.source))
        request = SetRequest(cut.source, cut.range, targets, work.paths, sample_format, tags, self._hooks.stopped)
        try:
            with open_audio(cut.source) as mix:
                written = write_set(request, mix)
        finally:
            for target in targets.values():
                if target is not None:
                    target.close()
        return {name: _finish_file(name, work, written, metadata[name], jobs.get(name)) for name in work.paths}

    def _leave_out(self, result: CutResult) -> None:
        self._results.append(result)
        self._meter.leave_out(result.cut)

    def _check_cancelled(self) -> None:
        if self._hooks.stopped():
            raise Cancelled


def _raise_failed(lots: Sequence[Future[list[Future[CutResult]]]]) -> None:
    """What stops everything stops it before more sound is sent."""
    for lot in lots:
        for written in lot.result() if lot.done() else ():
            if written.done():
                written.result()


def _lots(cuts: Sequence[Cut]) -> Iterator[list[Cut]]:
    """The cuts in order, a few extents or one long one at a time; those of one extent stay together."""
    lot: list[Cut] = []
    extents: set[Extent] = set()
    for cut in cuts:
        if cut.extent not in extents and (
            len(extents) == _LOT_EXTENTS or sum(extent.range.length for extent in extents) > _LOT_SAMPLES
        ):
            yield lot
            lot, extents = [], set()
        lot.append(cut)
        extents.add(cut.extent)
    if lot:
        yield lot


def _finish_file(
    name: str, work: _Work, written: WrittenSet, metadata: dict[str, object], job: Job | None
) -> FinishedFile:
    """Completes the record of a written file with what is known now, in the sidecar; from here on the file counts as
    done.
    """
    file = written.files[name]
    metadata["null"] = written.null.as_dict()
    metadata["audio_sha256"] = file.audio_sha256
    stem = job.stem if job else None
    record = {
        **metadata,
        "work": work.works[name],
        "extent": [work.recipe.cut.extent.range.start_sample, work.recipe.cut.extent.range.end_sample],
        "file": {"name": file.path.name, "bytes": file.path.stat().st_size, "format": written.sample_format},
        "found": bool(stem and stem.found),
        "confidence": stem.confidence if stem else 0.0,
        "matched": stem.matched if stem else "",
        "notes": dict(stem.notes) if stem else {},
        "warnings": _warnings(name, work.recipe, written, stem),
        "waveform": file.waveform,
        "mix_waveform": written.mix_waveform if name == RESIDUAL else [],
    }
    write_json(sidecar_path(work.paths[name]), record)
    return FinishedFile(file.path, record)


def _warnings(name: str, recipe: Recipe, written: WrittenSet, stem: Stem | None) -> list[dict[str, str]]:
    warnings = [{"code": warning.code, "message": warning.message} for warning in stem.warnings] if stem else []
    if name == RESIDUAL and written.overlapping:
        message = "The stems hold some of the same sound, so the residual holds it inverted."
        if not recipe.settings.chain:
            message += " Take each stem from what the ones before it left (--chain) to avoid that."
        warnings.append({"code": "STEMS_OVERLAP", "message": message})
    if name == RESIDUAL and written.nonfinite_samples:
        message = f"The media has {written.nonfinite_samples} samples that are no numbers; they are taken as silence."
        warnings.append({"code": "MEDIA_NOT_FINITE", "message": message})
    if name == RESIDUAL and written.damaged:
        message = "Some of the media file does not decode; there it is silent, or what follows comes early."
        warnings.append({"code": "MEDIA_DAMAGED", "message": f"{message} Copy it again if it should be whole."})
    facts = recipe.facts
    if name == RESIDUAL and facts.cut_short and recipe.cut.range.end_sample >= facts.length_samples:
        end_s = facts.length_samples / facts.sample_rate
        message = (
            f"The media file is cut short: its sound ends after {end_s:.2f} s. Copy it again if there should be more."
        )
        warnings.append({"code": "MEDIA_CUT_SHORT", "message": message})
    return warnings


def _default_format(source: MediaSource) -> SampleFormat:
    """24 bits hold everything that decoders of compressed sound and most recorders give; deeper PCM stays float."""
    deeper = probe(source.path).streams[source.stream]
    return SampleFormat.WAV32F if deeper.codec.startswith("pcm_") and deeper.bits > 24 else SampleFormat.WAV24


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
