"""Which sound of which file a clip plays, and clips that must be rendered with everything restored."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.fake_resolve.sound import decoded
from hosts.resolve.harness import Harness, left_of, write_media
from stemline.clips import MediaSource, TimeRange
from stemline.errors import Code, HostError
from stemline.hosts.base import RangeToRender, Selection
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.prepare import prepare
from stemline_resolve.media_bin import same_path

Config = dict[str, Any]


def clip_c(cut: Config) -> Config:
    item: Config = cut["timelines"][0]["audio"][1]["items"][0]
    return item


def test_one_channel_of_a_stereo_file(folder: Path, cut: Config) -> None:
    clip_c(cut)["channels"] = [2]
    cut["timelines"][0]["audio"][1]["kind"] = "mono"
    harness = Harness(folder, cut)
    assert harness.read("A2").clips[0].source.channels == (1,)
    harness.apply("A2")
    assert harness.sound(3) == harness.sound(2)
    assert harness.fake.timeline.audio[2].kind == "mono"


def linked(folder: Path, offset: int) -> Config:
    """A camera's two channels, and a recorder's three that were synced to them."""
    recorder = write_media(folder / "recorder.wav", channels=3)
    return {
        "embedded_audio_channels": 2,
        "linked_audio": {"1": {"channels": 3, "offset": offset, "path": str(recorder)}},
        "track_mapping": {"1": {"channel_idx": [4], "mute": False, "type": "Mono"}},
    }


def test_linked_sound_is_read_from_its_own_file(folder: Path, cut: Config) -> None:
    cut["media"][2]["mapping"] = linked(folder, offset=0)
    clip = Harness(folder, cut).read("A2").clips[0]
    assert Path(clip.source.path).name == "recorder.wav"
    assert clip.source.channels == (1,)


@pytest.mark.parametrize(
    "mapping",
    [
        {"linked_audio": {"1": {"channels": 3, "offset": 1200, "path": "/x.wav"}}},
        {"track_mapping": {"1": {"channel_idx": [2, 3], "mute": False}}},
        {"track_mapping": {"1": {"channel_idx": [1]}, "2": {"channel_idx": [2]}}},
    ],
)
def test_sound_that_is_not_one_range_of_one_file_is_rendered(folder: Path, cut: Config, mapping: Config) -> None:
    cut["media"][2]["mapping"] = {**linked(folder, offset=0), **mapping}
    harness = Harness(folder, cut)
    harness.apply("A2")
    assert harness.sound(3) == harness.sound(2)
    assert any("was rendered by Resolve" in note for note in harness.read("A2", include_disabled=True).notes)


@pytest.mark.parametrize("channels", [None, [1, 2], [1], [2], [2, 1]])
def test_an_mxf_of_several_channels_is_rendered(folder: Path, cut: Config, channels: list[int] | None) -> None:
    """Each may be a stream of its own, which Resolve's numbers do not tell."""
    cut["media"][2]["path"] = str((folder / "atmo.wav").rename(folder / "atmo.MXF"))
    clip_c(cut)["channels"] = channels
    assert "rendered" in Path(Harness(folder, cut).read("A2").clips[0].source.path).parts


def test_an_mxf_of_unknown_channels_is_rendered(folder: Path, cut: Config) -> None:
    cut["media"][2].update(path=str((folder / "atmo.wav").rename(folder / "atmo.mxf")), mapping={"track_mapping": {}})
    assert "rendered" in Path(Harness(folder, cut).read("A2").clips[0].source.path).parts


def test_an_mxf_of_one_channel_is_read(folder: Path, cut: Config) -> None:
    camera = (folder / "voice ü.wav").rename(folder / "voice.mxf")
    cut["media"][0]["path"] = str(camera)
    cut["timelines"][0].update(video=[], linked=[])
    assert Harness(folder, cut).read("A1").clips[0].source == MediaSource(str(camera), 0, (0,))


