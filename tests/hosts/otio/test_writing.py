"""The written edit: stems carry what their originals have, and nothing of the user's is changed."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hosts.otio.support import (
    audio_track,
    clip,
    cross,
    difference,
    edit,
    frames,
    gap,
    is_stem,
    media,
    save,
    separate,
    span,
)
from stemline.clips import SampleRange, StemClip, StemTrack, TimeRange
from stemline.errors import Code, HostError, OutputError
from stemline.hosts.base import Selection, WriteOptions
from stemline_otio import Dialect, LinkRules, OtioTarget, open_edit

WHOLE = (0, 250)
HOUR = 90000


def opened(path: Path) -> otio.schema.Timeline:
    return otio.adapters.read_from_file(str(path))


def stem_track(timeline: otio.schema.Timeline, name: str) -> otio.schema.Track:
    return next(t for t in timeline.tracks if t.name == name)


def without_stems(timeline: otio.schema.Timeline) -> list[otio.schema.Track]:
    return [t for t in timeline.tracks if not is_stem(t)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a clip with a marker, a gain and a delay; a clip behind a gap; a picture track above."""
    media(tmp_path / "m.wav", 10, timecode_sample=HOUR * 1920)
    first = clip("m.wav", (HOUR + 30, 40), 25, (HOUR, 250), name="first")
    first.markers.append(otio.schema.Marker("here", span(HOUR + 45, 1, 25), color="RED"))
    first.effects.append(otio.schema.Effect(effect_name="Volume", metadata={"gain": 0.5}))
    first.effects.append(otio.schema.Effect(effect_name="Delay"))
    picture = otio.schema.Track("V1", kind="Video", children=[clip("m.wav", (HOUR, 99), 25, (HOUR, 250))])
    return save(
        tmp_path / "edit.otio",
        audio_track("a", [first, gap(10, 25), clip("m.wav", (HOUR, 30), 25, (HOUR, 250))]),
        picture,
    )


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "edit.stems.otio"


def test_stems_follow_the_audio_tracks_and_everything_else_is_as_it_was(source: Path, output: Path) -> None:
    before = source.read_bytes()
    result = separate(edit(source, output), output)
    assert source.read_bytes() == before
    timeline = opened(output)
    assert [t.name for t in timeline.tracks] == ["a", "half a", "residual a", "V1"]
    assert result.written.output == str(output)
    original = opened(source)
    for was, now in zip(original.tracks, without_stems(timeline), strict=True):
        for c in now.find_clips():
            assert (output.parent / c.media_reference.target_url).resolve() == source.parent / "m.wav"
            c.media_reference.target_url = "m.wav"
        assert was.is_equivalent_to(now)


def test_stem_clip_says_where_it_is_from(source: Path, output: Path) -> None:
    separate(edit(source, output), output)
    timeline = opened(output)
    stem = stem_track(timeline, "half a")[0]
    reference = stem.media_reference
    assert reference.target_url == "stems/half_1.wav"
    assert reference.available_range == span(HOUR + 30 - 13, 40 + 13 + 13, 25)  # half a second, rounded to frames
    assert stem.source_range == span(HOUR + 30, 40, 25)
    assert stem.metadata["stemline"]["stem"] == "half"
    track = stem_track(timeline, "half a").metadata["stemline"]
    assert (track["version"], track["stem"], track["source_track"]) == (1, "half", "a")
    assert timeline.metadata["stemline"]["version"] == 1


def test_markers_and_linear_effects_are_carried_and_others_listed(source: Path, output: Path) -> None:
    result = separate(edit(source, output), output)
    timeline = opened(output)
    for name in ("half a", "residual a"):
        stem = stem_track(timeline, name)[0]
        assert [(m.name, m.color, m.marked_range) for m in stem.markers] == [("here", "RED", span(HOUR + 45, 1, 25))]
        assert [e.effect_name for e in stem.effects] == ["Volume"]
        assert stem.effects[0].metadata["gain"] == 0.5
    assert result.written.notes == ("The effect Delay of first is not on its stems.",)


