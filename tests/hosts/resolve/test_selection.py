"""Which clips are chosen, and where they are: selected, between the marks, under the playhead; every frame rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import Harness
from stemline.errors import HostError

pytestmark = pytest.mark.smoke

Config = dict[str, Any]

RATES = [
    ("23.976", Fraction(24000, 1001)),
    (23.976, Fraction(24000, 1001)),
    (24.0, Fraction(24)),
    ("25", Fraction(25)),
    ("29.97 DF", Fraction(30000, 1001)),
    (29.97, Fraction(30000, 1001)),
    ("30", Fraction(30)),
    ("47.952", Fraction(48000, 1001)),
    ("50.0", Fraction(50)),
    ("59.94 DF", Fraction(60000, 1001)),
    ("60", Fraction(60)),
    (119.88, Fraction(120000, 1001)),
]


def names(harness: Harness, *tracks: str) -> list[str]:
    return [clip.name for clip in harness.read(*tracks).clips]


def test_selected_clips_come_first_and_a_picture_brings_its_sound(folder: Path, cut: Config) -> None:
    cut["version"] = [21, 0, 4]
    cut["timelines"][0]["selected"] = ["P"]
    harness = Harness(folder, cut)
    assert names(harness) == ["A"]
    assert harness.read().notes[0] == "Clips: the selected clips."


def test_without_a_selection_the_marks_count_from_in_to_the_frame_marked_out(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12, "out": 30}}
    read = Harness(folder, cut).read()
    assert [(c.name, int(c.record_range.start * 25), int(c.record_range.end * 25)) for c in read.clips] == [
        ("A", 12, 30),
        ("B", 30, 31),
        ("C", 12, 31),
    ]
    assert read.clips[0].source_range.start == Fraction(13, 25)


def test_an_in_mark_without_an_out_mark_is_ignored(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12}}
    cut["timelines"][0]["playhead"] = 90000 + 40
    assert names(Harness(folder, cut)) == ["B"]


@pytest.mark.parametrize(("frame", "expected"), [(29, ["A", "C"]), (30, ["B", "C"]), (35, ["B"]), (44, ["B"])])
def test_without_marks_what_is_under_the_playhead(folder: Path, cut: Config, frame: int, expected: list[str]) -> None:
    cut["timelines"][0].update(marks={}, playhead=90000 + frame)
    assert names(Harness(folder, cut)) == expected


def test_an_empty_selection_is_reported_in_one_sentence(folder: Path, cut: Config) -> None:
    cut["timelines"][0].update(marks={}, playhead=90000 + 59)
    with pytest.raises(HostError, match="No clip with sound is selected") as refusal:
        Harness(folder, cut).read()
    assert "playhead" in refusal.value.advice


def test_every_clip_of_named_tracks_is_chosen(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {}
    assert names(Harness(folder, cut), "A2") == ["C"]


def test_older_versions_have_neither_selection_nor_marks(folder: Path, cut: Config) -> None:
    cut["version"] = [18, 6, 0]
    cut["timelines"][0]["playhead"] = 90000 + 31
    assert names(Harness(folder, cut)) == ["B", "C"]


def test_disabled_clips_and_tracks_are_skipped_by_name(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["audio"][0]["items"][1]["enabled"] = False
    cut["timelines"][0]["audio"][1]["enabled"] = False
    harness = Harness(folder, cut)
    read = harness.read()
    assert [clip.name for clip in read.clips] == ["A"]
    assert [(skip.clip, str(skip.code)) for skip in read.skipped] == [("B", "CLIP_DISABLED"), ("C", "CLIP_DISABLED")]
    assert len(harness.read(include_disabled=True).clips) == 3


@pytest.mark.parametrize("how", ["selected", "marks", "playhead", "tracks"])
def test_after_apply_the_originals_are_chosen_and_not_the_stems(folder: Path, cut: Config, how: str) -> None:
    cut["version"] = [21, 0, 4]
    cut["timelines"][0]["playhead"] = 90000 + 29
    harness = Harness(folder, cut)
    first = harness.apply("A1", "A2")
    timeline = harness.fake.timeline
    if how == "selected":
        timeline.selected = [item for track in timeline.audio for item in track.items]
    elif how != "marks":
        timeline.marks = {}
    read = harness.read(*(["A1", "A2", "A3", "A4"] if how == "tracks" else []))
    assert [clip.name for clip in read.clips] == (["A", "C"] if how == "playhead" else ["A", "B", "C"])
    assert read.skipped == ()
    again = harness.apply("A1", "A2")
    for written in (first, again):
        assert not any(harness.enabled()[name] for name in "ABC")
        harness.host.remove_result(written.result)
    assert all(harness.enabled()[name] for name in "ABC")


def test_selected_stems_are_chosen_when_nothing_else_is(folder: Path, cut: Config) -> None:
    cut["version"] = [21, 0, 4]
    harness = Harness(folder, cut)
    harness.apply("A1")
    stem = harness.fake.timeline.audio[2].items[0]
    harness.fake.timeline.selected = [stem]
    assert names(harness) == [stem.name]


def test_a_clip_disabled_by_the_user_is_skipped_after_apply(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["audio"][0]["items"][1]["enabled"] = False
    harness = Harness(folder, cut)
    harness.apply("A1")
    read = harness.read("A1")
    assert [clip.name for clip in read.clips] == ["A"]
    assert [(skip.clip, str(skip.code)) for skip in read.skipped] == [("B", "CLIP_DISABLED")]


def test_after_remove_a_disabled_clip_is_disabled(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    harness.host.remove_result(harness.apply("A1").result)
    harness.fake.timeline.audio[0].items[0].enabled = False
    assert names(harness, "A1") == ["B"]


@pytest.mark.parametrize(("label", "rate"), RATES)
def test_every_frame_rate_comes_in_on_its_sample(folder: Path, cut: Config, label: Any, rate: Fraction) -> None:
    """From one hour of timecode (107892 frames at 29.97 drop frame); the media begins at a timecode of its own."""
    cut["project_rate"] = str(rate)
    timeline = cut["timelines"][0]
    zero = round(rate) * 3600 - (108 * round(rate / 30) if "DF" in str(label) else 0)
    timeline.update(label=label, rate=str(rate), zero=zero, marks={}, playhead=zero + 31)
    for frame, item in zip((11, 25, 3), [*timeline["audio"][0]["items"], *timeline["audio"][1]["items"]], strict=True):
        item["source"] = str(frame / rate)
    timeline["video"] = []
    timeline["linked"] = []
    harness = Harness(folder, cut)
    assert [clip.name for clip in harness.read().clips] == ["B", "C"]
    harness.apply("A1", "A2")
    assert harness.sound(3) == harness.sound(1)
    assert harness.sound(4) == harness.sound(2)
    assert not any(
        ".wav" in path and "resolve" in Path(path).parts for path in harness.fake.facts()["bins"]["Stemline"]
    )


@pytest.mark.parametrize("media_rate", ["24", "24000/1001", "30000/1001", "50"])
@pytest.mark.parametrize("project_rate", ["25", "24", "60"])
def test_media_project_and_timeline_of_three_rates(
    folder: Path, cut: Config, media_rate: str, project_rate: str
) -> None:
    cut["project_rate"] = project_rate
    for media in cut["media"]:
        media["rate"] = media_rate
    first = cut["timelines"][0]["audio"][0]["items"][0]
    first["source"] = str(11 / Fraction(media_rate))
    harness = Harness(folder, cut)
    harness.apply("A1", "A2")
    new = range(3, len(harness.track_names()) + 1)
    stereo = [track for track in new if harness.fake.timeline.audio[track - 1].kind == "stereo"]
    mono = [track for track in new if track not in stereo]
    for original, stems in ((1, mono), (2, stereo)):
        sounds = [harness.sound(track) for track in stems]
        for channel, wanted in enumerate(harness.sound(original)):
            together = [sum(values) for values in zip(*(sound[channel] for sound in sounds), strict=True)]
            assert together[: len(wanted)] == wanted
