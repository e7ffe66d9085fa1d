"""Plan which ranges of which media are separated, so that every clip gets its stems and nothing is done twice.

Each clip needs a *segment*: the media it uses plus handles, on the frame grid, which becomes one file per stem.
Segments of the same media lie in *extents*: merged, and rounded outward to an absolute grid of the media, so that a
trimmed clip falls into the same extents and its separation is found. One *job* is one extent and one prompt; long
extents are cut into cells (see `stemline.plan.cells`), each of which is a job.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType

from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, Skip, TimeRange
from stemline.errors import Code, UsageError
from stemline.options import MAX_HANDLE_S
from stemline.prompts import SamplePrompt, StemRequest
from stemline.timebase import Grid, ceil_to, floor_to, grid_of, round_half_up


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """How much of the media is separated and written around each clip.

    Attributes:
        handle: Seconds on each side that the stem files hold beyond the clip.
        context: Further seconds on each side that only the engine hears.
        extent_grid_s: Grid of extents in whole seconds of media; 0 gives each extent exactly what its segments need.
        head_handle: Whether files also hold the handle before the clip. Without it each file begins with the first
            sample that its clip plays, for players that start a file late at any other place.

    Raises:
        UsageError: A value out of range.
    """

    handle: Fraction = Fraction(2)
    context: Fraction = Fraction(1)
    extent_grid_s: int = 5
    head_handle: bool = True

    def __post_init__(self) -> None:
        """Check the values. Raises UsageError."""
        for name, seconds in (("handle", self.handle), ("context", self.context)):
            if not 0 <= seconds <= MAX_HANDLE_S:
                raise UsageError(f"{name} must be 0 to {MAX_HANDLE_S} seconds, not {float(seconds):g}.")
        if self.extent_grid_s < 0:
            raise UsageError(f"extent_grid_s must be 0 or more, not {self.extent_grid_s}.")


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """The range of the media that one job separates. It is always inside the media."""

    source: MediaSource
    range: SampleRange


@dataclass(frozen=True, slots=True)
class StemSegment:
    """A segment of media that becomes one file per stem.

    Attributes:
        source: The media.
        used: The range that clips play.
        range: The range that the files hold. It may reach past the ends of the media, where the files hold zeros.
        extent: The extent that covers it.
        clip_ids: The clips that play it.
    """

    source: MediaSource
    used: SampleRange
    range: SampleRange
    extent: Extent
    clip_ids: tuple[str, ...]

    def pad_samples(self, length_samples: int) -> int:
        """Return the number of samples of the file past the end of the media."""
        return max(0, self.range.end_sample - max(length_samples, self.range.start_sample))


@dataclass(frozen=True, slots=True)
class Finished:
    """A set of stem files of an earlier run.

    Attributes:
        range: The range of the media that they hold.
        extent: The extent of their jobs.
        in_cells: Whether that extent was cut into cells.
    """

    range: SampleRange
    extent: SampleRange
    in_cells: bool = False


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One extent and one prompt. Spans are samples of the extent.

    The prompt is empty where it consists of spans alone and none of them falls into this extent: the stem is silent
    there and needs no engine.
    """

    extent: Extent
    stem: str
    prompt: SamplePrompt


@dataclass(frozen=True, slots=True)
class SeparationPlan:
    """The extents, segments and jobs of a run, and the clips that are skipped.

    Attributes:
        extents: The extents.
        segments: The segments.
        jobs: A job for each extent and stem.
        skipped: The clips that are not separated.
        undivided: The extents that an earlier run separated without cells, so that its results are found.
        written: The segments of whose range an earlier run wrote files, whatever they hold.
    """

    extents: tuple[Extent, ...]
    segments: tuple[StemSegment, ...]
    jobs: tuple[PlannedJob, ...]
    skipped: tuple[Skip, ...]
    undivided: frozenset[Extent] = frozenset()
    written: frozenset[StemSegment] = frozenset()

    def segment_of(self) -> dict[str, StemSegment]:
        """Return the segment of each planned clip, by clip id."""
        return {clip_id: segment for segment in self.segments for clip_id in segment.clip_ids}

    def jobs_of(self) -> dict[Extent, tuple[PlannedJob, ...]]:
        """Return the jobs of each extent, in the order of the stems."""
        found: dict[Extent, list[PlannedJob]] = {extent: [] for extent in self.extents}
        for job in self.jobs:
            found[job.extent].append(job)
        return {extent: tuple(jobs) for extent, jobs in found.items()}