def test_markers_of_zero_based_stems_move_with_their_sound(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    first = clip("m.wav", (100, 40), 25, WHOLE)
    first.markers.append(otio.schema.Marker("here", span(110, 1, 25)))
    separate(edit(save(tmp_path / "edit.otio", audio_track("a", [first])), output), output)
    timeline = opened(output)
    stem = stem_track(timeline, "half a")[0]
    assert stem.media_reference.available_range.start_time == frames(0, 25)
    assert stem.markers[0].marked_range.start_time - stem.source_range.start_time == frames(10, 25)


def test_originals_are_disabled_clip_by_clip(source: Path, output: Path) -> None:
    separate(edit(source, output), output, disable=True)
    timeline = opened(output)
    assert all(t.enabled for t in timeline.tracks)
    assert [c.enabled for t in without_stems(timeline) for c in t.find_clips()] == [False, False, True]
    assert all(c.enabled for t in opened(source).tracks for c in t.find_clips())


def test_stems_of_disabled_clips_are_as_silent_as_they(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    off = clip("m.wav", (0, 20), 25, WHOLE)
    off.enabled = False
    path = save(tmp_path / "e.otio", audio_track("a", [off, clip("m.wav", (50, 20), 25, WHOLE)]))
    separate(edit(path, output), output, selection=Selection(include_disabled=True))
    timeline = opened(output)
    assert [c.enabled for c in stem_track(timeline, "half a").find_clips()] == [False, True]


@pytest.mark.parametrize("link", ["http://[bad", "//[", "x" * 5000, "s3://bucket/a.wav"])
def test_links_that_lead_nowhere_stay_as_they_are(tmp_path: Path, output: Path, link: str) -> None:
    media(tmp_path / "m.wav", 10)
    path = save(
        tmp_path / "e.otio", audio_track("a", [clip(link, (0, 20), 25, WHOLE), clip("m.wav", (0, 9), 25, WHOLE)])
    )
    kept = opened(path).find_clips()[0].media_reference.target_url
    for dialect in Dialect:
        host = open_edit(path, OtioTarget(output, dialect))
        separate(host, output)
        timeline = opened(output)
        assert timeline.find_clips()[0].media_reference.target_url.endswith(Path(kept).name)


def test_disabled_clip_of_a_nest_is_the_nested_one(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    nest = otio.schema.Stack("n", source_range=span(0, 20, 25))
    nest.append(audio_track("i", [gap(5, 25), clip("m.wav", (0, 15), 25, WHOLE), clip("gone.wav", (0, 15), 25, WHOLE)]))
    separate(edit(save(tmp_path / "e.otio", audio_track("a", [nest])), output), output, disable=True)
    timeline = opened(output)
    assert [c.enabled for c in timeline.tracks[0][0].find_clips()] == [False, True]
    assert timeline.tracks[0][0].enabled


def test_a_clip_with_a_picture_is_never_disabled(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    video = otio.schema.Track("V", kind="Video", children=[clip("m.wav", (0, 20), 25, WHOLE)])
    result = separate(edit(save(tmp_path / "e.otio", video), output), output, disable=True)
    timeline = opened(output)
    assert timeline.tracks[0][0].enabled
    assert "picture" in " ".join(result.written.notes)


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("X|Y", "Clip Transition Clip"),
        ("|X", "Transition Clip"),
        ("X|", "Clip Transition"),
        ("X|g", "Clip Transition Gap"),
        ("g|X", "Gap Transition Clip"),
        ("X|L", "Clip Transition Gap"),
        ("L|X", "Gap Transition Clip"),
        ("X|LX", "Clip Transition Gap Clip"),
        ("X|g|X", "Clip Transition Gap Transition Clip"),
        ("X|YX|X", "Clip Transition Clip Clip Transition Clip"),
    ],
)
def test_transitions_stand_on_the_stem_track_as_on_the_original(
    tmp_path: Path, output: Path, items: str, expected: str
) -> None:
    """X, Y: clips; L: a clip without media; g: a gap; |: a transition."""
    media(tmp_path / "m.wav", 10)
    make = {
        "X": lambda: clip("m.wav", (50, 30), 25, WHOLE),
        "Y": lambda: clip("m.wav", (99, 30), 25, WHOLE),
        "L": lambda: clip("lost.wav", (50, 30), 25, WHOLE),
        "g": lambda: gap(30, 25),
        "|": lambda: cross(5, 7, 25),
    }
    path = save(tmp_path / "e.otio", audio_track("a", [make[item]() for item in items]))
    result = separate(edit(path, output), output)
    timeline = opened(output)
    track = stem_track(timeline, "half a")
    assert " ".join(item.schema_name() for item in track) == expected
    assert result.written.notes == ()
    worst, loudest = difference(output)
    assert loudest > 0
    assert worst < 1e-9


def test_a_transition_cut_in_half_by_its_nest_is_listed(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    nest = otio.schema.Stack("n", source_range=span(0, 32, 25))
    nest.append(
        audio_track("i", [clip("m.wav", (50, 30), 25, WHOLE), cross(5, 7, 25), clip("m.wav", (9, 30), 25, WHOLE)])
    )
    result = separate(edit(save(tmp_path / "e.otio", audio_track("a", [nest])), output), output)
    assert any("cross" in note for note in result.read.notes)
    timeline = opened(output)
    assert not [i for i in stem_track(timeline, "half a") if isinstance(i, otio.schema.Transition)]


def test_transitions_of_overlapping_layers_keep_their_lanes(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    nest = otio.schema.Stack("n")
    for shift in (0, 40):
        nest.append(
            audio_track(
                f"i{shift}",
                [
                    clip("m.wav", (50 + shift, 30), 25, WHOLE),
                    cross(5, 7, 25),
                    clip("m.wav", (9 + shift, 30), 25, WHOLE),
                ],
            )
        )
    separate(edit(save(tmp_path / "e.otio", audio_track("a", [gap(3, 25), nest])), output), output)
    worst, loudest = difference(output)
    assert loudest > 0
    assert worst < 1e-9
    timeline = opened(output)
    assert [t.name for t in timeline.tracks if t.name.startswith("half")] == ["half a", "half a b"]


def test_a_second_run_on_its_own_result_leaves_stem_tracks_alone(source: Path, output: Path) -> None:
    separate(edit(source, output), output)
    again = output.parent / "again.stems.otio"
    result = separate(edit(output, again), again)
    assert {c.track for c in result.read.clips} == {"a"}
    assert result.written.tracks == ("half a (2)", "residual a (2)")
    timeline = opened(again)
    assert [t.name for t in timeline.tracks] == ["a", "half a", "residual a", "half a (2)", "residual a (2)", "V1"]


def test_the_result_moves_with_its_folder(tmp_path: Path, source: Path) -> None:
    output = tmp_path / "film" / "out" / "edit.stems.otio"
    separate(edit(source, output), output)
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "film" / "out", moved)
    timeline = opened(moved / "edit.stems.otio")
    for c in stem_track(timeline, "half a").find_clips():
        assert (moved / c.media_reference.target_url).is_file()


def test_an_unknown_clip_is_refused_and_nothing_is_written(source: Path, output: Path) -> None:
    stray = StemClip("9.9", "x", "x.wav", TimeRange(*span_s(0, 1)), span_s(0, 1)[0], SampleRange(0, 48000), 48000)
    track = StemTrack("x", "x", "a", 0, 1, True, (stray,))
    with pytest.raises(HostError):
        edit(source, output).write_tracks([track], WriteOptions())
    with pytest.raises(HostError):
        edit(source, output).write_tracks([], WriteOptions(disable_clips=("9.9",)))
    assert not output.exists()


def span_s(start: int, end: int) -> tuple[Fraction, Fraction]:
    return Fraction(start), Fraction(end)


def test_metadata_of_any_kind_is_written_as_plain_json(source: Path, output: Path) -> None:
    nasty: dict[Any, Any] = {
        "big": 2**80,
        "pair": (1, 2),
        "path": Path("a"),
        "text": "a\ud800b\0c",
        5: None,
        "in": {"deep": [1.5, True]},
    }
    edit(source, output).write_tracks([], WriteOptions(metadata=nasty))
    written = json.loads(output.read_text(encoding="utf-8"))["metadata"]["stemline"]
    assert written["big"] == str(2**80)
    assert written["pair"] == [1, 2]
    assert written["in"] == {"deep": [1.5, True]}
    assert written["text"] == "a?b\ufffdc"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([5.960464477539063e-08, 1e-310, -143.47])
)
def test_any_number_in_metadata_is_written(tmp_path: Path, number: float) -> None:
    """The native parser is a last digit off for some numbers; that must not look like a damaged file."""
    path = tmp_path / "e.otio"
    if not path.exists():
        save(path, audio_track("a", []))
    output = tmp_path / "o.otio"
    edit(path, output).write_tracks([], WriteOptions(metadata={"x": number, "list": [number]}))
    written = json.loads(output.read_text())["metadata"]["stemline"]["x"]
    assert written == pytest.approx(number, rel=1e-14, nan_ok=True)


def test_a_document_that_reads_back_otherwise_is_not_put_in_place(
    source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = edit(source, output)
    read = otio.core.deserialize_json_from_string
    monkeypatch.setattr(
        otio.core, "deserialize_json_from_string", lambda text: read(text.replace('"value": 40.0', '"value": 41.0'))
    )
    with pytest.raises(OutputError) as refused:
        separate(host, output)
    assert refused.value.code is Code.OUTPUT_DAMAGED
    assert not output.exists()
    assert not list(output.parent.glob(".*"))


def test_odd_values_of_the_users_own_do_not_stop_the_writing(source: Path, output: Path) -> None:
    text = (
        source.read_text().replace('"first"', '"fi\\u0000rst"').replace('"gain": 0.5', '"gain": NaN, "n": "a\\u0000b"')
    )
    source.write_text(text)
    result = separate(edit(source, output), output)
    assert result.read.clips[0].name.startswith("fi")
    assert output.is_file()


class TestResolve:
    def convert(self, folder: Path, output: Path, *items: otio.core.Composable) -> otio.schema.Timeline:
        path = save(folder / "edit.otio", audio_track("", items))
        host = open_edit(path, OtioTarget(output, Dialect.RESOLVE), LinkRules(folder))
        separate(host, output)
        return opened(output)

    def test_ranges_count_in_the_files_timecode_whatever_the_edit_says(self, tmp_path: Path, output: Path) -> None:
        """Resolve reads the stem's own time stamp, so an edit that counts its media from zero must not say zero."""
        media(tmp_path / "m.wav", 10, timecode_sample=HOUR * 1920)
        timeline = self.convert(tmp_path, output, clip("m.wav", (60, 40), 25, WHOLE))
        stem = stem_track(timeline, "half A1")[0]
        assert stem.source_range == span(HOUR + 60, 40, 25)
        assert stem.media_reference.available_range.start_time == frames(HOUR + 60 - 13, 25)
        worst, _ = difference(output, zero="file")
        assert worst > 0  # such a player cannot play this original right,
        for mode in ("available",):
            assert difference(output, zero=mode)[0] < 1e-9  # but stems are where originals are meant to be

    def test_document_says_all_that_resolve_asks_for(self, tmp_path: Path, output: Path) -> None:
        file = media(tmp_path / "m.wav", 10)
        bare = otio.schema.Clip("bare", otio.schema.ExternalReference(file.as_uri()))
        timeline = self.convert(tmp_path, output, bare, clip("m.wav", (60, 40), 25, WHOLE))
        assert timeline.global_start_time is not None
        assert timeline.tracks[0].name == "Audio 1"
        for c in timeline.find_clips():
            assert c.media_reference.target_url.startswith("/")
            assert Path(c.media_reference.target_url).is_file()
            assert c.media_reference.available_range is not None
            assert c.source_range is not None

    def test_bare_names_with_percent_signs_are_left_bare(self, tmp_path: Path, output: Path) -> None:
        media(tmp_path / "a b#1.wav", 10)
        timeline = self.convert(tmp_path, output, clip("a%20b%231.wav", (60, 40), 25, WHOLE))
        assert timeline.tracks[0][0].media_reference.target_url == str(tmp_path / "a b#1.wav")


def test_selection_of_one_track_leaves_the_others_without_stems(tmp_path: Path, output: Path) -> None:
    media(tmp_path / "m.wav", 10)
    tracks = [audio_track(name, [clip("m.wav", (0, 20), 25, WHOLE)]) for name in ("one", "two")]
    host = edit(save(tmp_path / "e.otio", *tracks), output)
    result = separate(host, output, selection=Selection(tracks=("two",)))
    assert result.written.tracks == ("half two", "residual two")
