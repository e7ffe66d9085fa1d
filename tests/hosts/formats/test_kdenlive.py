"""Edits of Kdenlive, and results in the forms that Kdenlive and the players of MLT import without a slip."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from hosts.otio.support import audio_track, clip, cross, frames, gap, is_stem, media, save, separate, span
from stemline.hosts.base import Selection, WriteOptions
from stemline.media import media_facts
from stemline.plan import PlanSettings, plan_separation
from stemline.prompts import StemRequest, TimelinePrompt
from stemline_otio import Dialect, OtioTarget, open_edit

HOUR_10 = 900000  # 10:00:00:00 at 25 frames per second
ZERO_BASED = [Dialect.KDENLIVE, Dialect.MLT_7_12]


def export_of_kdenlive(folder: Path) -> Path:
    """Write an edit as Kdenlive 26.08 exports it: bare paths, ranges from 0, the rate 0 for files without picture."""
    media(folder / "take.wav", 9, timecode_sample=36000 * 48000)
    first = clip(str(folder / "take.wav"), (20, 50), 25, (0, 225), name="take")
    path = save(folder / "edit.otio", audio_track("A1", [gap(10, 25), first]))
    document = json.loads(path.read_text())
    reference = document["tracks"]["children"][0]["children"][1]["media_references"]["DEFAULT_MEDIA"]
    for time in ("start_time", "duration"):
        reference["available_range"][time]["rate"] = 0.0
    path.write_text(json.dumps(document))
    return path


def broadcast_edit(folder: Path) -> Path:
    """Write clips whose ranges count source timecode, which Kdenlive does not know of a broadcast WAV."""
    media(folder / "take #1.wav", 20, timecode_sample=36000 * 48000)
    whole = (HOUR_10, 500)
    link = str(folder / "take #1.wav")
    items = [gap(10, 25), clip(link, (HOUR_10 + 20, 50), 25, whole), clip(link, (HOUR_10 + 200, 30), 25, whole)]
    items[1].markers.append(otio.schema.Marker("here", span(HOUR_10 + 30, 1, 25)))
    picture = otio.schema.Track("V1", kind="Video", children=[clip(link, (HOUR_10 + 5, 90), 25, whole)])
    return save(folder / "edit.otio", picture, audio_track("A1", items), start=frames(90000, 25))


@pytest.mark.parametrize("dialect", [Dialect.GENERIC, *ZERO_BASED])
def test_an_export_of_kdenlive_with_the_rate_0_is_read(tmp_path: Path, dialect: Dialect) -> None:
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(open_edit(export_of_kdenlive(tmp_path), OtioTarget(output, dialect)), output, disable=True)
    [read] = result.read.clips
    assert (read.record_range.start * 25, read.source_range.start * 25) == (Fraction(10), Fraction(20))
    timeline = otio.adapters.read_from_file(str(output))
    [stem] = [c for t in timeline.tracks if t.name == "half A1" for c in t.find_clips()]
    inside = stem.source_range.start_time - stem.media_reference.available_range.start_time
    assert inside.value == 13


@pytest.mark.parametrize("dialect", ZERO_BASED)
def test_ranges_count_from_the_first_frame_of_the_media(tmp_path: Path, dialect: Dialect) -> None:
    output = tmp_path / "out" / "edit.stems.otio"
    separate(open_edit(broadcast_edit(tmp_path), OtioTarget(output, dialect)), output)
    timeline = otio.adapters.read_from_file(str(output))
    originals = [c for t in timeline.tracks if not is_stem(t) for c in t.find_clips()]
    assert [c.source_range.start_time.value for c in originals] == [5, 20, 200]
    assert [m.marked_range.start_time.value for c in originals for m in c.markers] == [30]
    for item in timeline.find_clips():
        assert item.media_reference.available_range.start_time.value == 0
        assert 0 <= item.source_range.start_time.value < 500
        url = item.media_reference.target_url
        assert "#" not in url
        assert url.startswith("file:///") or "://" not in url


@pytest.mark.parametrize("dialect", ZERO_BASED)
def test_the_separated_originals_sound_no_second_time(tmp_path: Path, dialect: Dialect) -> None:
    output = tmp_path / "out" / "edit.stems.otio"
    result = separate(open_edit(broadcast_edit(tmp_path), OtioTarget(output, dialect)), output, disable=True)
    timeline = otio.adapters.read_from_file(str(output))
    sounding = [t.name for t in timeline.tracks if t.kind == "Audio" and t.find_clips()]
    assert sounding == ["half A1", "residual A1"]
    assert timeline.tracks[1].name == "A1"
    assert timeline.tracks[1].trimmed_range().duration.value == 90, "nothing else on the track moves"
    assert any("taken out of the result" in note for note in result.written.notes)
    separate(open_edit(tmp_path / "edit.otio", OtioTarget(output, dialect)), output)
    timeline = otio.adapters.read_from_file(str(output))
    assert len(timeline.tracks[1].find_clips()) == 2, "originals that stay enabled stay"


@pytest.mark.parametrize("dialect", ZERO_BASED)
def test_nothing_that_is_disabled_sounds_after_the_import(tmp_path: Path, dialect: Dialect) -> None:
    """Kdenlive imports disabled clips and tracks as enabled: the user's own, and stems that `--enable` mutes."""
    media(tmp_path / "m.wav", 20)
    items = [clip("m.wav", (20 * n, 20), 25, (0, 500), name=f"c{n}") for n in range(3)]
    items[1].enabled = False
    off = audio_track("off", [clip("m.wav", (0, 50), 25, (0, 500), name="off")])
    off.enabled = False
    path = save(tmp_path / "edit.otio", audio_track("A1", items), off)
    output = tmp_path / "out" / "edit.stems.otio"
    host = open_edit(path, OtioTarget(output, dialect))
    separate(host, output, play="residual")
    timeline = otio.adapters.read_from_file(str(output))
    names = {track.name: [c.name for c in track.find_clips()] for track in timeline.tracks}
    assert names == {"A1": ["c0", "c2"], "off": [], "residual A1": ["c0 residual", "c2 residual"]}