@dataclass(frozen=True, slots=True)
class WholeClips:
    """The clips of which an audition separates parts, and their handle in seconds."""

    clips: Sequence[ClipRange]
    handle: Fraction


def plan_separation(
    clips: Sequence[ClipRange],
    facts: Mapping[MediaSource, MediaFacts],
    stems: Sequence[StemRequest],
    settings: PlanSettings,
    finished: Mapping[MediaSource, Sequence[Finished]] = MappingProxyType({}),
    *,
    whole: WholeClips | None = None,
) -> SeparationPlan:
    """Plan the separation of clips.

    A clip whose range lies in `finished` files reuses them; one whose range lies in the extent of such files is taken
    from that extent. A re-edited edit thus asks only for what no earlier run covered. Ranges alone decide that; the
    hash of the sound decides later whether it is still the same. Clips that play nothing of their media are skipped.

    Args:
        clips: The clips.
        facts: The facts of every clip's source.
        stems: The stems to make of every clip.
        settings: Handles, context and grid.
        finished: The files of earlier runs, by source.
        whole: The whole clips where `clips` are parts of them. A part is separated in the extent of the whole, with the
            same prompt, so that it has the samples of the whole.
    """
    within: tuple[Extent, ...] = ()
    if whole:
        within = plan_separation(whole.clips, facts, stems, replace(settings, handle=whole.handle)).extents
    wanted: dict[MediaSource, dict[SampleRange, list[tuple[SampleRange, str]]]] = defaultdict(lambda: defaultdict(list))
    skipped: list[Skip] = []
    known = {source: [f for f in sets if _fits(f, facts[source])] for source, sets in finished.items()}
    for clip in clips:
        media = facts[clip.source]
        used = used_samples(clip, media)
        if used.length <= 0:
            skipped.append(_skip(clip, Code.CLIP_EMPTY, "The clip plays no sample of its media."))
        elif used.intersect(SampleRange(0, media.length_samples)).length == 0:
            skipped.append(_skip(clip, Code.MEDIA_OUT_OF_RANGE, "The clip lies outside the sound of its media."))
        else:
            needed = _segment_range(used, clip, media, settings)
            earlier = known.get(clip.source, ()) if settings.head_handle else ()
            held = _finished_range(needed, clip, media, earlier)
            wanted[clip.source][held].append((used, clip.clip_id))

    extents: list[Extent] = []
    segments: list[StemSegment] = []
    for source, ranges in wanted.items():
        open_extents = {f.extent for f in known.get(source, ())} | {e.range for e in within if e.source == source}
        exact = {f.range: f.extent for f in known.get(source, ())}
        own = _extent_of_each(source, ranges, facts[source], settings, (exact, open_extents))
        extents += sorted(set(own.values()))
        segments += _segments(source, ranges, own, facts[source])
    planned = {clip_id for segment in segments for clip_id in segment.clip_ids}
    spans = _SpanFinder([clip for clip in (whole.clips if whole else clips) if clip.clip_id in planned], facts)
    jobs = [_job(extent, stem, spans) for extent in extents for stem in stems]
    undivided = frozenset(_undivided(known).intersection(extents))
    in_files = {(source, one.range) for source, sets in known.items() for one in sets}
    written = frozenset(segment for segment in segments if (segment.source, segment.range) in in_files)
    return SeparationPlan(tuple(extents), tuple(segments), tuple(jobs), tuple(skipped), undivided, written)


