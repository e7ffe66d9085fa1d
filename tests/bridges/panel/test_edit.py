"""The panel on an OpenTimelineIO edit, which it never changes."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest
from PyQt5.QtCore import Qt

import stemline
from api.test_growing import packed
from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel
from conftest import ROOT
from stemline.clips import TimeRange
from stemline.prompts import Box, Mask, StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.recorded_prompts import recorded_stem
from stemline_otio import read_timeline
from stemline_panel.model.queue import QueueItem


@pytest.fixture
def edit(tmp_path: Path) -> Path:
    """Return a copy of the example edit."""
    shutil.copytree(ROOT / "examples" / "interview", tmp_path / "interview")
    return tmp_path / "interview" / "edit.otio"


def test_stems_are_written_beside_the_edit_and_taken_back(open_panel: OpenPanel, edit: Path) -> None:
    before = edit.read_bytes()
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    assert len(panel.session.clips) > 2
    assert "01:00:00:00-01:00:06:18, 25 fps" in panel.window.clip_bar.line.text(), "the edit's own timecode"
    assert panel.window.transport.clock.text() == "01:00:00:00"
    panel.window.clip_bar.all_toggled.emit(True)
    item = panel.separate("speech")
    assert item.outcome is not None, item.status
    assert panel.primary_label == "Write edit.stems.otio"
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    assert item.applied is not None
    written = read_timeline(Path(item.applied.output))
    assert [track.name for track in written.tracks if "stemline" in track.metadata] == list(item.applied.tracks)
    assert edit.read_bytes() == before
    panel.click(panel.window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert not (edit.parent / "edit stems" / "edit.stems.otio").exists()


def apply(panel: Panel, prompt: str = "speech", *, will: str = "") -> QueueItem:
    """Separate the shown clip and apply the result, after the panel has said what it `will` write."""
    item = panel.separate(prompt)
    panel.until(lambda: panel.primary_label.startswith("Write "))
    assert panel.session.primary_action().hint.startswith(will)
    panel.trigger_primary()
    panel.until(lambda: item.applied and not panel.director.host.busy)
    return item


def step(panel: Panel) -> None:
    panel.director.clips.step(1)
    panel.until_shown()


def stem_clips(path: Path) -> dict[str, list[str]]:
    """Return the names of the stem clips by track."""
    timeline = read_timeline(path)
    tracks = [track for track in timeline.tracks if "stemline" in track.metadata]
    return {track.name: [clip.name for clip in track.find_clips()] for track in tracks}


def span(start_s: int, length_s: int) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(
        otio.opentime.RationalTime(start_s * 25, 25), otio.opentime.RationalTime(length_s * 25, 25)
    )


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_one_result_grows_with_every_clip_and_shrinks_again(open_panel: OpenPanel, edit: Path) -> None:
    before = files_below(edit.parent)
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    panel.separate("speech")
    assert files_below(edit.parent) == before, "nothing lies beside the edit before Apply"
    assert panel.session.primary_action().hint.startswith("Adds 2 tracks (speech, residual) with 1 clip.")
    first = apply(panel)
    written = edit.parent / "edit stems" / "edit.stems.otio"
    assert stem_clips(written) == {"speech Talk": ["camera speech"], "residual Talk": ["camera residual"]}
    step(panel)
    second = apply(panel, will="Adds 1 clip to 2 existing tracks (speech, residual). Only the stems play.")
    assert first.applied is not None
    assert second.applied is not None
    assert Path(second.applied.output) == written, "the same file"
    assert stem_clips(written)["speech Talk"] == ["camera speech", "recorder speech"], "the same tracks"
    timeline = read_timeline(written)
    assert [clip.name for clip in timeline.find_clips() if not clip.enabled].count("camera") >= 1
    for clip in timeline.find_clips():
        if clip.name.endswith(("speech", "residual")):
            assert (written.parent / clip.media_reference.target_url).is_file()
    mixed = "Adds 1 clip to 1 existing track (residual) and 1 new track (music). Replaces the earlier stems of 1 clip."
    third = apply(panel, "music", will=mixed)
    assert stem_clips(written) == {
        "speech Talk": ["camera speech"],
        "residual Talk": ["camera residual", "recorder residual"],
        "music Talk": ["recorder music"],
    }
    assert (first.applied is not None, second.applied is None) == (True, True), "it was replaced"
    states = [row.status.text for row in panel.window.clips.model.rows[:3]]
    assert states == ["found, applied", "found, applied", "not yet"]
    panel.click(panel.window.results.take_back)
    panel.until(lambda: third.applied is None)
    assert stem_clips(written) == {"speech Talk": ["camera speech"], "residual Talk": ["camera residual"]}
    panel.key(Qt.Key_Backspace, Qt.ControlModifier | Qt.ShiftModifier)
    panel.until(lambda: first.applied is None)
    assert files_below(edit.parent) == before, "the folder is as it was"


def test_the_media_of_a_bundle_lie_beside_it_only_while_stems_are_applied(open_panel: OpenPanel, edit: Path) -> None:
    bundle = packed(edit)
    before = files_below(edit.parent)
    panel = open_panel(bundle).ready()
    panel.session.settings.model = "noop"
    panel.separate("speech")
    assert files_below(edit.parent) == before
    item = apply(panel)
    assert item.applied is not None
    written = Path(item.applied.output)
    for clip in read_timeline(written).find_clips():
        if not clip.media_reference.is_missing_reference and clip.name == "camera":
            assert (written.parent / clip.media_reference.target_url).is_file(), "not in a cache"
    panel.click(panel.window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert files_below(edit.parent) == before


def test_the_stems_of_one_clip_are_taken_back(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    panel.window.clip_bar.all_toggled.emit(True)
    item = apply(panel)
    assert item.applied is not None
    written = Path(item.applied.output)
    assert "camera speech" in stem_clips(written)["speech Talk"]
    panel.window.clip_bar.all_toggled.emit(False)
    panel.key(Qt.Key_Delete, Qt.ControlModifier | Qt.ShiftModifier)
    panel.until(lambda: panel.window.clips.model.rows[0].status.text == "found")
    assert stem_clips(written)["speech Talk"][0] == "recorder speech"
    assert item.applied is not None, "the other clips of the run stay"
    timeline = read_timeline(written)
    talk = next(track for track in timeline.tracks if track.name == "Talk")
    assert [clip.enabled for clip in talk.find_clips()][:2] == [True, False]


def test_a_result_that_another_program_changed_is_left_alone(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    first = apply(panel)
    assert first.applied is not None
    written = Path(first.applied.output)
    changed = written.read_text(encoding="utf-8") + "\n"
    written.write_text(changed, encoding="utf-8")
    step(panel)
    second = apply(panel)
    assert second.applied is not None
    assert Path(second.applied.output).name == "edit-2.stems.otio"
    assert "was changed by another program, so a new file was started" in panel.window.status_text
    assert written.read_text(encoding="utf-8") == changed
    assert stem_clips(Path(second.applied.output))["speech Talk"] == ["recorder speech"]


def test_a_later_panel_goes_on_with_the_same_result(open_panel: OpenPanel, edit: Path) -> None:
    first = open_panel(edit).ready()
    first.session.settings.model = "noop"
    apply(first)
    first.director.close()
    second = open_panel(edit).ready()
    second.session.settings.model = "noop"
    second.until(lambda: len(second.session.queue) and next(iter(second.session.queue)).applied)
    second.until(lambda: second.window.clips.model.rows[0].status.text == "found, applied")
    step(second)
    item = apply(second)
    assert item.applied is not None
    assert stem_clips(Path(item.applied.output))["speech Talk"] == ["camera speech", "recorder speech"]


def test_an_edit_from_final_cut_gets_the_stems_in_its_own_format_too(open_panel: OpenPanel, edit: Path) -> None:
    xml = edit.with_name("film.xml")
    media = otio.schema.ExternalReference((edit.parent / "street.flac").as_uri())
    media.available_range = span(0, 8)
    clip = otio.schema.Clip("street", media, span(1, 4))
    timeline = otio.schema.Timeline("film")
    timeline.tracks.append(otio.schema.Track("A1", [clip], kind=otio.schema.TrackKind.Audio))
    otio.adapters.write_to_file(timeline, str(xml), "fcp_xml")
    panel = open_panel(xml).ready()
    panel.session.settings.model = "noop"
    item = panel.separate("speech")
    panel.until(lambda: panel.primary_label == "Write film.stems.otio")
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    stems = edit.parent / "film stems"
    assert (stems / "film.stems.otio").is_file()
    assert "<xmeml" in (stems / "film.stems.xml").read_text(encoding="utf-8")
    panel.click(panel.window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert not stems.exists()


def test_stems_of_an_old_export_are_not_applied_to_a_changed_edit(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    item = panel.separate("speech")
    timeline = otio.adapters.read_from_file(str(edit))
    track = next(track for track in timeline.tracks if track.name == item.request.clips[0].track)
    second = otio.opentime.RationalTime(25, 25)
    first = next(iter(track.find_clips()))
    used = first.source_range
    first.source_range = otio.opentime.TimeRange(used.start_time + second, used.duration - second)
    otio.adapters.write_to_file(timeline, str(edit))
    panel.trigger_primary()
    panel.until(lambda: "changed since it was read" in panel.window.banner.text(), 30)
    assert item.applied is None
    assert not (edit.parent / "edit stems" / "edit.stems.otio").exists()
    panel.key(Qt.Key_F5)
    panel.until(lambda: panel.primary_label != "Write edit.stems.otio")
    again = panel.separate("speech")
    panel.until(lambda: panel.primary_label.startswith("Write "))
    panel.trigger_primary()
    panel.until(lambda: again.applied)


def test_stems_of_a_clip_that_moved_are_left_out_when_another_clip_is_applied(
    open_panel: OpenPanel, edit: Path
) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    first = apply(panel)
    assert first.applied is not None
    written = Path(first.applied.output)
    assert stem_clips(written)["speech Talk"] == ["camera speech"]
    timeline = otio.adapters.read_from_file(str(edit))
    talk = next(track for track in timeline.tracks if track.name == "Talk")
    clip = next(iter(talk.find_clips()))
    second = otio.opentime.RationalTime(25, 25)
    used = clip.source_range
    clip.source_range = otio.opentime.TimeRange(used.start_time + second, used.duration - second)
    otio.adapters.write_to_file(timeline, str(edit))
    panel.key(Qt.Key_F5)
    panel.until(lambda: panel.primary_label != "Write edit.stems.otio")
    panel.until_shown()
    step(panel)
    later = apply(panel)
    assert later.applied is not None
    assert stem_clips(Path(later.applied.output))["speech Talk"] == ["recorder speech"]
    result = read_timeline(Path(later.applied.output))
    talk = next(track for track in result.tracks if track.name == "Talk")
    assert [clip.enabled for clip in talk.find_clips()][:2] == [True, False], "the clip that moved is heard"
    assert any("camera speech" in note and "left out" in note for note in later.applied.notes)


def test_the_main_button_applies_the_result_of_the_shown_clip(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    first = panel.separate("speech")
    panel.director.clips.step(1)
    panel.until_shown()
    second = panel.separate("speech")
    panel.director.clips.step(-1)
    panel.until_shown()
    assert panel.director.results.shown is first, "stepping to a clip shows its own result"
    panel.trigger_primary()
    panel.until(lambda: first.applied or second.applied)
    assert first.applied is not None
    assert second.applied is None


def test_input_while_a_clip_opens_never_reads_a_closed_clip(open_panel: OpenPanel, edit: Path) -> None:
    """Step through clips with clicks and zooms in between."""
    panel = open_panel(edit).ready()
    for _ in range(8):
        panel.director.clips.step(1)
        assert panel.playback.clip is None
        panel.director.marks.click(panel.window.wave.whole.start)
        panel.director.marks.select_sound()
        panel.window.wave.zoom(0.5)
        panel.playback.choose("mix")
        panel.playback.toggle(None, loop=False)
        assert not panel.plays()
    panel.until_shown()
    panel.until(lambda: not panel.playback._drawing)
    assert not panel.window.banner.isVisible()


def test_a_written_edit_that_was_changed_is_not_deleted(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    item = panel.separate("speech")
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    assert item.applied is not None
    written = Path(item.applied.output)
    written.write_text(written.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    panel.click(panel.window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert written.exists()
    assert "was changed since, so it stays" in panel.window.status_text


def test_the_edit_of_an_earlier_run_fills_the_request_with_its_stems(open_panel: OpenPanel, edit: Path) -> None:
    """Marks, a box and a mask come back, one undo takes them out again, and reading again does not bring them back."""
    stems = [stemline.Stem("dialogue", stemline.Prompt("speech", [stemline.Span(1, 2)]))]
    settings = stemline.Settings(model="noop")
    written = Path(stemline.separate_edit(edit, stems, output=edit.parent / "out", settings=settings).output)
    mask = edit.parent / "mattes"
    mask.mkdir()
    shown = [
        StemRequest("dog", TimelinePrompt("bark", minus=(TimeRange(Fraction(3), Fraction(4)),), box=Box(1, 2, 3, 4))),
        StemRequest("cat", TimelinePrompt("meow", mask=Mask(str(mask), Fraction(2), "/media/cat.mov"))),
    ]
    content = json.loads(written.read_text())
    run = RunSettings(output_dir=edit.parent, record_paths="full")
    content["metadata"]["stemline"]["stems"] += [recorded_stem(stem, run) for stem in shown]
    written.write_text(json.dumps(content))

    panel = open_panel(written).ready()
    assert len(panel.session.clips) > 2, "the clips that Stemline disabled"
    loaded = panel.session.stems.requests()
    assert [stem.name for stem in loaded] == ["dialogue", "dog", "cat"]
    assert loaded[0].prompt.plus == (TimeRange(Fraction(1), Fraction(2)),)
    assert loaded[1:] == tuple(shown)
    assert "stems of this edit were loaded" in " ".join(panel.session.read.notes)
    panel.director.undo.undo()
    assert not panel.session.stems.has_request
    panel.director.host.read()
    panel.until(lambda: not panel.director.host.busy)
    assert not panel.session.stems.has_request, "F5 leaves the request of the user alone"


def test_an_edit_whose_words_were_hashed_fills_nothing_and_says_so(open_panel: OpenPanel, edit: Path) -> None:
    settings = stemline.Settings(model="noop", record_words="hash")
    result = stemline.separate_edit(edit, {"dialogue": "speech"}, output=edit.parent / "out", settings=settings)
    panel = open_panel(Path(result.output)).ready()
    assert not panel.session.stems.has_request
    assert "does not hold the prompt of dialogue" in " ".join(panel.session.read.notes)
