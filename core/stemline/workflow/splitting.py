"""Decide how the segments of a run are cut into cells, and in which order they are separated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.client import Model
from stemline.clips import RESIDUAL, ClipRange
from stemline.plan import CellGrid, Extent, Part, PlannedJob, StemSegment, cells_of, prompt_in, undivided
from stemline.prompts import SamplePrompt
from stemline.timebase import round_half_up
from stemline.workflow.outputs import Namer
from stemline.workflow.prepare import Prepared
from stemline.workflow.settings import RunSettings
from stemline.workflow.sidecars import WritingMark, read_sidecar, sidecar_path


@dataclass(frozen=True, slots=True)
class Split:
    """How a segment is separated.

    Attributes:
        parts: The parts of each stem by name, in order of time.
        grid: The grid of its cells; None where its extent is undivided.
    """

    parts: Mapping[str, tuple[Part, ...]]
    grid: CellGrid | None

    @property
    def all_parts(self) -> tuple[Part, ...]:
        """The parts of all stems."""
        return tuple(part for parts in self.parts.values() for part in parts)


class Splitter:
    """Cuts the extents of a run.

    An extent stays undivided where it is not longer than the model wants it, and where an earlier version separated it
    so, whose results then are found. So does a stem whose prompt has marks: what they describe may be anywhere in the
    extent. The stems of a chain are cut in the same way.
    """

    def __init__(self, prepared: Prepared, settings: RunSettings, model: Model, namer: Namer) -> None:
        """Prepare for a run."""
        self._prepared = prepared
        self._model = model
        self._namer = namer
        self._planned = prepared.plan.jobs_of()
        self._chain = settings.chain
        self._grids: dict[Extent, CellGrid | None] = {}

    def split(self, segment: StemSegment) -> Split:
        """Return how a segment is separated."""
        grid = self._grid(segment)
        return Split({job.stem: self._parts(segment, job, grid) for job in self._planned[segment.extent]}, grid)

    def starts_early(self, segment: StemSegment) -> bool:
        """Return whether its cells may be separated before all of its sound is known: no file of it can exist."""
        if self._grid(segment) is None or segment in self._prepared.plan.written:
            return False
        path = self._path(segment)
        return not any(path.with_name(path.name + suffix).exists() for suffix in (".json", ".wav", ".flac"))

    def _parts(self, segment: StemSegment, job: PlannedJob, grid: CellGrid | None) -> tuple[Part, ...]:
        if grid is None or _has_marks(job.prompt):
            return (Part(undivided(segment.extent), job.stem, job.prompt),)
        length = self._prepared.facts[segment.source].length_samples
        cells = cells_of(segment.source, segment.range, length, grid)
        return tuple(Part(cell, job.stem, prompt_in(cell, segment.extent, job.prompt)) for cell in cells)

    def _grid(self, segment: StemSegment) -> CellGrid | None:
        extent = segment.extent
        if extent not in self._grids:
            self._grids[extent] = self._choose_grid(segment)
        return self._grids[extent]

    def _choose_grid(self, segment: StemSegment) -> CellGrid | None:
        extent, jobs = segment.extent, self._planned[segment.extent]
        grid = CellGrid.of(self._model.cell_s, self._model.context_s, self._prepared.facts[segment.source].sample_rate)
        if not grid.cell_samples or extent.range.length <= self._undivided_samples(segment):
            return None
        marked = [_has_marks(job.prompt) for job in jobs]
        if all(marked) or (self._chain and any(marked)) or extent in self._prepared.plan.undivided:
            return None
        return None if self._is_undivided(segment) else grid

    def _undivided_samples(self, segment: StemSegment) -> int:
        longest_s = max(self._model.undivided_s, self._model.cell_s)
        return longest_s * self._prepared.facts[segment.source].sample_rate

    def _is_undivided(self, segment: StemSegment) -> bool:
        """Return whether the file in the place of the residual is of this extent, and is not joined from cells."""
        there = read_sidecar(sidecar_path(self._path(segment)))
        if isinstance(there, WritingMark):
            return not there.in_cells
        if there is None or there.file is None:
            return False
        return not there.file.cell_samples and there.file.extent == segment.extent.range

    def _path(self, segment: StemSegment) -> Path:
        """Return the path of the residual without suffix, if it does not depend on the sound; else one without file."""
        return self._namer(segment, self._prepared.facts[segment.source], RESIDUAL, "")


def playback_order(prepared: Prepared) -> tuple[tuple[StemSegment, int], ...]:
    """Return the segments in the order in which they are separated, each with the sample at which listening begins.

    With `Prepared.near` that is the order on the timeline from there on, then what lies before it; else the plan's.
    """
    if prepared.near is None:
        return tuple((segment, segment.range.start_sample) for segment in prepared.plan.segments)
    clips = {clip.clip_id: clip for clip in prepared.clips}
    near = prepared.near
    placed = []
    for segment in prepared.plan.segments:
        own = sorted((clips[clip_id] for clip_id in segment.clip_ids), key=lambda clip: clip.record_range)
        clip = next((clip for clip in own if clip.record_range.end > near), own[0])
        is_before = clip.record_range.end <= near
        placed.append((is_before, clip.record_range.start, segment, _sample_at(prepared, segment, clip)))
    placed.sort(key=lambda place: place[:2])
    return tuple((segment, sample) for _, _, segment, sample in placed)


def _sample_at(prepared: Prepared, segment: StemSegment, clip: ClipRange) -> int:
    """Return the sample of the media that plays first of a clip."""
    record, source = clip.record_range, clip.source_range
    if prepared.near is None or not record.start < prepared.near < record.end:
        return segment.range.start_sample
    played = (prepared.near - record.start) * (source.duration / record.duration)
    at: Fraction = source.start + played
    return round_half_up(at * prepared.facts[segment.source].sample_rate)


def _has_marks(prompt: SamplePrompt) -> bool:
    return bool(prompt.plus or prompt.minus or prompt.mask)
