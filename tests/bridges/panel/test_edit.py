"""The panel on an OpenTimelineIO edit, which it never changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import opentimelineio as otio
import pytest
from PyQt5.QtCore import Qt

from bridges.panel.conftest import OpenPanel
from conftest import ROOT
from stemline_otio import read_timeline


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


def test_a_second_clip_does_not_overwrite_the_result_of_the_first(open_panel: OpenPanel, edit: Path) -> None:
    panel = open_panel(edit).ready()
    panel.session.settings.model = "noop"
    written = []
    for name in ("edit.stems.otio", "edit-2.stems.otio"):
        panel.separate("speech")
        panel.until(lambda: panel.primary_label == "Write edit.stems.otio")
        panel.trigger_primary()
        panel.until(lambda: panel.primary_label == "Applied")
        applied = list(panel.session.queue)[-1].applied
        assert applied is not None
        assert Path(applied.output).name == name
        written.append((Path(applied.output), Path(applied.output).read_bytes()))
        panel.director.clips.step(1)
        panel.until_shown()
    assert [path.read_bytes() for path, _ in written] == [content for _, content in written]


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
    panel.until(lambda: panel.primary_label == "Write edit.stems.otio")
    panel.trigger_primary()
    panel.until(lambda: again.applied)


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