@pytest.mark.parametrize("dialect", ZERO_BASED)
def test_transitions_that_the_import_ignores_are_hard_cuts(tmp_path: Path, dialect: Dialect) -> None:
    media(tmp_path / "m.wav", 20)
    items = [clip("m.wav", (20, 50), 25, (0, 500)), cross(5, 5, 25), clip("m.wav", (200, 50), 25, (0, 500))]
    path = save(tmp_path / "edit.otio", audio_track("A1", items))
    output = tmp_path / "out" / "edit.stems.otio"
    host = open_edit(path, OtioTarget(output, dialect))
    result = separate(host, output, disable=True, head_handle=not dialect.starts_at_clip)
    assert [(int(c.record_range.start * 25), int(c.record_range.end * 25)) for c in result.read.clips] == [
        (0, 50), (50, 100)
    ]  # fmt: skip
    timeline = otio.adapters.read_from_file(str(output))
    assert not timeline.find_children(descended_from_type=otio.schema.Transition)
    assert any("cross is a hard cut" in note for note in result.read.notes)


def test_a_timecode_that_kdenlive_takes_off_is_left_in(tmp_path: Path) -> None:
    """Kdenlive asks `mediainfo`, which finds the timecode of a QuickTime file."""
    output = tmp_path / "out" / "edit.stems.otio"
    host = open_edit(broadcast_edit(tmp_path), OtioTarget(output, Dialect.KDENLIVE))
    read = host.read_clips(Selection())
    placed = host._placed or {}
    for key, known in placed.items():
        clock = known.clock.__class__(25.0, Fraction(25), known.clock.zero, known.clock.timecode, 3600 * 705_600_000)
        placed[key] = known.__class__(known.use, known.source, clock, known.speed, known.media_length)  # type: ignore[index]
    host.write_tracks([], WriteOptions())
    timeline = otio.adapters.read_from_file(str(output))
    assert [c.source_range.start_time.value for c in timeline.tracks[1].find_clips()] == [90020, 90200]
    assert len(read.clips) == 2


def test_a_stem_file_for_mlt_7_12_begins_where_its_clip_begins(tmp_path: Path) -> None:
    host = open_edit(broadcast_edit(tmp_path), OtioTarget(tmp_path / "x.otio", Dialect.MLT_7_12))
    clips = host.read_clips(Selection()).clips
    facts = {c.source: media_facts(c.source) for c in clips}
    stems = [StemRequest("half", TimelinePrompt("x"))]
    plan = plan_separation(clips, facts, stems, PlanSettings(head_handle=False))
    assert [s.range.start_sample for s in plan.segments] == [20 * 1920, 200 * 1920]
    assert [s.range.end_sample - s.used.end_sample for s in plan.segments] == [96000, 96000]


def test_at_29_97_frames_a_stem_file_for_mlt_7_12_is_entered_at_its_first_frame(tmp_path: Path) -> None:
    rate = 30000 / 1001
    media(tmp_path / "m.wav", 20)
    path = save(tmp_path / "edit.otio", audio_track("A1", [clip("m.wav", (7, 50), rate, (0, 500))]))
    output = tmp_path / "out" / "edit.stems.otio"
    host = open_edit(path, OtioTarget(output, Dialect.MLT_7_12))
    separate(host, output, head_handle=False)
    timeline = otio.adapters.read_from_file(str(output))
    stems = [c for t in timeline.tracks if is_stem(t) for c in t.find_clips()]
    assert [c.source_range.start_time.value for c in stems] == [0, 0]
    assert all(c.media_reference.available_range.duration.value >= 50 for c in stems)