def _undivided(finished: Mapping[MediaSource, Sequence[Finished]]) -> set[Extent]:
    """Return the extents of earlier runs of which none was cut into cells."""
    whole, cut = set[Extent](), set[Extent]()
    for source, sets in finished.items():
        for one in sets:
            (cut if one.in_cells else whole).add(Extent(source, one.extent))
    return whole - cut


def used_samples(clip: ClipRange, media: MediaFacts) -> SampleRange:
    """Return the samples that a player can play for this clip if it rounds positions to the nearest sample.

    The player rounds the start of the clip in the media, and separately its start and end on the timeline, so it may
    play one sample more than the rounded source range.
    """
    rate = media.sample_rate
    start = round_half_up(clip.source_range.start * rate)
    longest = math.ceil(clip.source_range.duration * rate)
    return SampleRange(start, max(round_half_up(clip.source_range.end * rate), start + longest))


def _skip(clip: ClipRange, code: Code, reason: str) -> Skip:
    return Skip(clip.name, clip.track, clip.record_range.start, code, reason)


def _segment_range(used: SampleRange, clip: ClipRange, media: MediaFacts, settings: PlanSettings) -> SampleRange:
    """Return the used range plus handles.

    It starts where frames and samples meet, counted from the media's first sample, and ends on a whole frame.
    """
    rate = media.sample_rate
    handle = math.ceil(settings.handle * rate)
    start = min(used.start_sample, max(0, used.start_sample - handle))
    end = max(used.end_sample, min(media.length_samples, used.end_sample + handle))
    if not settings.head_handle:
        start = used.start_sample
    if clip.frame_rate is None:
        return SampleRange(start, end)
    grid: Grid = grid_of(clip.frame_rate, rate)
    per_frame = Fraction(rate) / clip.frame_rate
    if not settings.head_handle:
        return SampleRange(start, start + math.ceil(math.ceil((end - start) / per_frame) * per_frame))
    whole_frames_end = math.ceil(math.ceil(end / per_frame) * per_frame)
    return SampleRange(floor_to(start, grid.samples), whole_frames_end)


def _extents(
    source: MediaSource, ranges: Iterable[SampleRange], media: MediaFacts, settings: PlanSettings
) -> list[Extent]:
    """Widen segment ranges by the context, round them outward to the extent grid and join those that overlap."""
    step = settings.extent_grid_s * media.sample_rate or 1
    context = math.ceil(settings.context * media.sample_rate)
    whole = SampleRange(0, media.length_samples)
    merged: list[SampleRange] = []
    for needed in sorted(needed.intersect(whole) for needed in ranges):
        wide = SampleRange(
            floor_to(needed.start_sample - context, step), ceil_to(needed.end_sample + context, step)
        ).intersect(whole)
        if merged and wide.start_sample < merged[-1].end_sample:
            merged[-1] = SampleRange(merged[-1].start_sample, max(merged[-1].end_sample, wide.end_sample))
        else:
            merged.append(wide)
    return [Extent(source, extent) for extent in merged]


def _extent_of_each(
    source: MediaSource,
    ranges: Iterable[SampleRange],
    media: MediaFacts,
    settings: PlanSettings,
    known: tuple[Mapping[SampleRange, SampleRange], Iterable[SampleRange]],
) -> dict[SampleRange, Extent]:
    """Return the extent of each segment range: a known one that holds it, else a new one.

    `known` has the extents of finished files by the range of these, and all known extents.
    """
    whole = SampleRange(0, media.length_samples)
    found: dict[SampleRange, Extent] = {}
    fresh = []
    own, extents = known[0], sorted(known[1], key=lambda extent: extent.length)
    for wanted in ranges:
        needed = wanted.intersect(whole)
        held = next((extent for extent in (own.get(wanted), *extents) if extent and extent.contains(needed)), None)
        if held is not None:
            found[wanted] = Extent(source, held)
        else:
            fresh.append(wanted)
    made = _extents(source, fresh, media, settings)
    for wanted in fresh:
        needed = wanted.intersect(whole)
        found[wanted] = next(extent for extent in made if extent.range.contains(needed))
    return found


