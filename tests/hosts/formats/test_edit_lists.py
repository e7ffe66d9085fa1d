"""CMX 3600 lists as systems write them: every event on its frame and its tracks, or named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from hosts.otio.support import media
from stemline.errors import Code, EditError
from stemline.hosts.base import ReadClips, Selection
from stemline_otio import LinkRules, OtioTarget, ReadOptions, open_edit

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


def test_an_assumption_is_told_once_and_not_for_every_clip(root: Path, tmp_path: Path) -> None:
    events = (
        f"{n:03d} TAKE1 A C 10:00:{n:02d}:00 10:00:{n + 1:02d}:00 01:00:{n:02d}:00 01:00:{n + 1:02d}:00\n"
        for n in range(1, 9)
    )
    notes = read(root, tmp_path, "".join(events)).notes
    assert len([note for note in notes if "source range was read as" in note]) == 1
    assert any(note.startswith("8 clips (001, 002, 003, ...)") for note in notes)
