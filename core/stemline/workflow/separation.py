"""Separate the segments of a plan: send sound, run jobs, write files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from stemline.client import Client, JobState, Model
from stemline.clips import RESIDUAL
from stemline.crash_reports import report_crash
from stemline.errors import Cancelled, Code, SeparationError, StemlineError, UsageError
from stemline.plan import Cell, Extent, StemSegment
from stemline.trust.signatures import signer_for
from stemline.workflow.derived_tracks import derived_names
from stemline.workflow.fileset import BLOCK_SAMPLES
from stemline.workflow.outputs import Namer
from stemline.workflow.part_jobs import PartJobs
from stemline.workflow.prepare import Prepared
from stemline.workflow.previous_stems import check_free, claim, find_finished, is_enough, sweep
from stemline.workflow.progress import Hooks, Meter
from stemline.workflow.recipe import PartSound, Recipe
from stemline.workflow.segment_writer import SegmentWork, write_segment
from stemline.workflow.settings import RunSettings
from stemline.workflow.splitting import Split, Splitter, playback_order
from stemline.workflow.work_pools import SegmentResult, WorkPools

_WRITERS = 2
_BATCHES_AT_ONCE = 3
_BATCH_EXTENTS = (1, 4, 16)
_BATCH_SAMPLES = 1 << 23  # three minutes
_CELLS_AT_ONCE = (1, 1, 2, 4, 8)
_CANCEL_POLL_S = 0.2
_GROUPS_BEFORE_SOUND = 2
_LONGEST_WAIT_S, _WAIT_POLL_S = 5.0, 0.02
_REPORT_EVERY_S = 0.2

STOPS_ALL = (Code.DISK_FULL, Code.DISK_QUOTA, Code.OUTPUT_UNWRITABLE, Code.OUTPUT_EXISTS)
"""Codes of errors that every other segment would meet, too."""


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
        self._settings = settings
        self._namer = namer
        self._hooks = hooks
        self._signer = signer_for(settings.sign, settings.c2pa)
        self._model = _choose_model(client, settings.model)
        self._pipeline_version = client.server_info().pipeline_version
        prepared, self._refused = self._with_pictures(prepared)
        self._prepared = prepared
        self._starts = dict(playback_order(prepared))
        self._planned = prepared.plan.jobs_of()
        splitter = Splitter(prepared, settings, self._model, namer)
        self._splits = {segment: splitter.split(segment) for segment in prepared.plan.segments}
        self._early = {segment.extent for segment in self._splits if splitter.starts_early(segment)}
        self._results: list[SegmentResult] = []
        self._swept: set[Path] = set()
        parts = {segment: split.all_parts for segment, split in self._splits.items()}
        sets = 2 if derived_names(settings) else 1
        hooks.meter = self._meter = Meter(prepared.facts, parts, hooks.on_progress, sets)
        self._meter.say("reading")
        self._jobs = PartJobs(client, self._model, settings, hooks, self._meter)
        hooks.listener.on_splits(self._splits)

    @property
    def model(self) -> Model:
        """The model of the run."""
        return self._model

    def run(self) -> list[SegmentResult]:
        """Run everything. While the sound of one batch is sent, the batches before it are separated and written.

        Returns:
            The results in the order of the plan's segments.

        Raises:
            Cancelled: The hooks say so.
            UsageError: The model refuses a prompt.
            StemlineError: Something else that stops the whole run, such as a full disk.
        """
        with ExitStack() as undo:
            undo.callback(self._jobs.cancel)  # again: a batch may have created its jobs while the others were cancelled
            self._run_batches()
            undo.pop_all()
        order = {id(segment): i for i, segment in enumerate(self._prepared.plan.segments)}
        return sorted(self._results, key=lambda result: order[id(result.segment)])

    def computed(self) -> tuple[float, float]:
        """Return the seconds of media in the jobs that had to be computed, and the seconds of computing them."""
        jobs = {part: job for part, job in self._jobs.ended.items() if job.engine_s > 0}
        facts = self._prepared.facts
        audio_s = sum(part.cell.range.length / facts[part.cell.source].sample_rate for part in jobs)
        return audio_s, sum(job.engine_s for job in jobs.values())

    def _with_pictures(self, prepared: Prepared) -> tuple[Prepared, dict[Extent, StemlineError]]:
        """Return the run with the pictures of its prompts on the server, and the extents whose pictures failed."""
        if not any(stem.prompt.has_picture for stem in prepared.stems):
            return prepared, {}
        from stemline.workflow.picture_prompts import PicturePrompts, check_model  # noqa: PLC0415 - rarely used

        check_model(self._model, prepared.stems, self._settings.tracker)
        per_second = self._settings.pictures_per_second or self._model.pictures_per_second
        pictures = PicturePrompts(self._client, prepared, per_second, self._settings.tracker, self._hooks)
        return pictures.prepared(), pictures.refused

    def _run_batches(self) -> None:
        with (
            ThreadPoolExecutor(_WRITERS, thread_name_prefix="stem-writer") as writers,
            ThreadPoolExecutor(_BATCHES_AT_ONCE, thread_name_prefix="stem-batch") as followers,
            ExitStack() as undo,
        ):
            undo.callback(self._jobs.cancel)
            undo.callback(writers.shutdown, wait=False, cancel_futures=True)
            undo.callback(self._hooks.stop)  # first: the last callback is called first
            batches = WorkPools(writers, followers, self._jobs, self._write)
            for batch in _batches(list(self._starts)):
                batches.raise_failed()
                self._send(batch, batches)
            self._all(batches.followed)
            self._results += self._all(batches.written)
            undo.pop_all()

    def _all(self, futures: Sequence[Future[Any]]) -> list[Any]:
        """Return the results. Raises the first error, and Cancelled while it waits."""
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=_CANCEL_POLL_S, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            self._check_cancelled()
        return [future.result() for future in futures]

    def _send(self, segments: Sequence[StemSegment], batches: WorkPools) -> None:
        """Send the sound of these segments, and separate those whose files do not exist yet.

        The names of files need the hash of all of their sound. Where no earlier run can have written them, each part is
        separated as soon as it is sent; else none before it is known that its files do not exist.
        """
        media: dict[Cell, str | StemlineError] = {}
        open_work: list[SegmentWork] = []
        for segment in segments:
            early = segment.extent in self._early
            for number, cells in enumerate(_growing(self._cells_in_order(segment, media))):
                if early and number == _GROUPS_BEFORE_SOUND:
                    self._wait_for_first_part(batches)
                for cell in cells:
                    self._check_cancelled()
                    media[cell] = self._media(cell)
                    self._meter.say("reading")
                if early:
                    batches.follow(self._sounds_in(segments, cells, media))
                    batches.raise_failed()
            self._check_cancelled()
            work = self._open(segment, media)
            if work is None:
                continue
            if early:
                batches.add(work)
            else:
                open_work.append(work)
        if open_work:
            sounds = (sound for work in open_work for own in work.recipe.sounds.values() for sound in own)
            order = {cell: place for place, cell in enumerate(media)}  # those that are heard first in front
            batches.follow(sorted(dict.fromkeys(sounds), key=lambda sound: order[sound.part.cell]))
            for work in open_work:
                batches.add(work)

    def _wait_for_first_part(self, batches: WorkPools) -> None:
        """Wait a while for the first result: reading the rest of a long media takes a core from its computation."""
        until_s = time.monotonic() + _LONGEST_WAIT_S
        while not self._jobs.ended and time.monotonic() < until_s:
            batches.raise_failed()
            self._check_cancelled()
            time.sleep(_WAIT_POLL_S)

    def _cells_in_order(self, segment: StemSegment, media: dict[Cell, str | StemlineError]) -> list[Cell]:
        """Return the cells of a segment that have not been sent, those that are heard first in front."""
        cells = dict.fromkeys(part.cell for part in self._splits[segment].all_parts)
        behind = [cell for cell in cells if cell.core.end_sample > self._starts[segment]]
        return [cell for cell in (*behind, *(c for c in cells if c not in behind)) if cell not in media]

    def _sounds_in(
        self, segments: Sequence[StemSegment], cells: Sequence[Cell], media: dict[Cell, str | StemlineError]
    ) -> list[PartSound]:
        """Return the parts of these segments in these cells, each once, without those that cannot be read."""
        parts = dict.fromkeys(part for segment in segments for part in self._splits[segment].all_parts)
        names = {cell: name for cell in cells if isinstance(name := media[cell], str)}
        return [PartSound(part, names[part.cell]) for part in parts if part.cell in names]

    def _open(self, segment: StemSegment, media: dict[Cell, str | StemlineError]) -> SegmentWork | None:
        """Return what to write for a segment, or None where its files exist or its media cannot be read."""
        split = self._splits[segment]
        known: dict[Cell, str] = {}
        if segment.extent in self._refused:
            self._leave_out(SegmentResult(segment, error=self._refused[segment.extent]))
            return None
        for part in split.all_parts:
            name = media[part.cell]
            if isinstance(name, StemlineError):
                self._leave_out(SegmentResult(segment, error=name))
                return None
            known[part.cell] = name
        work = self._work(segment, split, known)
        self._sweep(work)
        finished = find_finished(work.paths, work.fingerprints)
        if finished is not None and is_enough(finished, self._settings):
            self._leave_out(SegmentResult(segment, finished, reused=True))
            return None
        if not self._settings.overwrite:
            check_free(work.paths, work.fingerprints)
        return work

    def _media(self, cell: Cell) -> str | StemlineError:
        """Return the name of a cell's sound on the server, or the error."""
        try:
            return self._client.ensure_media(
                cell.source,
                cell.range,
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

    def _work(self, segment: StemSegment, split: Split, media: dict[Cell, str]) -> SegmentWork:
        facts = self._prepared.facts[segment.source]
        jobs = self._planned[segment.extent]
        sounds = {
            stem: tuple(PartSound(part, media[part.cell]) for part in parts) for stem, parts in split.parts.items()
        }
        recipe = Recipe(segment, facts, jobs, sounds, self._model, self._pipeline_version, self._settings)
        fingerprints = {name: recipe.fingerprint(name) for name in [*(job.stem for job in jobs), RESIDUAL]}
        paths = {name: self._namer(segment, facts, name, fingerprint) for name, fingerprint in fingerprints.items()}
        return SegmentWork(recipe, paths, fingerprints, self._signer, split.grid)

    def _sweep(self, work: SegmentWork) -> None:
        """Sweep each output folder once."""
        folders = {path.parent for path in work.paths.values()} - self._swept
        for folder in folders:
            sweep(folder)
        self._swept |= folders

    def _write(self, work: SegmentWork) -> SegmentResult:
        """Write the files of one segment. Called from a writer's thread."""
        started = time.monotonic()
        segment = work.recipe.segment
        result = SegmentResult(segment)
        try:
            jobs = {stem: self._jobs.of(sounds) for stem, sounds in work.recipe.sounds.items()}
            for job in (job for own in jobs.values() for job in own):
                if job is not None and job.state is not JobState.SUCCEEDED:
                    raise job.error.error() if job.error else SeparationError("The job was stopped on the server.")
            overwrite, in_cells = self._settings.overwrite, work.grid is not None
            with claim(work.paths, work.fingerprints, overwrite=overwrite, in_cells=in_cells):
                result.files = write_segment(work, jobs, self._client, self._counting(segment))
            result.engine_s = self._engine_s(work)
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

    def _counting(self, segment: StemSegment) -> Callable[[], bool]:
        """Return what is asked between blocks whether to stop, and reports the progress of writing by it."""
        total = 2 * -(-segment.range.length // BLOCK_SAMPLES)  # written, and read again for the null
        blocks, reported_s = 0, time.monotonic()

        def stopped() -> bool:
            nonlocal blocks, reported_s
            blocks += 1
            if time.monotonic() - reported_s > _REPORT_EVERY_S:
                reported_s = time.monotonic()
                self._meter.segment(segment, min(blocks / total, 1.0))
            return self._hooks.stopped()

        return stopped

    def written(self) -> tuple[int, int, float]:
        """Return the files that were written, their bytes, and the seconds that it took."""
        new = [result for result in self._results if result.files and not result.reused]
        files = [file for result in new for file in result.files.values()]
        seconds = sum(result.elapsed_s for result in new) / _WRITERS
        return len(files), sum(file.facts.size_bytes for file in files), seconds

    def _engine_s(self, work: SegmentWork) -> float:
        """Return the seconds of computing that are for this segment, of jobs that several share."""
        seconds = 0.0
        for sounds in work.recipe.sounds.values():
            for sound, job in zip(sounds, self._jobs.of(sounds), strict=True):
                core = sound.part.cell.core
                share = core.intersect(work.recipe.segment.range).length / core.length
                seconds += job.engine_s * share if job else 0.0
        return seconds

    def _leave_out(self, result: SegmentResult) -> None:
        self._results.append(result)
        self._announce(result)
        self._meter.leave_out(result.segment)

    def _announce(self, result: SegmentResult) -> None:
        self._hooks.listener.on_files(result.segment, {name: file.path for name, file in result.files.items()})

    def _check_cancelled(self) -> None:
        if self._hooks.stopped():
            raise Cancelled


def _growing(cells: Sequence[Cell]) -> Iterator[Sequence[Cell]]:
    """Yield the cells in groups, the first ones small: they are heard first."""
    done = number = 0
    while done < len(cells):
        size = _CELLS_AT_ONCE[min(number, len(_CELLS_AT_ONCE) - 1)]
        yield cells[done : done + size]
        done, number = done + size, number + 1


def _batches(segments: Sequence[StemSegment]) -> Iterator[list[StemSegment]]:
    """Yield the segments in batches: a few extents, or a long one. Segments of one extent stay together."""
    of_extent: dict[Extent, list[StemSegment]] = {}
    for segment in segments:
        of_extent.setdefault(segment.extent, []).append(segment)
    batch: list[StemSegment] = []
    extents = samples = number = 0
    for extent, own in of_extent.items():
        if extents == _BATCH_EXTENTS[min(number, len(_BATCH_EXTENTS) - 1)] or samples > _BATCH_SAMPLES:
            yield batch
            batch, extents, samples, number = [], 0, 0, number + 1
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
