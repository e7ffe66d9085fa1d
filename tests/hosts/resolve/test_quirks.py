"""The known quirks of Resolve's API, one by one: the bridge copes, and does not once its handling is taken out.

Each scene runs twice: as it is, and with the handling patched away, when it must fail. The numbers are those of the
list that the fake reproduces (`docs/resolve.md` has it in words).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import Harness, left_of
from stemline.errors import Code, HostError
from stemline_resolve import api, document, fitting, placing, removing, sources, writing

Patch = pytest.MonkeyPatch
Config = dict[str, Any]
Scene = Callable[[Path, Config], None]


@dataclass(frozen=True)
class Quirk:
    number: int
    name: str
    scene: Scene
    without: Callable[[Patch], None]

    def __str__(self) -> str:
        return f"{self.number}-{self.name}"


def comes_in(folder: Path, cut: Config) -> Harness:
    """Stems that are copies sound at every sample like the tracks they come from."""
    harness = Harness(folder, cut)
    harness.apply("A1", "A2")
    assert harness.track_names()[2:] == ["speech A1", "speech A2"]
    assert harness.sound(3) == harness.sound(1)
    assert harness.sound(4) == harness.sound(2)
    return harness


# -- 1, 13, 14, 15: the API itself -------------------------------------------------------------------------------------


def only_dir_is_believed(folder: Path, cut: Config) -> None:
    cut["version"] = [20, 0, 0]  # which has no GetSelectedClips
    assert len(Harness(folder, cut).read().clips) == 3


def without_dir(patch: Patch) -> None:
    patch.setattr(api.Remote, "__contains__", lambda self, name: True)


def setters_are_read_back(folder: Path, cut: Config) -> None:
    cut["deaf"] = {"Timeline.SetTrackName": 1}
    comes_in(folder, cut)


def without_reading_back(patch: Patch) -> None:
    patch.setattr(placing, "_NAMING_TRIES", 1)


def a_dialog_is_told(folder: Path, cut: Config) -> None:
    cut.update(product="DaVinci Resolve", version=[19, 1, 0])
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert not harness.fake.referee.dialog_is_open, "a call that only Studio may make"
    harness.fake.happens("dialog")
    with pytest.raises(HostError) as refusal:
        harness.read("A1")
    assert "A dialog is open" in refusal.value.message
    assert refusal.value.code is Code.HOST_BUSY


def without_blocked(patch: Patch) -> None:
    patch.setattr(api, "_MAY_BE_FALSE", ("Get",))


def a_call_that_never_returns_is_given_up(folder: Path, cut: Config) -> None:
    cut["events"] = [["Timeline.AddTrack", 2, "hang"]]
    harness = Harness(folder, cut, patience=0.1)
    with pytest.raises(HostError) as refusal:
        harness.apply("A1", "A2")
    assert "did not answer AddTrack" in refusal.value.message
    assert "The timeline is as it was." in refusal.value.message
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    harness.apply("A1", "A2")
    assert harness.track_names()[2:] == ["speech A1", "speech A2"]


def without_reconnecting(patch: Patch) -> None:
    start = api.Api.__init__
    patch.setattr(api.Api, "__init__", lambda self, resolve, reconnect, patience: start(self, resolve, None, patience))


# -- 2 to 6, 9, 12, 17: placing ----------------------------------------------------------------------------------------


def both_end_frames(folder: Path, cut: Config) -> None:
    cut["version"] = [18, 6, 0]
    comes_in(folder, cut)


def without_checking_the_length(patch: Patch) -> None:
    def place(self: placing.Placer, one: placing.Placing, track: int) -> document.PlacedItem:
        start = one.fit.media_start
        return self._append(one.media, (start, start + one.fit.media_frames), one.fit.first, track)

    patch.setattr(placing.Placer, "place", place)


def record_frames_count_from_midnight(folder: Path, cut: Config) -> None:
    comes_in(folder, cut)


def with_relative_record_frames(patch: Patch) -> None:
    def relative(doc: document.OpenTimeline, clip: Config, rate: Fraction) -> fitting.Fit:
        wanted = fitting.fit(doc, clip, rate)
        return wanted._replace(first=wanted.first - doc.zero)

    patch.setattr(writing, "fit", relative)


def clips_that_share_a_frame(folder: Path, cut: Config) -> None:
    first, second = cut["timelines"][0]["audio"][0]["items"]
    first["frames"], second["start"], second["frames"] = "41/2", "61/2", "29/2"
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert harness.track_names()[2:] == ["speech A1", "speech A1 (2)"]
    assert left_of(harness, 3, 4) == harness.sound(1)[0]


def without_lanes(patch: Patch) -> None:
    patch.setattr(writing, "pack_lanes", lambda placings, range_of: [sorted(placings, key=range_of)])


def what_append_returns_is_not_believed(folder: Path, cut: Config) -> None:
    cut["habits"] = {"pool.returns_nothing": True}
    comes_in(folder, cut)


def believing_append(patch: Patch) -> None:
    def append(
        self: placing.Placer, media: api.Remote, frames: tuple[int, int], first: int, track: int
    ) -> document.PlacedItem:
        info = {"mediaPoolItem": media, "startFrame": frames[0], "endFrame": frames[1], "mediaType": 2}
        made = self._pool.AppendToTimeline([{**info, "trackIndex": track, "recordFrame": first}])[0]
        return document.PlacedItem(made, track, Fraction(made.GetStart(True)), Fraction(made.GetEnd(True)))

    patch.setattr(placing.Placer, "_append", append)


def a_project_of_another_rate(folder: Path, cut: Config) -> None:
    for media in cut["media"]:
        media["rate"] = "25"
    cut.update(project_rate="24", habits={"project.loses_a_frame": True})
    comes_in(folder, cut)


def counting_in_timeline_frames(patch: Patch) -> None:
    patch.setattr(writing, "fit", lambda doc, clip, rate: fitting.fit(doc, clip, doc.rate))


def tracks_of_the_stems_kind(folder: Path, cut: Config) -> None:
    harness = comes_in(folder, cut)
    assert [track.kind for track in harness.fake.timeline.audio] == ["mono", "stereo"] * 2


def with_mono_tracks(patch: Patch) -> None:
    patch.setattr(placing, "track_type", lambda channels: "mono")


def new_tracks_that_are_locked(folder: Path, cut: Config) -> None:
    cut["habits"] = {"timeline.locks_new_tracks": True}
    comes_in(folder, cut)


def without_unlocking(patch: Patch) -> None:
    patch.setattr(placing.Placer, "_unlock", lambda self, number: None)


def what_saving_loses(folder: Path, cut: Config) -> None:
    cut["events"] = [["MediaPool.AppendToTimeline", 2, "append in error"]]
    harness = Harness(folder, cut)
    with pytest.raises(HostError) as refusal:
        harness.apply("A1", "A2")
    assert "disappeared from track speech A1 after saving" in refusal.value.message
    assert harness.track_names() == ["Audio 1", "Audio 2"]
    harness.apply("A1", "A2")
    assert harness.sound(3) == harness.sound(1)


def without_reading_after_saving(patch: Patch) -> None:
    patch.setattr(writing.TrackWriter, "_read_back", lambda self: None)


# -- 7, 8, 16: reading -------------------------------------------------------------------------------------------------


def offsets_in_two_rates(folder: Path, cut: Config) -> None:
    cut["media"][0]["rate"] = "24"
    cut["timelines"][0]["audio"][0]["items"][0]["source"] = "11/24"
    harness = comes_in(folder, cut)
    harness.fake.timeline.audio[0].items[0].enabled = True
    assert harness.read("A1").clips[0].source_range.start == Fraction(11, 24)
    cut["version"] = [18, 6, 0]  # which tells only the offset, in frames of the timeline: it is rendered
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert left_of(harness, 3, 4) == harness.sound(1)[0]


def believing_source_frames(patch: Patch) -> None:
    def start(doc: document.OpenTimeline, placed: document.PlacedItem, media: api.Remote, rate: Fraction) -> Fraction:
        return Fraction(placed.item.GetSourceStartFrame() - int(media.GetClipProperty("Start"))) / rate

    patch.setattr(sources, "_start_in_media", start)


def other_speeds_are_rendered(folder: Path, cut: Config) -> None:
    faster, unknown = cut["timelines"][0]["audio"][0]["items"]
    faster["speed"], unknown["speed"] = "2", None
    harness = Harness(folder, cut)
    harness.apply("A1")
    assert harness.sound(3) == harness.sound(1) * 2  # rendered in stereo


def without_looking_at_speed(patch: Patch) -> None:
    patch.setattr(sources, "_refuse_other_speed", lambda doc, placed, rate: None)


def transitions_are_no_clips(folder: Path, cut: Config) -> None:
    items = cut["timelines"][0]["audio"][0]["items"]
    items.insert(1, {"name": "cross fade", "kind": "transition", "start": "28", "frames": "4"})
    items.append({"name": "title", "kind": "title", "start": "50", "frames": "4"})
    read = Harness(folder, cut).read("A1")
    assert [clip.name for clip in read.clips] == ["A", "B"]
    assert [(skip.clip, str(skip.code)) for skip in read.skipped] == [("title", "CLIP_NOT_MEDIA")]


def taking_transitions_for_clips(patch: Patch) -> None:
    patch.setattr(document, "is_transition", lambda item: False)


# -- 10, 11 ------------------------------------------------------------------------------------------------------------


def two_lists_of_colours(folder: Path, cut: Config) -> None:
    harness = comes_in(folder, cut)
    assert {item.colour for track in harness.fake.timeline.audio[2:] for item in track.items} == {"Teal"}
    assert [marker["color"] for marker in harness.fake.timeline.markers.values()] == ["Mint"]


def mixing_them_up(patch: Patch) -> None:
    patch.setattr(placing, "_CLIP_COLOUR", writing._MARKER_COLOUR)


def deleting_on_the_edit_page(folder: Path, cut: Config) -> None:
    cut["page"] = "color"
    harness = comes_in(folder, cut)
    result = harness.apply("A1", "A2", include_disabled=True).result
    assert harness.host.remove_result(result) == ()
    assert harness.track_names()[2:] == []
    assert harness.fake.page == "color"


def deleting_anywhere(patch: Patch) -> None:
    patch.setattr(removing, "delete_items", lambda doc, items: doc.timeline.DeleteClips(list(items), False))


QUIRKS = (
    Quirk(1, "hasattr", only_dir_is_believed, without_dir),
    Quirk(2, "endFrame", both_end_frames, without_checking_the_length),
    Quirk(3, "recordFrame", record_frames_count_from_midnight, with_relative_record_frames),
    Quirk(4, "overlap", clips_that_share_a_frame, without_lanes),
    Quirk(5, "append-returns", what_append_returns_is_not_believed, believing_append),
    Quirk(6, "media-rate", a_project_of_another_rate, counting_in_timeline_frames),
    Quirk(6, "short-by-one", a_project_of_another_rate, without_checking_the_length),
    Quirk(7, "source-frames", offsets_in_two_rates, believing_source_frames),
    Quirk(8, "retimed", other_speeds_are_rendered, without_looking_at_speed),
    Quirk(9, "track-type", tracks_of_the_stems_kind, with_mono_tracks),
    Quirk(10, "colours", two_lists_of_colours, mixing_them_up),
    Quirk(11, "delete-page", deleting_on_the_edit_page, deleting_anywhere),
    Quirk(12, "locked", new_tracks_that_are_locked, without_unlocking),
    Quirk(13, "deaf", setters_are_read_back, without_reading_back),
    Quirk(14, "dialog", a_dialog_is_told, without_blocked),
    Quirk(15, "hang", a_call_that_never_returns_is_given_up, without_reconnecting),
    Quirk(16, "transitions", transitions_are_no_clips, taking_transitions_for_clips),
    Quirk(17, "lost-at-save", what_saving_loses, without_reading_after_saving),
)


@pytest.mark.parametrize("quirk", QUIRKS, ids=str)
def test_the_bridge_handles_each_quirk(quirk: Quirk, folder: Path, cut: Config) -> None:
    quirk.scene(folder, cut)


@pytest.mark.parametrize("quirk", QUIRKS, ids=str)
def test_each_quirk_breaks_the_bridge_without_its_handling(
    quirk: Quirk, folder: Path, cut: Config, monkeypatch: Patch
) -> None:
    quirk.without(monkeypatch)
    with pytest.raises(BaseException) as failure:
        quirk.scene(folder, cut)
    assert not isinstance(failure.value, KeyboardInterrupt)
