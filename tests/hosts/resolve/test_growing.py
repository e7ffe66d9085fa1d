"""One result that grows in a timeline: applied clip after clip, replaced for single clips, and taken back."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import Harness
from stemline.errors import HostError

Config = dict[str, Any]


def mark(harness: Harness, first: int, last: int) -> None:
    harness.fake.timeline.marks = {"audio": {"in": first, "out": last}}


def starts(harness: Harness, number: int) -> list[int]:
    return sorted(int(item.start) - 90000 for item in harness.fake.timeline.audio[number - 1].items)


def stem_of(harness: Harness, start: int) -> Any:
    return next(item for item in harness.fake.timeline.audio[2].items if item.start == 90000 + start)


def select(harness: Harness, *names: str) -> None:
    everything = [item for track in harness.fake.timeline.audio for item in track.items]
    harness.fake.timeline.selected = [item for item in everything if item.name in names]


@pytest.fixture
def clipwise(folder: Path, cut: Config) -> Harness:
    """A timeline where clips can be selected, so that one is applied after the other."""
    cut["version"] = [21, 0, 4]
    return Harness(folder, cut)


def test_clip_after_clip_extends_the_same_track(clipwise: Harness) -> None:
    select(clipwise, "A")
    first = clipwise.apply()
    select(clipwise, "B")
    second = clipwise.apply()
    assert clipwise.track_names() == ["Audio 1", "Audio 2", "speech A1"]
    assert second.tracks == ("speech A1",)
    assert clipwise.sound(3) == clipwise.sound(1)
    read = clipwise.read(include_disabled=True)
    assert set(read.results or ()) == {first.result, second.result}
    assert len(read.applied or ()) == 2
    assert clipwise.host.remove_result(first.result) == ()
    assert starts(clipwise, 3) == [30]
    assert clipwise.enabled()["A"]
    assert not clipwise.enabled()["B"]
    assert clipwise.host.remove_result(second.result) == ()
    assert clipwise.track_names() == ["Audio 1", "Audio 2"]
    assert clipwise.fake.timeline.markers == {}


def test_separating_a_clip_again_replaces_its_stems_alone(clipwise: Harness) -> None:
    first = clipwise.apply("A1")
    kept = stem_of(clipwise, 30)
    select(clipwise, "A")
    second = clipwise.apply(include_disabled=True)
    assert clipwise.track_names()[2:] == ["speech A1"]
    assert starts(clipwise, 3) == [10, 30]
    assert stem_of(clipwise, 30) is kept
    assert clipwise.sound(3) == clipwise.sound(1)
    assert clipwise.host.remove_result(first.result) == ()
    assert starts(clipwise, 3) == [10]
    assert not clipwise.enabled()["A"], "its new stem still plays"
    assert clipwise.enabled()["B"]
    assert clipwise.host.remove_result(second.result) == ()
    assert all(clipwise.enabled().values())


def test_a_whole_second_run_leaves_nothing_of_the_first(clipwise: Harness) -> None:
    first = clipwise.apply("A1")
    second = clipwise.apply("A1", include_disabled=True)
    assert clipwise.read(include_disabled=True).results == (second.result,)
    assert len(clipwise.fake.timeline.markers) == 1
    assert clipwise.host.remove_result(first.result) == ()
    assert starts(clipwise, 3) == [10, 30]
    assert clipwise.host.remove_result(second.result) == ()
    assert all(clipwise.enabled().values())


def test_originals_that_a_second_run_does_not_disable_sound_again(clipwise: Harness) -> None:
    clipwise.apply("A1")
    select(clipwise, "A")
    host, usual = clipwise.host, clipwise.host.write_tracks

    def keep_originals(tracks: Any, options: Any) -> Any:
        return usual(tracks, type(options)((), options.metadata))

    host.write_tracks = keep_originals  # type: ignore[method-assign]
    clipwise.apply(include_disabled=True)
    assert clipwise.enabled()["A"]
    assert not clipwise.enabled()["B"]


def test_single_clips_are_taken_back_whichever_run_placed_them(clipwise: Harness) -> None:
    clipwise.apply("A1")
    clipwise.apply("A2")
    clips = {clip.name: clip.clip_id for clip in clipwise.read("A1", "A2", include_disabled=True).clips}
    assert clipwise.host.remove_clips([clips["B"], clips["C"]]) == ()
    assert clipwise.track_names() == ["Audio 1", "Audio 2", "speech A1"]
    assert starts(clipwise, 3) == [10]
    assert clipwise.enabled() == {"A": False, "B": True, "C": True} | {stem_of(clipwise, 10).name: True}
    assert clipwise.read(include_disabled=True).applied == (clips["A"],)
    assert clipwise.host.remove_clips([clips["A"]]) == ()
    assert clipwise.track_names() == ["Audio 1", "Audio 2"]
    assert all(clipwise.enabled().values())
    assert clipwise.fake.timeline.markers == {}
    assert clipwise.read().results == ()


def test_a_stem_that_the_user_trimmed_stays_and_its_original_stays_disabled(clipwise: Harness) -> None:
    written = clipwise.apply("A1")
    stem_of(clipwise, 10).frames -= 3
    notes = clipwise.host.remove_result(written.result)
    assert len(notes) == 1
    assert notes[0].endswith("on track speech A1 was changed since it was placed, so it stays.")
    assert starts(clipwise, 3) == [10]
    assert not clipwise.enabled()["A"]
    assert clipwise.enabled()["B"]


def test_a_trimmed_stem_is_not_replaced_and_the_new_one_goes_beside_it(clipwise: Harness) -> None:
    clipwise.apply("A1")
    stem_of(clipwise, 10).frames -= 3
    select(clipwise, "A")
    written = clipwise.apply(include_disabled=True)
    assert any("was changed since it was placed, so it stays." in note for note in written.notes)
    assert clipwise.track_names()[2:] == ["speech A1", "speech A1"]
    assert starts(clipwise, 4) == [10]


def test_stems_that_moved_together_with_their_clips_are_taken_back(clipwise: Harness) -> None:
    written = clipwise.apply("A1")
    for track in clipwise.fake.timeline.audio:
        for item in track.items:
            item.start += Fraction(50)
    assert clipwise.host.remove_result(written.result) == ()
    assert clipwise.track_names() == ["Audio 1", "Audio 2"]


def test_a_write_that_fails_puts_the_replaced_stems_back(clipwise: Harness) -> None:
    """The earlier stems must go before the new ones fit on their track; Resolve has no undo."""
    first = clipwise.apply("A1")
    before = clipwise.sound(3)
    clipwise.bridge._given_up = lambda: clipwise.fake.manager.saves >= 2
    with pytest.raises(HostError, match=r"no longer waits for the stems\. The timeline is as it was\."):
        clipwise.apply("A1", include_disabled=True)
    assert clipwise.track_names()[2:] == ["speech A1"]
    assert clipwise.sound(3) == before
    assert not clipwise.enabled()["A"]
    clipwise.bridge._given_up = lambda: False
    assert clipwise.read(include_disabled=True).results == (first.result,)
    assert clipwise.host.remove_result(first.result) == ()
    assert clipwise.track_names() == ["Audio 1", "Audio 2"]
    assert all(clipwise.enabled().values())


def test_a_write_that_was_killed_gives_the_replaced_stems_back_at_the_next_one(folder: Path, cut: Config) -> None:
    cut["version"] = [21, 0, 4]
    harness = Harness(folder, cut)
    first = harness.apply("A1")
    before = harness.sound(3)
    usual = harness.bridge._undo
    harness.bridge._undo = lambda *_: None  # type: ignore[method-assign]
    harness.bridge._given_up = lambda: harness.fake.manager.saves >= 2
    with pytest.raises(HostError):
        harness.apply("A1", include_disabled=True)
    harness.bridge._undo, harness.bridge._given_up = usual, lambda: False  # type: ignore[method-assign]
    third = harness.apply("A2")
    assert "The incomplete tracks of an interrupted write were removed." in third.notes
    assert harness.sound(3) == before
    assert set(harness.read(include_disabled=True).results or ()) == {first.result, third.result}


def test_stems_of_another_state_get_a_track_that_the_user_can_hear(clipwise: Harness) -> None:
    select(clipwise, "A")
    clipwise.apply(play="residual")
    select(clipwise, "B")
    clipwise.apply(play="all")
    assert [track.enabled for track in clipwise.fake.timeline.audio] == [True, True, False, True]
    clipwise.fake.timeline.audio[3].enabled = False  # by the user
    select(clipwise, "C")
    clipwise.apply(play="all")
    assert clipwise.track_names()[2:] == ["speech A1", "speech A1", "speech A2"]


def test_a_locked_track_is_left_alone(clipwise: Harness) -> None:
    clipwise.apply("A1")
    clipwise.fake.timeline.audio[2].locked = True
    select(clipwise, "A")
    with pytest.raises(HostError, match="Track speech A1 is locked"):
        clipwise.apply(include_disabled=True)
    assert starts(clipwise, 3) == [10, 30]


def test_the_journal_of_an_earlier_version_is_taken_back_as_before(clipwise: Harness) -> None:
    written = clipwise.apply("A1")
    path = next((clipwise.folder / "home" / "written").glob("*.json"))
    facts = json.loads(path.read_text(encoding="utf-8"))
    for track in facts["tracks"]:
        del track["enabled"], track["shared"]
        track["items"] = [{"id": item["id"], "path": item["path"]} for item in track["items"]]
    path.write_text(json.dumps(facts), encoding="utf-8")
    clipwise.apply("A1", include_disabled=True)
    assert clipwise.host.remove_result(written.result) == ()
    assert not clipwise.enabled()["A"]
    assert len(clipwise.track_names()) == 3


def test_a_stem_deleted_by_hand_keeps_no_original_disabled(clipwise: Harness) -> None:
    clipwise.apply("A1")
    second = clipwise.apply("A1", include_disabled=True)
    del clipwise.fake.timeline.audio[2]
    clipwise.host.remove_result(second.result)
    assert all(clipwise.enabled().values())
