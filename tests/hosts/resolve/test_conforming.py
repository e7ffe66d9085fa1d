"""Edits between reading and Apply: stems follow moved clips and skip changed ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.fake_resolve.item import Item
from hosts.resolve.harness import Harness
from stemline.clips import TimeRange
from stemline.errors import HostError
from stemline.hosts.base import RangeToRender

Config = dict[str, Any]
MOVED = "Moved since the clips were read, and their stems moved with them: "
CHANGED = "Trimmed, slipped or retimed since the clips were read, so they got no stems and were not disabled: "
COMPOUND = {"path": "", "kind": "Compound", "inside": 0}
LENGTH = (Fraction(0), Fraction(20, 25))


def items(harness: Harness) -> dict[str, Item]:
    return {item.name: item for track in harness.fake.timeline.audio for item in track.items}


def move(harness: Harness, frames: Fraction, *names: str) -> None:
    for name in names:
        items(harness)[name].start += frames


def slip(item: Item) -> None:
    item.source += Fraction(1, 25)


def slip_by_less_than_a_frame(item: Item) -> None:
    item.source += Fraction(1, 2000)


def trim_the_head(item: Item) -> None:
    item.start, item.frames, item.source = item.start + 2, item.frames - 2, item.source + Fraction(2, 25)


def trim_the_tail(item: Item) -> None:
    item.frames -= 2


def retime(item: Item) -> None:
    item.speed = Fraction(2)


def move_and_slip(item: Item) -> None:
    item.start += 50
    slip(item)


CHANGES = [slip, slip_by_less_than_a_frame, trim_the_head, trim_the_tail, retime, move_and_slip]


@pytest.mark.parametrize("frames", [Fraction(7), Fraction(-3), Fraction(15, 4)])
def test_stems_follow_clips_that_were_moved(folder: Path, cut: Config, frames: Fraction) -> None:
    harness = Harness(folder, cut)
    written = harness.apply("A1", "A2", before_writing=lambda: move(harness, frames, "A", "B"))
    assert written.notes == (MOVED + "A on A1, B on A1.",)
    new = [track for track, name in enumerate(harness.track_names(), 1) if name.startswith("speech A1")]
    together = [sum(values) for values in zip(*(harness.sound(track)[0] for track in new), strict=True)]
    assert together == harness.sound(1)[0]
    assert harness.sound(len(harness.track_names())) == harness.sound(2)
    assert not any(harness.enabled()[name] for name in "ABC")


@pytest.mark.parametrize("change", CHANGES)
def test_a_trimmed_or_slipped_clip_gets_no_stem_and_stays_enabled(
    folder: Path, cut: Config, change: Callable[[Item], None]
) -> None:
    harness = Harness(folder, cut)
    written = harness.apply("A1", before_writing=lambda: change(items(harness)["A"]))
    assert written.notes == (CHANGED + "A on A1. Read the clips again, then separate them again.",)
    assert [item.start for item in harness.fake.timeline.audio[2].items] == [90030]
    assert harness.enabled()["A"]
    assert not harness.enabled()["B"]


def test_nothing_is_written_when_every_clip_was_changed(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    with pytest.raises(
        HostError, match=r"retimed since the clips were read: C on A2\. The timeline is as it was"
    ) as told:
        harness.apply("A2", before_writing=lambda: slip(items(harness)["C"]))
    assert told.value.advice == "Read the clips again, then separate them again."
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert harness.enabled()["C"]


def test_a_stem_of_a_part_follows_its_moved_clip(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12, "out": 19}}
    harness = Harness(folder, cut)
    written = harness.apply(before_writing=lambda: move(harness, Fraction(7), "A", "B"))
    assert MOVED + "A on A1." in written.notes
    start, end = 19 * 1920, 27 * 1920
    assert harness.sound(3)[0][start:end] == harness.sound(1)[0][start:end]
    assert not any(harness.sound(3)[0][:start] + harness.sound(3)[0][end:])


def test_a_part_that_was_trimmed_away_gets_no_stem(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12, "out": 19}}
    harness = Harness(folder, cut)

    def trim() -> None:
        item = items(harness)["A"]
        for _ in range(2):
            trim_the_head(item)

    written = harness.apply(before_writing=trim)
    assert any(note.startswith(CHANGED + "A on A1.") for note in written.notes)
    assert harness.track_names()[2:] == ["speech A2"]


def test_trimming_the_head_before_the_part_changes_nothing(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12, "out": 19}}
    harness = Harness(folder, cut)
    written = harness.apply(before_writing=lambda: trim_the_head(items(harness)["A"]))
    assert not any("since the clips were read" in note for note in written.notes)
    start, end = 12 * 1920, 20 * 1920
    assert harness.sound(3)[0][start:end] == harness.sound(1)[0][start:end]


@pytest.mark.parametrize("version", [[18, 6, 0], [21, 0, 0]])
def test_a_rendered_clip_is_followed_too(folder: Path, cut: Config, version: list[int]) -> None:
    cut["version"] = version
    cut["media"].append(COMPOUND)
    cut["timelines"][0]["audio"][0]["items"][0]["media"] = 3
    harness = Harness(folder, cut)
    written = harness.apply("A1", before_writing=lambda: move(harness, Fraction(7), "A", "B"))
    assert MOVED + "A on A1, B on A1." in written.notes
    assert sorted(item.start for track in harness.fake.timeline.audio[2:] for item in track.items) == [90017, 90037]


def test_a_long_list_of_moved_clips_is_shortened(folder: Path, cut: Config) -> None:
    track = cut["timelines"][0]["audio"][0]
    track["items"] = [
        {"name": f"S{number}", "media": 0, "start": str(4 * number), "frames": "4", "source": "1/1"}
        for number in range(10)
    ]
    cut["timelines"][0].update(linked=[], video=[])
    harness = Harness(folder, cut)
    names = [f"S{number}" for number in range(10)]
    written = harness.apply("A1", before_writing=lambda: move(harness, Fraction(1), *names))
    assert written.notes[0].endswith("S7 on A1 and 2 more.")


@pytest.mark.parametrize("frames", [0, 7])
def test_a_clip_rendered_on_request_does_not_count_as_slipped(folder: Path, cut: Config, frames: int) -> None:
    """Its stems begin where the rendered file does, which says nothing of the clip's own file."""
    harness = Harness(folder, cut)
    read = harness.read("A1")
    asked = RangeToRender(read.clips[0].record_range, str(folder / "out"), read.clips[0].clip_id)
    rendered = replace(
        read.clips[0], source=harness.host.render_range(asked).clip.source, source_range=TimeRange(*LENGTH)
    )
    harness.host.read_clips = lambda selection: replace(read, clips=(rendered,))  # type: ignore[method-assign]
    written = harness.apply("A1", before_writing=lambda: move(harness, Fraction(frames), "A"))
    assert written.notes == ((MOVED + "A on A1.",) if frames else ())
    assert [item.start for item in harness.fake.timeline.audio[2].items] == [90010 + frames]
