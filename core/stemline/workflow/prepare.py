"""Read the clips of a host and plan their separation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from stemline.clips import ClipRange, MediaFacts, MediaSource, Skip, TimeRange
from stemline.crash_reports import report_crash
from stemline.errors import Code, EditError, StemlineError
from stemline.fill import check_channels
from stemline.hosts.base import Host
from stemline.media import SampleFormat, check_channel_count, media_facts, source_within
from stemline.plan import SeparationPlan, WholeClips, plan_separation
from stemline.prompts import StemRequest, distinct_stems
from stemline.workflow.derived_tracks import check_names
from stemline.workflow.previous_stems import finished_sets
from stemline.workflow.room_tone_source import ToneSource, marked_rooms
from stemline.workflow.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A planned run.

    Attributes:
        clips: The clips to separate.
        facts: The facts of each source.
        stems: The stems to make of every clip.
        plan: Segments, extents and jobs.
        skipped: The clips that are not separated, with reasons.
        notes: Notes of the host.
        timeline_start: Timecode of the timeline's first frame, in seconds.
        drop_frame: Whether the edit counts in drop-frame timecode.
        near: Time of the timeline from which on the results are wanted first; None for no preference.
        rooms: Room tone of the ranges that the user marked, by stem and media.
    """

    clips: tuple[ClipRange, ...]
    facts: dict[MediaSource, MediaFacts]
    stems: tuple[StemRequest, ...]
    plan: SeparationPlan
    skipped: tuple[Skip, ...]
    notes: tuple[str, ...] = ()
    timeline_start: Fraction = Fraction(0)
    drop_frame: bool = False
    near: Fraction | None = None
    rooms: Mapping[tuple[str, MediaSource], ToneSource] = dataclasses.field(default_factory=dict)

    @property
    def audio_s(self) -> float:
        """Seconds of media in all jobs."""
        return sum(job.extent.range.length / self.facts[job.extent.source].sample_rate for job in self.plan.jobs)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is for.

    Attributes:
        near: Time of the timeline from which on the results are wanted first; None for no preference.
        parts_of: The whole clips where the clips of the host are parts of them: both are separated in the same extents,
            so that a part has the samples of the whole.
        handle: The handle of the whole clips in seconds, where it is another than that of the run.
    """

    near: Fraction | None = None
    parts_of: tuple[ClipRange, ...] = ()
    handle: Fraction | None = None


def prepare(
    host: Host,
    stems: Sequence[StemRequest],
    settings: RunSettings,
    earlier: Path | None = None,
    wanted: Wanted | None = None,
) -> Prepared:
    """Read the clips of a host and plan their separation.

    Args:
        host: The host.
        stems: The stems to make of every clip.
        settings: Settings of the run.
        earlier: Folder of the stem files of an edit. A file in it that holds the range of a clip, or more, is reused.
            Without it each clip gets a file of exactly its range.
        wanted: What is listened to first, and what the clips are parts of.

    Raises:
        EditError: No clip can be separated (EDIT_NO_CLIPS).
        UsageError: There is no stem, or a name is used twice.
    """
    stems, wanted = distinct_stems(stems), wanted or Wanted()
    check_names(settings, [stem.name for stem in stems])
    read = host.read_clips(settings.selection)
    whole = [_adapt(clip, settings) for clip in wanted.parts_of or (read.clips if settings.audition_s else ())]
    clips = [_shortened(_adapt(clip, settings), settings.audition_s) for clip in read.clips]
    skipped = list(read.skipped)
    facts, broken = _measure(clips, settings)
    clips, whole = ([_within_section(clip, facts) for clip in some] for some in (clips, whole))
    for clip in clips:
        if clip.source in broken:
            reason = broken[clip.source]
            skipped.append(Skip(clip.name, clip.track, clip.record_range.start, reason.code, str(reason)))
    _check_fill_files(settings, facts)
    finished = finished_sets(earlier, facts) if earlier else {}
    known, whole = ([clip for clip in some if clip.source in facts] for some in (clips, whole))
    handle = settings.plan.handle if wanted.handle is None else wanted.handle
    parts_of = WholeClips(whole, handle) if whole else None
    plan = plan_separation(known, facts, stems, settings.plan, finished, whole=parts_of)
    skipped += plan.skipped
    planned = plan.segment_of()
    if not planned:
        raise EditError(_nothing_to_do(skipped), code=Code.EDIT_NO_CLIPS)
    working = tuple(clip for clip in clips if clip.clip_id in planned)
    return Prepared(
        working,
        facts,
        tuple(stems),
        plan,
        tuple(skipped),
        read.notes,
        read.timeline_start,
        read.drop_frame,
        wanted.near,
        marked_rooms(settings.replace, working, facts),
    )


def _measure(
    clips: Sequence[ClipRange], settings: RunSettings
) -> tuple[dict[MediaSource, MediaFacts], dict[MediaSource, StemlineError]]:
    """Return the facts of each source that can be separated, and why the others cannot."""
    facts: dict[MediaSource, MediaFacts] = {}
    broken: dict[MediaSource, StemlineError] = {}
    rates = {clip.source: clip.frame_rate for clip in clips if clip.frame_rate is not None}
    for source in dict.fromkeys(clip.source for clip in clips):
        try:
            found = _counted_in(rates.get(source), media_facts(source))
            if settings.sample_format:
                check_channel_count(SampleFormat(settings.sample_format), found.channels)
            facts[source] = found
        except StemlineError as error:
            broken[source] = error
        except Exception as error:  # noqa: BLE001 - media is untrusted: one file must not stop the others
            broken[source] = report_crash(error)
    return facts, broken


def _check_fill_files(settings: RunSettings, facts: Mapping[MediaSource, MediaFacts]) -> None:
    """Raise MediaError for a fill file that is missing or does not fit, before any work."""
    for fill in settings.replace.values():
        if fill.path:
            file = media_facts(MediaSource(str(Path(fill.path).absolute())))
            for media in facts.values():
                check_channels(file.channels, media.channels, Path(fill.path).name)


def _adapt(clip: ClipRange, settings: RunSettings) -> ClipRange:
    if settings.channels == "mono":
        clip = dataclasses.replace(clip, source=dataclasses.replace(clip.source, mono=True))
    return clip


def _shortened(clip: ClipRange, audition_s: int) -> ClipRange:
    if not audition_s or clip.record_range.duration <= audition_s:
        return clip
    keep = Fraction(audition_s) / clip.record_range.duration
    return dataclasses.replace(
        clip, source_range=_first(clip.source_range, keep), record_range=_first(clip.record_range, keep)
    )


def _within_section(clip: ClipRange, facts: dict[MediaSource, MediaFacts]) -> ClipRange:
    """Limit a clip of a stream whose channels change to those that it plays, and add their facts."""
    known = facts.get(clip.source)
    if known is None or not known.sections:
        return clip
    source = source_within(clip.source, known, clip.source_range)
    if source not in facts:
        facts[source] = _counted_in(known.frame_rate, media_facts(source))
    return dataclasses.replace(clip, source=source)


def _counted_in(frame_rate: Fraction | None, facts: MediaFacts) -> MediaFacts:
    """Return the facts with the frame rate of the edit, for sound that has no frame rate."""
    return dataclasses.replace(facts, frame_rate=frame_rate) if facts.frame_rate is None else facts


def _first(whole: TimeRange, keep: Fraction) -> TimeRange:
    return TimeRange(whole.start, whole.start + whole.duration * keep)


def _nothing_to_do(skipped: Sequence[Skip]) -> str:
    if not skipped:
        return "The edit has no clip with sound."
    counts = Counter((skip.code, skip.reason) for skip in skipped)
    (_, reason), count = counts.most_common(1)[0]
    others = len(skipped) - count
    return f"No clip can be separated. {count} of {len(skipped)}: {reason}" + (
        f" The other {others} are skipped for other reasons." if others else ""
    )