def test_a_stereo_clip_of_a_file_whose_first_stream_is_mono_is_skipped_by_name(folder: Path, cut: Config) -> None:
    """As a camera's film with a stream for each channel: the second would be lost without a word."""
    (folder / "atmo.wav").rename(folder / "stereo.wav")
    write_media(folder / "atmo.wav", channels=1)
    cut["media"][2]["mapping"] = {
        "embedded_audio_channels": 2,
        "track_mapping": {"1": {"channel_idx": [1, 2], "mute": False, "type": "Stereo"}},
    }
    harness = Harness(folder, cut)
    assert harness.read("A2").clips[0].source.channels == (0, 1)
    settings = RunSettings(output_dir=folder / "stems", selection=Selection(("A1", "A2")))
    prepared = prepare(harness.host, [StemRequest("speech", TimelinePrompt("speech"))], settings)
    assert [clip.name for clip in prepared.clips] == ["A", "B"]
    assert [(skip.clip, skip.code) for skip in prepared.skipped] == [("C", Code.CHANNEL_UNKNOWN)]


def compound(cut: Config) -> None:
    cut["media"].append({"path": "", "kind": "Compound", "inside": 2})
    clip_c(cut)["media"] = 3


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_compound_clip_is_rendered_and_the_project_restored(folder: Path, cut: Config, exclusive: bool) -> None:
    compound(cut)
    cut.update(page="fairlight", habits={"project.mark_out_is_exclusive": exclusive})
    cut["timelines"][0]["audio"].append({"kind": "mono", "items": [], "enabled": False})
    harness = Harness(folder, cut)
    before = harness.fake.facts()
    harness.read("A2")
    assert harness.fake.facts() == before
    assert harness.fake.project is not None
    assert harness.fake.project.settings == {"of the user": True}
    assert list(harness.fake.project.presets) == ["Audio Only"]
    assert harness.fake.project.jobs == {}
    harness.apply("A2")
    assert harness.sound(4) == harness.sound(2)
    assert not harness.enabled()["C"]


MARKS_UNKNOWN = "read the in and out marks in this Resolve: rendering may have changed them"


@pytest.mark.parametrize(("version", "told"), [([18, 6, 0], 1), ([19, 1, 0], 1), ([20, 0, 0], 0)])
def test_a_note_says_once_that_unreadable_marks_may_have_changed(
    folder: Path, cut: Config, version: list[int], told: int
) -> None:
    cut["version"] = version
    compound(cut)
    cut["timelines"][0]["audio"].append(cut["timelines"][0]["audio"][1])
    harness = Harness(folder, cut)
    marks = {kind: dict(one) for kind, one in harness.fake.timeline.marks.items()}
    read = harness.read("A2", "A3")
    assert len(read.clips) == 2
    assert sum(MARKS_UNKNOWN in note for note in read.notes) == told
    assert (harness.fake.timeline.marks != marks) == bool(told)
    assert not any(MARKS_UNKNOWN in note for note in harness.read("A1").notes)


def test_a_failed_render_mentions_the_marks_and_other_clips_are_read(folder: Path, cut: Config) -> None:
    cut["version"] = [18, 6, 0]
    compound(cut)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    del harness.fake.project.presets["Audio Only"]
    read = harness.read("A1", "A2")
    assert [clip.name for clip in read.clips] == ["A", "B"]
    assert MARKS_UNKNOWN in read.skipped[0].reason


def test_a_hung_render_mentions_the_marks(folder: Path, cut: Config) -> None:
    cut.update(version=[18, 6, 0], events=[["Project.SetRenderSettings", 1, "hang"]])
    compound(cut)
    harness = Harness(folder, cut, patience=0.1)
    with pytest.raises(HostError, match="did not answer SetRenderSettings") as failure:
        harness.host.read_clips(Selection(("A2",)))
    assert MARKS_UNKNOWN in failure.value.message