def _finished_range(
    needed: SampleRange, clip: ClipRange, media: MediaFacts, finished: Sequence[Finished]
) -> SampleRange:
    """Return the smallest finished range that holds `needed` and is on the clip's grid; else `needed`."""
    shortest = needed
    for one in finished:
        held = one.range
        if held == needed:
            return needed
        if held.contains(needed) and (shortest == needed or held.length < shortest.length):
            shortest = held if _on_grid(held, clip, media) else shortest
    return shortest


def _fits(finished: Finished, media: MediaFacts) -> bool:
    """Return whether a record can be of this media. Files may reach past its ends by a frame or so, extents never."""
    whole = SampleRange(0, media.length_samples)
    near = SampleRange(-media.sample_rate, media.length_samples + media.sample_rate)
    held = finished.range.intersect(whole)
    return near.contains(finished.range) and whole.contains(finished.extent) and finished.extent.contains(held)


def _on_grid(found: SampleRange, clip: ClipRange, media: MediaFacts) -> bool:
    if clip.frame_rate is None:
        return True
    per_frame = Fraction(media.sample_rate) / clip.frame_rate
    on_start = found.start_sample % grid_of(clip.frame_rate, media.sample_rate).samples == 0
    return on_start and found.end_sample == math.ceil(found.end_sample // per_frame * per_frame)


def _segments(
    source: MediaSource,
    ranges: Mapping[SampleRange, Sequence[tuple[SampleRange, str]]],
    extents: Mapping[SampleRange, Extent],
    media: MediaFacts,
) -> list[StemSegment]:
    segments = []
    whole = SampleRange(0, media.length_samples)
    for file_range in sorted(ranges, key=lambda r: r.intersect(whole)):
        users = ranges[file_range]
        used = SampleRange(min(u.start_sample for u, _ in users), max(u.end_sample for u, _ in users))
        ids = tuple(clip_id for _, clip_id in users)
        segments.append(StemSegment(source, used, file_range, extents[file_range], ids))
    return segments


class _SpanFinder:
    """Maps spans of the record timeline into the media, through every clip that plays there."""

    def __init__(self, clips: Sequence[ClipRange], facts: Mapping[MediaSource, MediaFacts]) -> None:
        self._facts = facts
        self._clips: dict[MediaSource, list[ClipRange]] = defaultdict(list)
        for clip in clips:
            self._clips[clip.source].append(clip)

    def in_extent(self, extent: Extent, spans: Sequence[TimeRange]) -> tuple[SampleRange, ...]:
        """Return `spans` as disjoint sample ranges of `extent`, in order."""
        if not spans:
            return ()
        found = []
        for clip in self._clips[extent.source]:
            for span in spans:
                if span.overlaps(clip.record_range):
                    found.append(self._to_media(clip, span).intersect(extent.range))
        merged: list[SampleRange] = []
        for part in sorted(part for part in found if part.length > 0):
            if merged and part.start_sample <= merged[-1].end_sample:
                merged[-1] = SampleRange(merged[-1].start_sample, max(merged[-1].end_sample, part.end_sample))
            else:
                merged.append(part)
        return tuple(part.shift(-extent.range.start_sample) for part in merged)

    def _to_media(self, clip: ClipRange, span: TimeRange) -> SampleRange:
        start = max(span.start, clip.record_range.start) - clip.record_range.start
        end = min(span.end, clip.record_range.end) - clip.record_range.start
        speed = clip.source_range.duration / clip.record_range.duration
        rate = self._facts[clip.source].sample_rate
        return SampleRange(
            round_half_up((clip.source_range.start + start * speed) * rate),
            round_half_up((clip.source_range.start + end * speed) * rate),
        )


def _job(extent: Extent, stem: StemRequest, spans: _SpanFinder) -> PlannedJob:
    prompt = stem.prompt
    plus, minus = spans.in_extent(extent, prompt.plus), spans.in_extent(extent, prompt.minus)
    return PlannedJob(extent, stem.name, SamplePrompt(prompt.text, plus, minus))
