"""The timeline after a write: the stems and nothing else, and a note on everything that could not be done."""

from __future__ import annotations

import json
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import Harness, left_of, write_media
from stemline.errors import Code, HostError
from stemline.plan import PlanSettings
from stemline_bridge.wav import Piece, read_head, write_piece

Config = dict[str, Any]

VERSIONS = [
    ("DaVinci Resolve", [18, 6, 0]),
    ("DaVinci Resolve Studio", [18, 6, 0]),
    ("DaVinci Resolve", [19, 1, 0]),
    ("DaVinci Resolve Studio", [19, 1, 0]),
    ("DaVinci Resolve", [20, 0, 0]),
    ("DaVinci Resolve Studio", [21, 0, 0]),
    ("DaVinci Resolve Studio", [21, 0, 4]),
    ("DaVinci Resolve Studio", [21, 1, 0]),
]


@pytest.mark.parametrize(("product", "version"), VERSIONS)
def test_every_version_and_edition_that_runs_python(
    folder: Path, cut: Config, product: str, version: list[int]
) -> None:
    cut.update(product=product, version=version)
    harness = Harness(folder, cut)
    written = harness.apply("A1", "A2")
    assert written.tracks == ("speech A1", "speech A2")
    assert written.notes == ()
    assert harness.sound(3) == harness.sound(1)
    assert harness.sound(4) == harness.sound(2)
    assert [name for name, on in harness.enabled().items() if not on] == ["A", "B", "C"]
    assert not harness.fake.referee.dialog_is_open
    assert harness.host.remove_result(written.result) == ()
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())


@pytest.mark.parametrize("handle", ["2/25", "2"])
def test_start_frames_counted_from_timecode_are_handled(folder: Path, cut: Config, handle: str) -> None:
    """The documentation does not say which of the two Resolve counts; the placed item shows it."""
    cut["habits"] = {"pool.counts_from_timecode": True}
    harness = Harness(folder, cut)
    harness.apply("A1", plan=PlanSettings(handle=Fraction(handle)))
    assert harness.sound(3) == harness.sound(1)


