"""Resolve, its project or the panel disappear during a write: no half-written timeline goes unreported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import Harness
from hosts.resolve.running import run_menu_script
from stemline.errors import Code, HostError

Config = dict[str, Any]

WRITES = [
    "MediaPool.AddSubFolder",
    "MediaPool.ImportMedia",
    "Timeline.AddTrack",
    "Timeline.SetTrackName",
    "MediaPool.AppendToTimeline",
    "TimelineItem.SetClipColor",
    "TimelineItem.SetClipEnabled",
    "Timeline.AddMarker",
    "ProjectManager.SaveProject",
]


@pytest.mark.parametrize("method", WRITES)
def test_resolve_quits_in_the_middle_of_a_write(folder: Path, cut: Config, method: str) -> None:
    """The error says what is there; the next session knows, and removes it before it writes again."""
    cut["events"] = [[method, 1, "quit"]]
    harness = Harness(folder, cut)
    with pytest.raises(HostError) as failure:
        harness.apply("A1", "A2")
    assert "An incomplete result is still there" in failure.value.message
    harness.fake.referee.has_quit = False  # it is started again, with the project as it was saved or recovered
    for item in (item for track in harness.fake.timeline.audio for item in track.items):
        item.enabled = True
    notes = harness.read("A1", "A2").warnings
    left = harness.track_names()[2:]
    assert any("was interrupted" in note for note in notes) == ("AddTrack" in method or bool(left))
    written = harness.apply("A1", "A2")
    assert any("interrupted write were removed" in note for note in written.notes)
    assert [name for name in harness.track_names()[2:] if name.startswith("speech")] == ["speech A1", "speech A2"]
    assert len(harness.track_names()) == 4
    assert harness.sound(3) == harness.sound(1)
    assert not any("was interrupted" in note for note in harness.read("A1", "A2", include_disabled=True).notes)


@pytest.mark.parametrize("method", WRITES[2:])
@pytest.mark.slow
def test_a_call_that_never_returns_leaves_the_timeline_as_it_was(folder: Path, cut: Config, method: str) -> None:
    cut["events"] = [[method, 1, "hang"]]
    harness = Harness(folder, cut, patience=0.05)
    with pytest.raises(HostError, match=r"did not answer .* The timeline is as it was\."):
        harness.apply("A1", "A2")
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())
    assert harness.fake.timeline.markers == {}
    harness.apply("A1", "A2")
    assert harness.sound(3) == harness.sound(1)


def test_the_project_is_closed_before_the_write(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    project = harness.fake.project
    with pytest.raises(HostError, match="No project is open") as failure:
        harness.apply("A1", before_writing=lambda: harness.fake.happens("close project"))
    assert "Open a project" in failure.value.advice
    harness.fake.project = project
    harness.apply("A1")
    assert harness.sound(3) == harness.sound(1)


def test_another_project_is_open_at_the_write(folder: Path, cut: Config) -> None:
    harness, other = Harness(folder, cut), Harness(folder, cut)
    with pytest.raises(HostError, match="not in the open project") as failure:
        harness.apply("A1", before_writing=lambda: setattr(harness.fake, "project", other.fake.project))
    assert "the stems are finished" in failure.value.advice
    assert harness.track_names() == ["Audio 1", "Audio 2"]


def test_another_timeline_is_open_at_the_write(folder: Path, cut: Config) -> None:
    cut["timelines"].append({"name": "Other", "label": "24", "rate": "24", "zero": 0, "audio": []})
    harness = Harness(folder, cut)
    harness.apply("A1", before_writing=lambda: harness.fake.happens("switch timeline"))
    assert harness.fake.project is not None
    assert harness.fake.project.current is harness.fake.project.timelines[1]
    assert harness.fake.project.timelines[1].audio == []
    assert harness.sound(3) == harness.sound(1)


def other_timeline(cut: Config, start: str) -> None:
    """As a copy of the first, whose two tracks hold what the stems' tracks will: one of the user's own."""
    track = {"kind": "mono", "items": [{"name": "theirs", "media": 0, "start": start, "frames": "5"}]}
    cut["timelines"].append(
        {"name": "Other", "label": "25", "rate": "25", "zero": 90000, "audio": [track, track, track, track]}
    )


@pytest.mark.parametrize("habit", [{}, {"pool.returns_nothing": True}])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_another_timeline_is_opened_in_the_middle_of_a_write(
    folder: Path, cut: Config, count: int, habit: Config
) -> None:
    """At the moment of an append: no stem stays in it."""
    other_timeline(cut, "50")
    cut.update(events=[["MediaPool.AppendToTimeline", count, "switch timeline"]], habits=habit)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    before = harness.fake.project.timelines[1].facts()
    with pytest.raises(HostError, match=r"Another timeline was opened .* The timeline is as it was\.") as failure:
        harness.apply("A1", "A2")
    assert "open no other timeline" in failure.value.advice
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())
    assert harness.fake.project.timelines[1].facts() == before
    assert harness.fake.project.current is harness.fake.project.timelines[1]
    harness.fake.project.current = harness.fake.timeline
    harness.apply("A1", "A2")
    assert harness.sound(3) == harness.sound(1)


def test_another_timeline_is_opened_before_an_append(folder: Path, cut: Config) -> None:
    other_timeline(cut, "50")
    cut["events"] = [["Timeline.AddTrack", 2, "switch timeline"]]
    harness = Harness(folder, cut)
    with pytest.raises(HostError, match="Another timeline was opened while the stems were written"):
        harness.apply("A1", "A2")
    assert harness.fake.referee.counts["MediaPool.AppendToTimeline"] == 2
    assert harness.track_names() == ["Audio 1", "Audio 2"]


def test_an_earlier_stem_in_a_copy_of_the_timeline_is_not_deleted(folder: Path, cut: Config) -> None:
    other_timeline(cut, "50")
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert harness.fake.project is not None
    of_copy, stem = harness.fake.project.timelines[1].audio[2], harness.fake.timeline.audio[2].items[0]
    of_copy.items.append(stem)
    stem.track = of_copy
    del harness.fake.timeline.audio[2:]
    harness.fake.referee.hooks["MediaPool.AppendToTimeline", 3] = lambda: harness.fake.happens("switch timeline")
    with pytest.raises(HostError, match=r"while the stems were written\. The timeline is as it was"):
        harness.apply("A1", include_disabled=True)
    assert of_copy.items[1:] == [stem]


def test_a_misplaced_stem_that_cannot_be_deleted_is_named(folder: Path, cut: Config) -> None:
    other_timeline(cut, "50")
    cut.update(events=[["MediaPool.AppendToTimeline", 1, "switch timeline"]], deaf={"Timeline.DeleteClips": 1})
    with pytest.raises(HostError, match=r"speech_.+\.wav is in it now, on A3; delete it by hand\."):
        Harness(folder, cut).apply("A1")


def test_the_source_track_is_deleted_before_the_write(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    before = harness.sound(1)
    written = harness.apply("A1", before_writing=lambda: harness.fake.happens("delete first track"))
    assert "A separated clip is no longer on the timeline." in written.notes
    assert harness.track_names() == ["Audio 2", "speech A1"]
    assert harness.sound(2) == before


def test_a_dialog_opens_in_the_middle_of_a_write(folder: Path, cut: Config) -> None:
    cut["events"] = [["MediaPool.AppendToTimeline", 2, "dialog"]]
    harness = Harness(folder, cut)
    with pytest.raises(HostError, match="A dialog is open in DaVinci Resolve") as failure:
        harness.apply("A1", "A2")
    assert "tracks: speech A1" in failure.value.message
    assert failure.value.code is Code.HOST_BUSY
    harness.fake.referee.dialog_is_open = False
    harness.apply("A1", "A2")
    assert harness.track_names()[2:] == ["speech A1", "speech A2"]


def test_an_unknown_result_is_refused(folder: Path, cut: Config) -> None:
    with pytest.raises(HostError, match="no record of this result"):
        Harness(folder, cut).host.remove_result("20260101-000000-00000000")


def test_a_timeline_of_resolve_that_is_not_there(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    harness.fake.project.current = None
    with pytest.raises(HostError, match="No timeline is open"):
        harness.read()


@pytest.mark.usefixtures("shared_server")
def test_the_panel_is_killed_and_its_stems_are_found_again(folder: Path, cut: Config) -> None:
    stems = [{"name": "speech", "prompt": {"text": "speech"}}]
    settings = {"output_dir": str(folder / "stems"), "model": "noop", "disable_originals": False}
    params = {"stems": stems, "settings": settings, "selection": {"tracks": ["A1"]}}
    die = {"do": "copy", "output_dir": str(folder / "copies"), "tracks": ["A1"], "then": "die"}
    first = run_menu_script(folder, cut, [{"do": "separate", "params": params}, die])
    assert "the panel ended (it was stopped)" in first.console
    assert "choose Workspace > Scripts > Stemline again" in first.console
    assert [track["name"] for track in first.tracks[2:]] == ["speech A1", "residual A1"]
    again = run_menu_script(folder, cut, [{"do": "separate", "params": params}])
    assert again.console == ""
    assert [clip["reused"] for clip in again.results[1]["clips"]] == [True, True]


def test_the_console_says_why_the_panel_cannot_run(folder: Path, cut: Config) -> None:
    session = run_menu_script(folder, cut, [{"do": "unknown"}])
    assert "KeyError" in session.console
    assert "stemline doctor" in session.console


def test_a_crash_of_the_panel_is_not_reported_as_stopped(folder: Path, cut: Config) -> None:
    """As Qt does where it finds no screen: it says why, then aborts."""
    session = run_menu_script(folder, cut, [{"do": "abort", "saying": "no Qt platform plugin could be initialized"}])
    assert "the panel ended (no Qt platform plugin could be initialized)" in session.console
