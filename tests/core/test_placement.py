"""Stem tracks: at the positions of the originals, without overlap or loss."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemline.clips import ClipRange, MediaFacts, MediaSource, SampleRange, TimeRange
from stemline.plan import PlacedStem, TrackOptions, place_stems, safe_part, stem_file_name

pytestmark = pytest.mark.smoke

MEDIA = MediaSource("/m.wav")
FACTS = MediaFacts(48000, 2, 48000 * 600)


def _clip(clip_id: str, track: str, record: int, count: int, source: int = 100) -> ClipRange:
    rate = Fraction(25)
    return ClipRange(
        clip_id,
        f"clip {clip_id}",
        track,
        MEDIA,
        TimeRange(source / rate, (source + count) / rate),
        TimeRange(record / rate, (record + count) / rate),
        rate,
    )


def _placed(clips: list[ClipRange], stems: tuple[str, ...] = ("dialogue", "residual")) -> list[PlacedStem]:
    return [
        PlacedStem(c.clip_id, stem, f"/out/{stem}{c.clip_id}.wav", SampleRange(1920, 96000))
        for stem in stems
        for c in clips
    ]


clip_lists = st.lists(
    st.tuples(st.sampled_from(["A1", "A2", "A3"]), st.integers(0, 500), st.integers(1, 100)), min_size=1, max_size=20
).map(lambda rows: [_clip(str(i), *row) for i, row in enumerate(rows)])


@settings(max_examples=100, deadline=None)
@given(clips=clip_lists)
def test_every_stem_is_placed_once_at_its_clip(clips: list[ClipRange]) -> None:
    tracks = place_stems(clips, _placed(clips), {c.clip_id: FACTS for c in clips}, TrackOptions())
    by_id = {c.clip_id: c for c in clips}
    seen = Counter((track.stem, clip.clip_id) for track in tracks for clip in track.clips)
    assert seen == Counter((stem, c.clip_id) for stem in ("dialogue", "residual") for c in clips)
    for track in tracks:
        for clip in track.clips:
            assert clip.record_range == by_id[clip.clip_id].record_range
            assert track.source_track == by_id[clip.clip_id].track
            assert clip.file_start == by_id[clip.clip_id].source_range.start - Fraction(1920, 48000)


@settings(max_examples=100, deadline=None)
@given(clips=clip_lists)
def test_no_two_clips_of_a_track_overlap_and_names_are_unique(clips: list[ClipRange]) -> None:
    tracks = place_stems(clips, _placed(clips), {c.clip_id: FACTS for c in clips}, TrackOptions())
    assert len({track.name for track in tracks}) == len(tracks)
    for track in tracks:
        ranges = [clip.record_range for clip in track.clips]
        assert all(a.end <= b.start for a, b in itertools.pairwise(ranges))


def test_overlapping_clips_get_a_second_lane_and_the_residual_comes_last() -> None:
    clips = [_clip("a", "A1", 0, 50), _clip("b", "A1", 25, 50), _clip("c", "A1", 60, 20), _clip("d", "A2", 0, 5)]
    tracks = place_stems(clips, _placed(clips), {c.clip_id: FACTS for c in clips}, TrackOptions())
    assert [track.name for track in tracks] == [
        "dialogue A1", "dialogue A1 b", "dialogue A2", "residual A1", "residual A1 b", "residual A2",
    ]  # fmt: skip
    assert [clip.clip_id for clip in tracks[0].clips] == ["a", "c"]


def test_mono_and_stereo_clips_get_separate_tracks() -> None:
    clips = [_clip("a", "A1", 0, 50), _clip("b", "A1", 60, 50)]
    facts = {"a": FACTS, "b": MediaFacts(48000, 1, 480000)}
    tracks = place_stems(clips, _placed(clips, ("dialogue",)), facts, TrackOptions())
    assert [(track.name, track.channels) for track in tracks] == [("dialogue A1", 2), ("dialogue A1 1ch", 1)]


def test_play_chooses_the_enabled_tracks() -> None:
    clips = [_clip("a", "A1", 0, 50)]
    for play, enabled in {"all": [True, True], "stem": [True, False], "residual": [False, True]}.items():
        tracks = place_stems(clips, _placed(clips), {"a": FACTS}, TrackOptions(play))
        assert [track.enabled for track in tracks] == enabled


@given(text=st.text(max_size=300))
def test_file_name_parts_are_safe_for_any_media_name(text: str) -> None:
    part = safe_part(text)
    assert part
    assert len(part.encode()) <= 49
    assert not set(part) & set('/\\:*?"<>|\0\n\r\t ')
    assert not part.startswith((".", "-"))
    assert not part.endswith((".", "-", " "))
    assert part.split(".")[0].lower() not in ("con", "nul", "com1")


def test_file_names_hold_stem_source_timecode_and_digest() -> None:
    facts = MediaFacts(48000, 2, 480000, timecode_sample=Fraction(36000 * 48000), frame_rate=Fraction(25))
    name = stem_file_name("dialogue", MediaSource("/x/Interview 01.mov"), 48000, facts, "0123456789abcdef")
    assert name == "dialogue_Interview-01_10000100_01234567"
