"""CMX 3600 lists as systems write them: every event on its frame and its tracks, or named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hosts.otio.support import media
from stemline.errors import Code, EditError
from stemline.hosts.base import ReadClips, Selection
from stemline.timebase import format_timecode, parse_timecode
from stemline_otio import LinkRules, OtioTarget, ReadOptions, open_edit, read_edit

TEN_HOURS_S = 36000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("TAKE1", "TAKE2", "roll 7"):
        media(folder / f"{name}.wav", 60, sample_rate=8000, timecode_sample=TEN_HOURS_S * 8000)
    return folder


def read(root: Path, tmp_path: Path, events: str, rate: Fraction = Fraction(25)) -> ReadClips:
    path = tmp_path / "list.edl"
    path.write_text("TITLE: list\n" + events)
    rules = LinkRules(tmp_path, (), (root,))
    return open_edit(path, OtioTarget(tmp_path / "x.otio"), rules, ReadOptions(rate)).read_clips(Selection())


def places(found: ReadClips, rate: int = 25) -> list[tuple[object, ...]]:
    """(track, media, record start, source start) of each clip, in frames."""
    return [
        (c.track, Path(c.source.path).stem, c.record_range.start * rate, c.source_range.start * rate)
        for c in found.clips
    ]


def test_events_out_of_order_stay_at_their_record_times(root: Path, tmp_path: Path) -> None:
    found = read(
        root, tmp_path,
        "001 TAKE1 A C 10:00:00:00 10:00:02:00 01:00:10:00 01:00:12:00\n"
        "002 TAKE2 A C 10:00:20:00 10:00:22:00 01:00:00:00 01:00:02:00\n",
    )  # fmt: skip
    assert places(found) == [("A1", "TAKE2", 0, 500), ("A1", "TAKE1", 250, 0)]


def test_events_on_top_of_each_other_keep_their_times_on_tracks_of_their_own(root: Path, tmp_path: Path) -> None:
    found = read(
        root, tmp_path,
        "001 TAKE1 A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n"
        "002 TAKE2 A C 10:00:20:00 10:00:22:00 01:00:01:00 01:00:03:00\n",
    )  # fmt: skip
    assert places(found) == [("A1", "TAKE1", 0, 0), ("A1_2", "TAKE2", 25, 500)]
    assert any("1 event on top of another" in note for note in found.notes)


@pytest.mark.parametrize(
    ("channels", "more", "tracks"),
    [
        ("AA", "", ["A1", "A2"]),
        ("A1A2", "", ["A1", "A2"]),
        ("AA", "AUD  3    4\n", ["A1", "A2", "A3", "A4"]),
        ("NONE", "AUD  3\n", ["A3"]),
        ("B", "", ["A1"]),
        ("VA1A2", "", ["A1", "A2"]),
        ("A2/V", "", ["A2"]),
    ],
)
def test_every_channel_of_an_event_is_a_track(
    root: Path, tmp_path: Path, channels: str, more: str, tracks: list[str]
) -> None:
    found = read(root, tmp_path, f"001 TAKE1 {channels} C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n{more}")
    assert [clip.track for clip in found.clips] == tracks


@pytest.mark.parametrize(("speed", "length"), [("050.0", 4), ("-025.0", 2), ("000.0", 2), ("025.0", 2), ("-050.0", 4)])
def test_speeds_are_known_where_lengths_do_not_tell(root: Path, tmp_path: Path, speed: str, length: int) -> None:
    found = read(
        root, tmp_path,
        f"001 TAKE1 A C 10:00:00:00 10:00:0{length}:00 01:00:00:00 01:00:02:00\n"
        f"M2   TAKE1       {speed}                10:00:00:00\n",
    )  # fmt: skip
    if float(speed) > 0:
        assert [clip.source_range.duration for clip in found.clips] == [length]
    else:
        assert [skip.code for skip in found.skipped] == [Code.CLIP_RETIMED]


def test_a_speed_in_a_drop_frame_list_is_read(root: Path, tmp_path: Path) -> None:
    found = read(
        root, tmp_path,
        "FCM: DROP FRAME\n"
        "001 TAKE1 A C 10:00:01;00 10:00:05;00 01:00:00;00 01:00:02;00\n"
        "M2   TAKE1       059.9                10:00:01;00\n",
        Fraction(30000, 1001),
    )  # fmt: skip
    assert found.clips[0].carry == {"speed": "2"}


def test_a_fade_in_at_the_head_does_not_lose_the_list(root: Path, tmp_path: Path) -> None:
    found = read(
        root, tmp_path,
        "001 BL    A C     00:00:00:00 00:00:00:00 01:00:00:00 01:00:00:00\n"
        "001 TAKE1 A D 012 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n",
    )  # fmt: skip
    assert places(found) == [("A1", "TAKE1", 0, 0)]
    assert any("fading in" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["D 012", "W001 012", "K B 000", "KB 000", "K"])
def test_no_way_to_join_two_events_loses_the_list(root: Path, tmp_path: Path, kind: str) -> None:
    found = read(
        root, tmp_path,
        "001 TAKE1 A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n"
        "002 TAKE1 A C 10:00:02:00 10:00:02:00 01:00:02:00 01:00:02:00\n"
        f"002 TAKE2 A {kind} 10:00:10:00 10:00:12:00 01:00:02:00 01:00:04:00\n",
    )  # fmt: skip
    assert places(found)[0] == ("A1", "TAKE1", 0, 0)
    assert places(found)[-1][:3] == ("A1", "TAKE2", 50)
    assert bool(found.clips[0].carry) == kind.startswith(("D", "W"))


@pytest.mark.parametrize(("reel", "name"), [("roll 7", "roll 7"), ("TAKE2.WAV", "TAKE2"), ("take1", "TAKE1")])
def test_media_is_found_by_reels_as_people_name_them(root: Path, tmp_path: Path, reel: str, name: str) -> None:
    found = read(root, tmp_path, f"001\t{reel}\tA\tC\t10.00.01.00\t10.00.02.00\t01.00.00.00\t01.00.01.00\n")
    assert places(found) == [("A1", name, 0, 25)]


def test_a_wrong_rate_is_said_to_be_one(root: Path, tmp_path: Path) -> None:
    with pytest.raises(EditError, match="--rate"):
        read(root, tmp_path, "001 TAKE1 A C 10:00:00:00 10:00:02:29 01:00:00:00 01:00:02:29\n")


def test_an_assumption_is_noted_once_and_not_for_every_clip(root: Path, tmp_path: Path) -> None:
    events = (
        f"{n:03d} TAKE1 A C 10:00:{n:02d}:00 10:00:{n + 1:02d}:00 01:00:{n:02d}:00 01:00:{n + 1:02d}:00\n"
        for n in range(1, 9)
    )
    notes = read(root, tmp_path, "".join(events)).notes
    assert len([note for note in notes if "source range was read as" in note]) == 1
    assert any(note.startswith("8 clips (001, 002, 003, ...)") for note in notes)


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stereo")
    media(folder / "BOOM.wav", 30, sample_rate=8000, channels=2)
    return folder


def channels(found: ReadClips) -> dict[str, tuple[int, ...]]:
    return {clip.track: clip.source.channels for clip in found.clips}


def test_a_cut_plays_the_clip_it_comes_from_and_a_dissolve_the_one_it_goes_to(root: Path, tmp_path: Path) -> None:
    names = "* FROM CLIP NAME:  TAKE1.WAV\n* TO CLIP NAME:  TAKE2.WAV\n"
    cut = read(root, tmp_path, f"001 AX A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n{names}")
    assert places(cut) == [("A1", "TAKE1", 0, 0)]
    dissolve = read(
        root, tmp_path,
        "001 AX A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n* FROM CLIP NAME: TAKE1.WAV\n"
        "002 AX A C 10:00:02:00 10:00:02:00 01:00:02:00 01:00:02:00\n"
        f"002 AX A D 010 10:00:10:00 10:00:12:00 01:00:02:00 01:00:04:00\n{names}",
    )  # fmt: skip
    assert places(dissolve) == [("A1", "TAKE1", 0, 0), ("A1", "TAKE2", 50, 250)]
    assert all(clip.carry for clip in dissolve.clips), "both sides of the dissolve are carried"


@pytest.mark.parametrize(
    "comment",
    ["* SOURCE FILE: TAKE9", "* FROM CLIP NAME: TAKE9.WAV", "*from clip name:TAKE9.WAV", "FROM CLIP NAME:  TAKE9.wav",
     "* FROM CLIP NAME  TAKE9.WAV", "* FROM CLIP: /vol/TAKE9.wav", "* FROM FILE: C:\\vol\\TAKE9.wav"],
)  # fmt: skip
def test_no_other_file_is_played_for_one_that_is_stated_and_absent(root: Path, tmp_path: Path, comment: str) -> None:
    found = read(root, tmp_path, f"001 AX A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n{comment}\n")
    assert found.clips == ()
    assert [skip.code for skip in found.skipped] == [Code.MEDIA_MISSING]


@pytest.mark.parametrize("reel", ["SR027", "TAKE", "TAKE10"])
def test_a_reel_that_is_absent_is_not_guessed(tmp_path: Path, reel: str) -> None:
    folder = tmp_path / "media"
    media(folder / "TAKE1.wav", 60, sample_rate=8000, timecode_sample=11 * 3600 * 8000)
    media(folder / "other.wav", 60, sample_rate=8000, timecode_sample=TEN_HOURS_S * 8000)
    found = read(folder, tmp_path, f"001 {reel} A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00\n")
    assert found.clips == ()
    [skip] = found.skipped
    assert skip.code is Code.MEDIA_MISSING
    assert "other.wav covers its timecode" in skip.reason


def test_an_event_that_names_no_media_is_found_by_timecode(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    media(folder / "other.wav", 60, sample_rate=8000, timecode_sample=TEN_HOURS_S * 8000)
    found = read(folder, tmp_path, "001 AX A C 10:00:01:00 10:00:02:00 01:00:00:00 01:00:01:00\n")
    assert places(found) == [("A1", "other", 0, 25)]


@pytest.mark.parametrize(
    ("rate", "last", "marks"), [("25", "24", "::"), ("30000/1001", "29", "::"), ("30000/1001", "29", ";;")]
)
def test_source_timecode_goes_on_past_midnight(tmp_path: Path, rate: str, last: str, marks: str) -> None:
    exact = Fraction(rate)
    label = f"23:59:55{marks[0]}00"
    begin = Fraction(parse_timecode(label, exact)) / exact
    media(tmp_path / "m" / "NIGHT.wav", 20, sample_rate=48000, timecode_sample=round(begin * 48000))
    mark = marks[1]
    found = read(
        tmp_path / "m", tmp_path,
        f"001 NIGHT A C 00:00:02{mark}00 00:00:05{mark}00 01:00:00{mark}00 01:00:03{mark}00\n"
        f"002 NIGHT A C 23:59:59{mark}00 00:00:01{mark}00 01:00:03{mark}00 01:00:05{mark}00\n"
        f"003 NIGHT A C 23:59:56{mark}00 23:59:57{mark}00 01:00:05{mark}00 01:00:06{mark}00\n",
        exact,
    )  # fmt: skip
    starts = [round(c.source_range.start * exact) for c in found.clips]
    assert starts == [7 * (int(last) + 1), 4 * (int(last) + 1), int(last) + 1]


def test_record_timecode_goes_on_past_midnight(tmp_path: Path) -> None:
    media(tmp_path / "m" / "DAY.wav", 20, sample_rate=8000, timecode_sample=3600 * 8000)
    found = read(
        tmp_path / "m", tmp_path,
        "001 DAY A C 01:00:01:00 01:00:03:00 23:59:59:00 00:00:01:00\n"
        "002 DAY A C 01:00:05:00 01:00:07:00 00:00:01:00 00:00:03:00\n"
        "003 DAY A C 01:00:09:00 01:00:10:00 00:00:10:00 00:00:11:00\n",
    )  # fmt: skip
    assert places(found) == [("A1", "DAY", 0, 25), ("A1", "DAY", 50, 125), ("A1", "DAY", 275, 225)]
    assert found.timeline_start == 86399


def test_a_bad_record_time_leaves_out_its_event_alone(root: Path, tmp_path: Path) -> None:
    events = [
        f"{n:03d} TAKE1 A C 10:00:{n:02d}:00 10:00:{n + 1:02d}:00 01:00:{n:02d}:00 01:00:{n + 1:02d}:00\n"
        for n in range(20)
    ]
    events[3] = events[3].replace("01:00:03:00", "01:00:83:00")
    found = read(root, tmp_path, "".join(events))
    assert len(found.clips) == 19
    assert any("'003 TAKE1" in note and "left out" in note for note in found.notes)


def test_an_event_that_ends_before_it_begins_is_as_long_as_its_source(root: Path, tmp_path: Path) -> None:
    found = read(root, tmp_path, "001 TAKE1 A C 10:00:00:00 10:00:02:00 01:00:05:00 01:00:04:00\n")
    assert [clip.record_range.duration for clip in found.clips] == [2]


def test_the_channels_of_a_stereo_file_are_not_played_twice(stereo: Path, tmp_path: Path) -> None:
    times = "00:00:01:00 00:00:03:00 01:00:00:00 01:00:02:00"
    assert channels(read(stereo, tmp_path, f"001 BOOM AA C {times}\n")) == {"A1": (0,), "A2": (1,)}
    assert channels(read(stereo, tmp_path, f"001 BOOM A C {times}\n002 BOOM A2 C {times}\n")) == {
        "A1": (0,), "A2": (1,)
    }  # fmt: skip
    assert channels(read(stereo, tmp_path, f"001 BOOM NONE C {times}\nAUD  3    4\n")) == {"A3": (0,), "A4": (1,)}
    assert channels(read(stereo, tmp_path, f"001 BOOM A C {times}\n")) == {"A1": ()}
    four = read(stereo, tmp_path, f"001 BOOM AA C {times}\nAUD  3    4\n")
    assert channels(four) == {"A1": (0,), "A2": (1,)}
    assert [(skip.track, skip.code) for skip in four.skipped] == [
        ("A3", Code.CHANNEL_UNKNOWN), ("A4", Code.CHANNEL_UNKNOWN)
    ]  # fmt: skip


def test_a_patch_names_the_channel(stereo: Path, tmp_path: Path) -> None:
    found = read(
        stereo, tmp_path,
        "001 BOOM A3 C 00:00:01:00 00:00:03:00 01:00:00:00 01:00:02:00\n* PATCH BOOM: FROM SOURCE 2 TO RECORD 3\n",
    )  # fmt: skip
    assert channels(found) == {"A3": (1,)}


def test_locators_stay_on_the_sound_they_were_set_on(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.edl"
    path.write_text("001 TAKE1 A C 10:00:04:00 10:00:06:00 01:00:00:00 01:00:02:00\n* LOC: 01:00:01:00 RED  ADR\n")
    timeline = read_edit(path, ReadOptions(Fraction(25))).timeline
    [marker] = timeline.tracks[0][0].markers
    assert (marker.name, marker.color, marker.marked_range.start_time.value) == ("ADR", "RED", 36005 * 25)


@pytest.mark.parametrize("number", ["1", "000001", "001A", "E001"])
def test_events_are_numbered_as_systems_like(root: Path, tmp_path: Path, number: str) -> None:
    found = read(root, tmp_path, f"{number} TAKE1 A C 10:00:00:00 10:00:02:00 01:00:00:00 01:00:02:00 note\n")
    assert places(found) == [("A1", "TAKE1", 0, 0)]


Edit = tuple[str, int, int, int]
"""The track, the first frame on the timeline, the length, and the first frame in the media."""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "A2"]), st.integers(0, 400), st.integers(1, 60), st.integers(0, 700)),
        min_size=1,
        max_size=12,
    )
)
def test_events_in_any_order_and_overlap_are_read_as_they_are_written(
    root: Path, tmp_path: Path, edits: list[Edit]
) -> None:
    rate, hour = Fraction(25), 25 * 3600
    lines = []
    for number, (track, start, length, begin) in enumerate(edits, 1):
        times = (10 * hour + begin, 10 * hour + begin + length, hour + start, hour + start + length)
        labels = " ".join(format_timecode(frame, rate) for frame in times)
        lines.append(f"{number:03d}  TAKE1 {track} C {labels}\n* FROM CLIP NAME: c{number}\n")
    found = read(root, tmp_path, "".join(lines))
    first = min(start for _, start, _, _ in edits)
    read_back = {(c.name, int(c.record_range.start * 25) + first, int(c.source_range.start * 25)) for c in found.clips}
    assert read_back == {(f"c{n}", start, begin) for n, (_, start, _, begin) in enumerate(edits, 1)}
    assert all(c.track.startswith("A2" if edits[int(c.name[1:]) - 1][0] == "A2" else "A1") for c in found.clips)
