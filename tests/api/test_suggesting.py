"""`stemline.suggest` and its command: times fit the clips that play the media, and the markers of an edit read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import opentimelineio as otio
import pytest

import stemline
from stemline_app.cli.main import main

RATE = 24


def edit_of(path: Path, *uses: tuple[int, int]) -> None:
    """An edit from 01:00:00:00 of clips that play these frames of `interview.wav`."""
    track = otio.schema.Track("A1", kind=otio.schema.TrackKind.Audio)
    whole = otio.opentime.TimeRange(otio.opentime.RationalTime(0, RATE), otio.opentime.RationalTime(2 * RATE, RATE))
    for number, (start, end) in enumerate(uses):
        used = otio.opentime.TimeRange(
            otio.opentime.RationalTime(start, RATE), otio.opentime.RationalTime(end - start, RATE)
        )
        track.append(otio.schema.Clip(f"clip {number}", otio.schema.ExternalReference("interview.wav", whole), used))
    timeline = otio.schema.Timeline("edit", global_start_time=otio.opentime.RationalTime(3600 * RATE, RATE))
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(path))


def test_a_sound_of_a_file_becomes_a_prompt_with_its_marks(project: Path) -> None:
    found = stemline.suggest("interview.wav")
    (speech,) = found.sounds
    assert (speech.sound, found.tagger) == ("speech", "function")
    assert speech.likelihood == pytest.approx(0.9)
    assert speech.stem().prompt.spans == (stemline.Span(0, 1),)
    assert speech.stem(marks=False).prompt == stemline.Prompt("speech")


def test_times_of_a_part_count_from_the_start_of_the_file(project: Path) -> None:
    found = stemline.suggest("interview.wav", range=(0.5, 1.5))
    assert found.sounds[0].spans == (stemline.Span(0.5, 1),)


def test_clips_get_the_sounds_of_what_they_play_at_times_of_the_timeline(project: Path) -> None:
    edit_of(project / "cut.otio", (12, 36), (36, 48), (0, 12))
    found = stemline.suggest("cut.otio")  # heard in the first second of the media: frames 0 to 24
    assert [(one.clip, one.spans, one.timecodes) for one in found.sounds] == [
        ("clip 0", (stemline.Span(0, 0.5),), ("01:00:00:00",)),
        ("clip 2", (stemline.Span(1.5, 2),), ("01:00:01:12",)),
    ]


def test_markers_of_an_edit_read_back_where_the_sounds_are(project: Path) -> None:
    edit_of(project / "cut.otio", (12, 36), (0, 12))
    before = (project / "cut.otio").read_bytes()
    found = stemline.suggest("cut.otio", markers="out.otio")
    markers = otio.adapters.read_from_file(found.markers).tracks.markers
    assert [(m.name, m.marked_range.start_time.value, m.marked_range.duration.value) for m in markers] == [
        ("speech", 0, 12),
        ("speech", 24, 12),
    ]
    assert (project / "cut.otio").read_bytes() == before


def test_markers_never_replace_the_edit_itself(project: Path) -> None:
    edit_of(project / "cut.otio", (0, 24))
    with pytest.raises(stemline.OutputError):
        stemline.suggest("cut.otio", markers="cut.otio")


def test_a_clip_without_its_media_is_listed_and_the_others_are_heard(project: Path) -> None:
    edit_of(project / "cut.otio", (0, 24))
    timeline = otio.adapters.read_from_file("cut.otio")
    lost = timeline.tracks[0][0].clone()
    lost.media_reference.target_url = "lost.wav"
    timeline.tracks[0].append(lost)
    otio.adapters.write_to_file(timeline, "cut.otio")
    found = stemline.suggest("cut.otio")
    assert [one.clip for one in found.sounds] == ["clip 0"]
    assert [skip.code for skip in found.skipped] == [stemline.Code.MEDIA_MISSING]


def test_cancelling_raises_and_leaves_the_server_usable(project: Path) -> None:
    with pytest.raises(stemline.Cancelled):
        stemline.suggest("interview.wav", cancelled=lambda: True)
    assert stemline.suggest("interview.wav").sounds


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: stemline.suggest("edit.otio", stream=1), stemline.UsageError),
        (lambda: stemline.suggest("interview.wav", markers="m.otio"), stemline.UsageError),
        (lambda: stemline.suggest("missing.wav"), stemline.MediaError),
        (lambda: stemline.suggest("interview.wav", tagger="nonsense"), stemline.UsageError),
    ],
)
def test_what_cannot_be_done_is_refused(
    project: Path, call: Callable[[], object], error: type[stemline.StemlineError]
) -> None:
    with pytest.raises(error):
        call()


def test_the_command_prints_the_same_as_the_function_in_each_form(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_of(project / "cut.otio", (12, 36), (0, 12))
    assert main(["suggest", "cut.otio", "--json", "--markers", "marks.otio"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["results"]
    assert listed["sounds"] == [sound.to_json() for sound in stemline.suggest("cut.otio").sounds]
    assert Path(listed["markers"]).is_file()
    assert main(["suggest", "cut.otio", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["clip"], row["timecode"], row["sound"]) for row in rows] == [
        ("clip 0", "01:00:00:00", "speech"),
        ("clip 1", "01:00:01:00", "speech"),
    ]
    assert main(["suggest", "interview.wav"]) == 0
    assert "speech  90%         0.00..1.00" in capsys.readouterr().out