def test_a_compound_clip_disabled_by_apply_is_rendered_audibly(folder: Path, cut: Config) -> None:
    """Resolve renders no disabled clip; afterwards it is disabled again."""
    compound(cut)
    harness = Harness(folder, cut)
    harness.apply("A2")
    before = harness.fake.facts()
    clip = harness.read("A2").clips[0]
    assert [list(channel) for channel in decoded(clip.source.path)[1]] == [
        channel[5 * 1920 : 35 * 1920] for channel in harness.sound(2)
    ]
    request = RangeToRender(clip.record_range, str(folder / "out"), clip.clip_id)
    assert decoded(harness.host.render_range(request).clip.source.path)[1] == decoded(clip.source.path)[1]
    assert harness.fake.facts() == before
    harness.fake.timeline.audio[1].locked = True
    assert "cannot be enabled" in harness.read("A2").skipped[0].reason


def test_a_clip_that_stays_enabled_after_a_render_is_reported(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    harness.apply("A2")
    wake = harness.fake.timeline.audio[1].items[0]
    wake.SetClipEnabled = lambda on: setattr(wake, "enabled", wake.enabled or on)  # type: ignore[assignment, method-assign, return-value]
    assert "Could not be restored: a disabled clip." in harness.read("A2").notes


def test_rendering_the_same_sound_gives_the_same_file(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    first, second = (harness.read("A2").clips[0].source.path for _ in range(2))
    assert first == second
    assert len(list(Path(first).parent.iterdir())) == 1


def test_a_clip_that_cannot_be_rendered_is_skipped_and_the_project_restored(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    del harness.fake.project.presets["Audio Only"]
    before = harness.fake.facts()
    read = harness.read("A1", "A2")
    assert [clip.name for clip in read.clips] == ["A", "B"]
    assert str(read.skipped[0].code) == "CLIP_NOT_MEDIA"
    assert "no render preset" in read.skipped[0].reason
    assert harness.fake.facts() == before


@pytest.mark.parametrize("deaf", ["Resolve.OpenPage", "Timeline.SetTrackEnable"])
def test_nothing_is_rendered_when_the_wrong_tracks_would_sound(folder: Path, cut: Config, deaf: str) -> None:
    """Resolve says yes and stays on its page, or leaves the other tracks on."""
    compound(cut)
    cut["deaf"] = {deaf: 1}
    harness = Harness(folder, cut)
    before = harness.fake.facts()
    read = harness.read("A2")
    assert read.clips == ()
    assert "could not render it" in read.skipped[0].reason
    assert harness.fake.facts() == before


def test_a_render_is_stopped_when_the_call_is_given_up(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    before = harness.fake.facts()
    harness.bridge._given_up = lambda: True
    with pytest.raises(HostError, match="was stopped"):
        harness.read("A2")
    assert harness.fake.facts() == before
    assert harness.fake.project is not None
    assert harness.fake.project.jobs == {}


DURING = [("Timeline.SetTrackEnable", 1), ("Project.SetRenderSettings", 1), ("Project.IsRenderingInProgress", 2)]


@pytest.mark.parametrize(("method", "count"), DURING)
def test_a_hung_call_during_a_render_restores_the_project(folder: Path, cut: Config, method: str, count: int) -> None:
    compound(cut)
    cut["events"] = [[method, count, "hang"]]
    harness = Harness(folder, cut, patience=0.1)
    before = harness.fake.facts()
    with pytest.raises(HostError, match=r"did not answer \w+ within 3 s\. Close any dialog in Resolve, .*again\.$"):
        harness.host.read_clips(Selection(("A2",)))
    assert harness.fake.facts() == before
    assert_untouched(harness)


def assert_untouched(harness: Harness) -> None:
    assert harness.fake.project is not None
    assert harness.fake.project.settings == {"of the user": True}
    assert list(harness.fake.project.presets) == ["Audio Only"]
    assert harness.fake.project.jobs == {}


@pytest.mark.parametrize("event", ["dialog", "quit"])
def test_a_note_names_what_a_render_could_not_restore(folder: Path, cut: Config, event: str) -> None:
    compound(cut)
    cut["events"] = [["Project.SetRenderSettings", 1, event]]
    harness = Harness(folder, cut)
    with pytest.raises(HostError) as failure:
        harness.host.read_clips(Selection(("A2",)))
    told = "Could not be restored: your render settings, track A1, track A2, the in and out marks, the edit"
    assert told in failure.value.message


def test_settings_left_by_a_crash_do_not_count_as_the_users(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    harness.fake.project.presets["Stemline keeps your render settings"] = {"of a crash": True}
    assert harness.read("A2").clips
    assert_untouched(harness)


def test_a_note_says_that_render_settings_could_not_be_saved(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    harness.fake.project.SaveAsNewRenderPreset = lambda name: False  # type: ignore[method-assign]
    assert "Could not be restored: your render settings." in harness.read("A2").notes
    record = {"start": "2/5", "end": "6/5"}
    answer = harness.bridge.render_range({"record_range": record, "folder": str(folder / "out")})
    assert answer["notes"] == ["Could not be restored: your render settings."]


def test_the_users_own_render_is_not_stopped(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    assert harness.fake.project is not None
    harness.fake.project.polls_left = 100
    assert "Resolve is rendering" in harness.read("A2").skipped[0].reason
    assert harness.fake.project.polls_left == 99
    assert_untouched(harness)


def test_rendering_the_same_sound_does_not_rewrite_its_file(folder: Path, cut: Config) -> None:
    compound(cut)
    harness = Harness(folder, cut)
    made = Path(harness.read("A2").clips[0].source.path)
    before = made.stat()
    harness.read("A2")
    assert made.stat().st_ino == before.st_ino


def test_a_range_is_rendered_as_it_is_heard(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    record = TimeRange(Fraction(2, 5), Fraction(6, 5))
    request = RangeToRender(record, str(folder / "out"))
    clip = harness.host.render_range(request).clip
    assert clip.record_range == record
    heard = decoded(clip.source.path)[1][0]
    start, end = 2 * 48000 // 5, 6 * 48000 // 5
    assert heard == left_of(harness, 1, 2)[start:end]


def test_a_range_of_a_clip_that_is_gone_is_refused(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    clip = harness.read("A1").clips[0]
    harness.fake.timeline.audio[0].items.clear()
    request = RangeToRender(clip.record_range, str(folder / "out"), clip.clip_id)
    with pytest.raises(HostError, match="no longer on the timeline"):
        harness.host.render_range(request)


def test_contradictory_source_times_are_rendered(folder: Path, cut: Config) -> None:
    harness = Harness(folder, cut)
    media = harness.fake.timeline.audio[0].items[0].media
    assert media is not None
    media.start_frame, media.length = 77777, 0
    harness.fake.timeline.audio[0].items[0].GetSourceStartTime = lambda: 1234.5  # type: ignore[method-assign]
    read = harness.read("A1")
    assert "rendered" in Path(read.clips[0].source.path).parts


def test_lower_case_media_types_of_21_1_are_recognised(folder: Path, cut: Config) -> None:
    cut["version"] = [21, 1, 0]
    compound(cut)
    assert any("It is a compound, not a single file." in note for note in Harness(folder, cut).read("A2").notes)


def test_resolve_is_asked_once_which_version_it_is(folder: Path, cut: Config) -> None:
    """Each call crosses into Resolve, and a long timeline has thousands of positions."""
    harness = Harness(folder, cut)
    before = harness.fake.referee.counts.get("Resolve.GetVersion", 0)
    assert len(harness.read("A1", "A2").clips) == 3
    assert harness.fake.referee.counts["Resolve.GetVersion"] == before + 1


def test_a_path_decomposed_by_macos_is_the_same_path() -> None:
    assert same_path("/films/u\u0308ben/../a.wav") == same_path("/films/a.wav")
    assert same_path("/films/\u00fc.wav") == same_path("/films/u\u0308.wav")
