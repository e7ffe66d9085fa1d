"""The plan: every clip gets its sound, files start on the common grid of frames and samples, no work is repeated."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, TimeRange
from stemline.errors import Code
from stemline.plan import PlanSettings, plan_separation
from stemline.plan.separation import used_samples
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.timebase import grid_of, round_half_up

RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(50),
    Fraction(60000, 1001),
]
SPEECH = StemRequest("dialogue", TimelinePrompt("speech"))


def clip(source: MediaSource, start: Fraction, end: Fraction, **more: object) -> ClipRange:
    record = more.pop("record", Fraction(0))
    assert isinstance(record, Fraction)
    return ClipRange(
        clip_id=str(more.pop("clip_id", "c")),
        name="clip",
        track=str(more.pop("track", "A1")),
        source=source,
        source_range=TimeRange(start, end),
        record_range=TimeRange(record, record + end - start),
        **more,  # type: ignore[arg-type]
    )


@st.composite
def edits(draw: st.DrawFn) -> tuple[list[ClipRange], dict[MediaSource, MediaFacts]]:
    frame_rate = draw(st.sampled_from(RATES))
    facts = {}
    for i in range(draw(st.integers(1, 3))):
        sample_rate = draw(st.sampled_from([11025, 22050, 44100, 48000, 96000]))
        length = draw(st.integers(1, 120 * sample_rate))
        facts[MediaSource(f"/media/{i}.wav")] = MediaFacts(sample_rate, 2, length)
    clips = []
    for i in range(draw(st.integers(1, 12))):
        source = draw(st.sampled_from(sorted(facts)))
        start = draw(st.integers(-50, 3000))
        count = draw(st.integers(1, 1000))
        clips.append(
            clip(source, start / frame_rate, (start + count) / frame_rate, clip_id=str(i), frame_rate=frame_rate)
        )
    return clips, facts


plan_settings = st.builds(
    PlanSettings,
    handle=st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(2)]),
    context=st.sampled_from([Fraction(0), Fraction(1)]),
    extent_grid_s=st.sampled_from([0, 1, 5]),
)


@settings(max_examples=150, deadline=None)
@given(edit=edits(), asked=plan_settings)
def test_every_clip_is_planned_or_skipped_by_name(
    edit: tuple[list[ClipRange], dict[MediaSource, MediaFacts]], asked: PlanSettings
) -> None:
    clips, facts = edit
    plan = plan_separation(clips, facts, [SPEECH], asked)
    assert len(plan.segment_of()) + len(plan.skipped) == len(clips)
    for clip_range in clips:
        media = facts[clip_range.source]
        used = used_samples(clip_range, media)
        overlaps = used.intersect(SampleRange(0, media.length_samples)).length > 0
        assert (clip_range.clip_id in plan.segment_of()) == overlaps


@settings(max_examples=150, deadline=None)
@given(edit=edits(), asked=plan_settings)
def test_files_cover_their_clips_and_start_on_the_common_grid(
    edit: tuple[list[ClipRange], dict[MediaSource, MediaFacts]], asked: PlanSettings
) -> None:
    clips, facts = edit
    segments = plan_separation(clips, facts, [SPEECH], asked).segment_of()
    for clip_range in clips:
        if clip_range.clip_id not in segments:
            continue
        segment, media = segments[clip_range.clip_id], facts[clip_range.source]
        assert clip_range.frame_rate is not None
        assert segment.range.contains(used_samples(clip_range, media))
        assert segment.range.start_sample % grid_of(clip_range.frame_rate, media.sample_rate).samples == 0
        # whole frames: a player that asks for the last frame finds all of it
        per_frame = Fraction(media.sample_rate) / clip_range.frame_rate
        assert math.ceil(segment.range.end_sample // per_frame * per_frame) == segment.range.end_sample
        # a player that rounds frames to samples inside the file lands on the very sample of the original
        offset = clip_range.source_range.start - Fraction(segment.range.start_sample, media.sample_rate)
        in_file = round_half_up(offset * media.sample_rate)
        assert segment.range.start_sample + in_file == used_samples(clip_range, media).start_sample


@settings(max_examples=150, deadline=None)
@given(edit=edits(), asked=plan_settings)
def test_extents_cover_segments_within_the_media_without_overlap(
    edit: tuple[list[ClipRange], dict[MediaSource, MediaFacts]], asked: PlanSettings
) -> None:
    clips, facts = edit
    plan = plan_separation(clips, facts, [SPEECH], asked)
    for segment in plan.segments:
        whole = SampleRange(0, facts[segment.source].length_samples)
        assert segment.extent in plan.extents
        assert segment.extent.range.contains(segment.range.intersect(whole))
        assert whole.contains(segment.extent.range)
    for source, media in facts.items():
        ranges = sorted(extent.range for extent in plan.extents if extent.source == source)
        assert all(a.end_sample <= b.start_sample for a, b in itertools.pairwise(ranges))
        step = asked.extent_grid_s * media.sample_rate
        for extent in ranges if step else []:
            assert extent.start_sample % step == 0
            assert extent.end_sample % step == 0 or extent.end_sample == media.length_samples
    assert len(plan.jobs) == len(plan.extents)
    assert len({(segment.source, segment.range) for segment in plan.segments}) == len(plan.segments)


def test_equal_ranges_share_one_file_and_overlapping_ranges_one_job() -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 2, 48000 * 60)
    clips = [
        clip(source, Fraction(10), Fraction(12), clip_id="a", frame_rate=Fraction(25)),
        clip(source, Fraction(10), Fraction(12), clip_id="b", frame_rate=Fraction(25), track="A2"),
        clip(source, Fraction(11), Fraction(13), clip_id="c", frame_rate=Fraction(25)),
        clip(source, Fraction(50), Fraction(51), clip_id="d", frame_rate=Fraction(25)),
    ]
    plan = plan_separation(clips, {source: facts}, [SPEECH], PlanSettings())
    assert [segment.clip_ids for segment in plan.segments] == [("a", "b"), ("c",), ("d",)]
    assert len(plan.extents) == len(plan.jobs) == 2


@given(trim=st.integers(-20, 20))
def test_a_trimmed_clip_falls_into_the_same_extents(trim: int) -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 48000 * 60)
    asked = PlanSettings(handle=Fraction(1), context=Fraction(0))

    def extents(start: Fraction) -> tuple[SampleRange, ...]:
        plan = plan_separation(
            [clip(source, start, Fraction(18), frame_rate=Fraction(25))], {source: facts}, [SPEECH], asked
        )
        return tuple(extent.range for extent in plan.extents)

    assert extents(Fraction(13)) == extents(Fraction(13) + Fraction(trim, 25))


def test_a_clip_that_plays_nothing_is_skipped() -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 48000)
    late = clip(source, Fraction(2), Fraction(3), clip_id="late", frame_rate=Fraction(25))
    empty = clip(source, Fraction(1, 2), Fraction(1, 2), clip_id="empty")
    plan = plan_separation([late, empty], {source: facts}, [SPEECH], PlanSettings())
    assert {skip.code for skip in plan.skipped} == {Code.MEDIA_OUT_OF_RANGE, Code.CLIP_EMPTY}
    assert not plan.segments
    assert not plan.jobs


def test_a_marked_clip_without_length_is_skipped_alone() -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 480000)
    clips = [
        clip(source, Fraction(0), Fraction(2), clip_id="good"),
        clip(source, Fraction(1), Fraction(1), clip_id="empty", record=Fraction(1)),
    ]
    marked = StemRequest("dog", TimelinePrompt("", plus=(TimeRange(Fraction(0), Fraction(2)),)))
    plan = plan_separation(clips, {source: facts}, [marked], PlanSettings())
    assert [skip.code for skip in plan.skipped] == [Code.CLIP_EMPTY]
    assert [job.prompt.plus for job in plan.jobs] == [(SampleRange(0, 96000),)]


def test_padding_past_the_end_of_the_media_is_counted() -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 48000 + 7)
    plan = plan_separation(
        [clip(source, Fraction(0), Fraction(2), frame_rate=Fraction(30000, 1001))],
        {source: facts},
        [SPEECH],
        PlanSettings(),
    )
    (segment,) = plan.segments
    assert segment.pad_samples(facts.length_samples) == segment.range.end_sample - facts.length_samples > 0
    assert segment.extent.range == SampleRange(0, facts.length_samples)


def test_spans_of_the_timeline_become_samples_of_the_extent_through_every_clip() -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 48000 * 60)
    clips = [
        clip(source, Fraction(10), Fraction(14), clip_id="a", record=Fraction(100)),
        clip(source, Fraction(12), Fraction(16), clip_id="b", record=Fraction(200)),
    ]
    marked = StemRequest(
        "dog",
        TimelinePrompt("", plus=(TimeRange(Fraction(101), Fraction(103)), TimeRange(Fraction(200), Fraction(202)))),
    )
    plan = plan_separation(clips, {source: facts}, [marked], PlanSettings(Fraction(0), Fraction(0), 5))
    (job,) = plan.jobs
    assert job.extent.range == SampleRange(10 * 48000, 20 * 48000)
    assert job.prompt.plus == (SampleRange(1 * 48000, 4 * 48000),)


@pytest.mark.parametrize("text", ["", "dog"])
def test_an_extent_without_spans_needs_no_engine(text: str) -> None:
    source, facts = MediaSource("/m.wav"), MediaFacts(48000, 1, 48000 * 60)
    marked = StemRequest("dog", TimelinePrompt(text, plus=(TimeRange(Fraction(500), Fraction(501)),)))
    plan = plan_separation([clip(source, Fraction(0), Fraction(1))], {source: facts}, [marked], PlanSettings())
    assert [job.prompt.is_empty for job in plan.jobs] == [not text]