def test_the_marker_holds_the_record_and_the_next_frame_where_one_is_taken(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    harness.fake.timeline.AddMarker(5, "Red", "mine", "", 1, "")
    written = harness.apply("A1", "A2")
    marker = harness.fake.timeline.markers[6]
    record = json.loads(marker["customData"])["stemline"]
    assert record["result"] == written.result
    assert {stem["job"] for stem in record["stems"]} == {"jobs/1"}
    assert all(stem["sidecar"].endswith(".json") for stem in record["stems"])
    assert Path(record["journal"]).is_file()
    harness.host.remove_result(written.result)
    assert list(harness.fake.timeline.markers) == [5]


def test_a_clip_between_frames_plays_to_the_sample(folder: Path, cut: Config) -> None:
    first, second = cut["timelines"][0]["audio"][0]["items"]
    first.update(start="41/4", frames="77/4", source="1234/4800")
    second.update(start="61/2", frames="33/4", source="77/96")
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert left_of(harness, *range(3, len(harness.track_names()) + 1)) == harness.sound(1)[0]


def test_a_clip_separated_in_part_stays_enabled(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["marks"] = {"audio": {"in": 12, "out": 29}}
    harness = Harness(folder, cut)
    written = harness.apply()
    assert harness.enabled()["A"]
    assert harness.enabled()["C"]
    assert any("Clips separated only between the marks stay enabled (2)" in note for note in written.notes)
    start, end = 12 * 1920, 30 * 1920
    assert harness.sound(3)[0][start:end] == harness.sound(1)[0][start:end]
    assert not any(harness.sound(3)[0][:start] + harness.sound(3)[0][end:])


def test_a_note_says_that_clips_on_a_locked_track_stay_enabled(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["audio"][0]["locked"] = True
    harness = Harness(folder, cut)
    written = harness.apply("A1")
    assert harness.enabled()["A"]
    assert harness.fake.timeline.audio[0].locked
    assert any(
        note.startswith("A on A1 could not be disabled and plays together with its stems") for note in written.notes
    )


def test_a_clip_that_resolve_only_claims_to_disable_is_reported(folder: Path, cut: Config) -> None:
    cut["deaf"] = {"TimelineItem.SetClipEnabled": 1}
    written = Harness(folder, cut).apply("A1")
    assert next(note for note in written.notes if "could not be disabled" in note).startswith("A on A1")


def test_tracks_of_silent_stems_are_switched_off(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    harness.apply("A1", play="residual")
    assert [track.enabled for track in harness.fake.timeline.audio] == [True, True, False]


def test_a_project_without_a_name_is_not_saved(folder: Path, cut: Config) -> None:
    """Saving it would hang."""
    cut["project"] = "Untitled Project"
    harness = Harness(folder, cut)
    written = harness.apply("A1")
    assert harness.fake.manager.saves == 0
    assert "The project has no name yet, so it was not saved." in written.notes


def test_the_timeline_can_be_copied_before_a_write(folder: Path, cut: Config) -> None:
    cut["duplicate_first"] = True
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert harness.fake.project is not None
    assert [timeline.name for timeline in harness.fake.project.timelines] == ["Cut", "Cut before Stemline"]
    assert harness.fake.project.current is harness.fake.timeline
    assert harness.sound(3) == harness.sound(1)
    for _ in range(2):
        harness.apply("A1", include_disabled=True)
    copies = [timeline.name for timeline in harness.fake.project.timelines[1:]]
    assert copies == ["Cut before Stemline", "Cut before Stemline 2", "Cut before Stemline 3"]


def test_nothing_is_written_when_resolve_stays_in_the_copy(folder: Path, cut: Config) -> None:
    cut.update(duplicate_first=True, deaf={"Project.SetCurrentTimeline": 1})
    harness = Harness(folder, cut)
    with pytest.raises(HostError, match="Resolve stays in the copy 'Cut before Stemline'") as failure:
        harness.apply("A1")
    assert "Open the timeline of the stems" in failure.value.advice
    assert harness.fake.project is not None
    assert [len(timeline.audio) for timeline in harness.fake.project.timelines] == [2, 0]


def test_every_read_lists_the_results_that_can_be_removed(folder: Path, cut: Config) -> None:
    """Removed, or deleted by hand with its originals enabled again, it is no longer listed."""
    harness = Harness(folder, cut)
    assert harness.read().results == ()
    first, second = harness.apply("A1"), harness.apply("A2")
    assert set(harness.read(include_disabled=True).results or ()) == {first.result, second.result}
    harness.host.remove_result(first.result)
    assert harness.read(include_disabled=True).results == (second.result,)
    del harness.fake.timeline.audio[2:]
    assert harness.read(include_disabled=True).results == (second.result,), "Remove still enables the original"
    for item in harness.fake.timeline.audio[1].items:
        item.enabled = True
    assert harness.read().results == ()


def test_a_result_on_another_timeline_counts_as_removable(folder: Path, cut: Config) -> None:
    cut["timelines"].append({**cut["timelines"][0], "name": "Other"})
    harness = Harness(folder, cut)
    written = harness.apply("A1")
    harness.fake.happens("switch timeline")
    assert harness.read().results == (written.result,)


def test_a_stem_track_with_the_users_clip_stays(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    written = harness.apply("A1")
    new, old = harness.fake.timeline.audio[2], harness.fake.timeline.audio[1]
    item = old.items.pop()
    new.items.append(item)
    notes = harness.host.remove_result(written.result)
    assert notes == ("Track speech A1 stays: there are other clips on it.",)
    assert new.items == [item]


def test_a_locked_stem_track_is_removed_too(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    written = harness.apply("A1", "A2")
    harness.fake.timeline.audio[2].locked = True
    assert harness.host.remove_result(written.result) == ()
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())


def test_originals_stay_disabled_while_stems_cannot_be_removed(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    written = harness.apply("A1", "A2")
    harness.fake.timeline.audio[2].locked = True
    harness.fake.referee.deaf["Timeline.SetTrackLock"] = 1
    with pytest.raises(HostError, match="Stems could not be deleted from track speech A1") as refusal:
        harness.host.remove_result(written.result)
    assert refusal.value.advice == "Unlock it, then choose Take back again."
    assert refusal.value.code is Code.HOST_FAILED
    assert not any(harness.enabled()[name] for name in "ABC")
    assert len(harness.fake.timeline.markers) == 1
    assert harness.host.remove_result(written.result) == ()
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())
    assert harness.fake.timeline.markers == {}


def test_removing_leaves_clips_disabled_that_the_user_disabled(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["audio"][0]["items"][0]["enabled"] = False
    harness = Harness(folder, cut)
    written = harness.apply("A1", include_disabled=True)
    harness.host.remove_result(written.result)
    assert harness.enabled() == {"A": False, "B": True, "C": True}


@pytest.mark.parametrize("saves", [0, 1])
def test_stems_of_a_given_up_write_are_removed(folder: Path, cut: Config, saves: int) -> None:
    """The panel ended in the middle of Apply: it would never learn how to remove them."""
    harness = Harness(folder, cut)

    def given_up() -> bool:
        return harness.fake.manager.saves >= saves and len(harness.fake.timeline.audio) > 2

    harness.bridge._given_up = given_up
    with pytest.raises(HostError, match=r"The panel no longer waits for the stems\. The timeline is as it was\."):
        harness.apply("A1", "A2")
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())
    assert harness.fake.timeline.markers == {}


def test_an_unexpected_answer_of_resolve_leaves_no_half_written_result(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    timeline = harness.fake.timeline
    answers: list[Any] = [5]  # where a list should be
    usual = timeline.GetItemListInTrack

    def items(kind: str, number: int) -> Any:
        return answers.pop() if harness.fake.manager.saves and answers else usual(kind, number)

    timeline.GetItemListInTrack = items  # type: ignore[method-assign]
    with pytest.raises(HostError, match=r"gave an unexpected answer \(TypeError: .* The timeline is as it was\."):
        harness.apply("A1", "A2")
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    assert all(harness.enabled().values())


def test_stems_are_imported_once_and_the_users_bin_is_reopened(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    harness.apply("A1")
    harness.apply("A1", include_disabled=True)
    facts = harness.fake.facts()
    assert len(facts["bins"]["Stemline"]) == 2
    assert facts["current_bin"] == "Master"


def test_a_compressed_stem_between_frames_is_refused_with_advice(folder: Path, cut: Config) -> None:
    cut["timelines"][0]["audio"][0]["items"][0]["start"] = "41/4"
    harness = Harness(folder, cut)

    def compress() -> None:
        for stem in (folder / "stems").glob("*.wav"):
            stem.write_bytes(b"fLaC" + stem.read_bytes()[4:])

    with pytest.raises(HostError, match="is not a WAV file") as refusal:
        harness.apply("A1", before_writing=compress)
    assert "wav24" in refusal.value.advice
    assert harness.track_names() == ["Audio 1", "Audio 2"]


def test_a_piece_of_a_wav_is_cut_to_the_sample(tmp_path: Path) -> None:
    whole = write_media(tmp_path / "whole.wav", channels=2, seconds=0.01)
    part = tmp_path / "deeper" / "part.wav"
    write_piece(whole, Piece(start=100, length=1000, lead=3, total=500), part)
    head, sound = read_head(whole), whole.read_bytes()[44:]
    assert head.length_samples == 480
    cut_out = part.read_bytes()[read_head(part).data_at :]
    assert read_head(part).length_samples == 500
    assert cut_out == bytes(12) + sound[400:] + bytes((500 - 3 - 380) * 4)
    assert [path.name for path in part.parent.iterdir()] == ["part.wav"]


def test_a_wav_above_4_gib_has_64_bit_sizes(tmp_path: Path) -> None:
    form = struct.pack("<HHIIHH", 1, 1, 48000, 96000, 2, 16)
    size = 5_000_000_000
    path = tmp_path / "long.wav"
    path.write_bytes(
        struct.pack("<4sI4s4sIQQQI", b"RF64", 0xFFFFFFFF, b"WAVE", b"ds64", 28, size + 72, size, size // 2, 0)
        + struct.pack("<4sI", b"fmt ", 16)
        + form
        + struct.pack("<4sI", b"data", 0xFFFFFFFF)
    )
    assert read_head(path).length_samples == size // 2
