"""Amounts: the faders of a result, the remix that they make, and what Apply and Save write of it."""

from __future__ import annotations

import math
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication

from bridges.panel.conftest import OpenPanel
from bridges.panel.factories import stems_of
from bridges.panel.harness import RATE, Panel, tones
from conftest import ROOT
from stemline.clips import MediaSource
from stemline.media import open_audio
from stemline.workflow import RunResult
from stemline.workflow.derived_tracks import REMIX
from stemline_otio import read_timeline
from stemline_panel.model.queue import QueueItem
from stemline_panel.sound.level_ramp import LEVEL_SAMPLES, LevelRamp
from stemline_panel.widgets.amount_fader import AmountFader


def separated(panel: Panel, prompt: str = "beep") -> QueueItem:
    panel.session.settings.model = "noop"
    item = panel.separate(prompt)
    panel.until(lambda: len(panel.playback.levels) == 3)
    return item


def fader(panel: Panel, sound: str) -> AmountFader:
    return panel.window.results.faders[sound]


def rerun_results(monkeypatch: pytest.MonkeyPatch) -> list[RunResult]:
    """Return a list that gets the result of each run from now on."""
    results: list[RunResult] = []

    def record(**fields: Any) -> RunResult:
        results.append(RunResult(**fields))
        return results[-1]

    monkeypatch.setattr("stemline.workflow.run.RunResult", record)
    return results


def test_the_remix_is_the_sum_at_the_amounts_and_changes_without_a_click(open_panel: OpenPanel, tmp_path: Path) -> None:
    """The noop model takes half, so that the amounts alone decide how loud the remix is."""
    media = tones(tmp_path / "a.wav")
    panel = open_panel(media).ready()
    separated(panel)
    panel.window.transport.matched.setChecked(False)
    with open_audio(MediaSource(str(media))) as reader:
        mix = reader.read(5 * RATE, 7 * RATE).T
    panel.playback.seek(Fraction(5))
    panel.director.results.choose(REMIX)
    panel.key(Qt.Key_Space)
    heard = [panel.sink.hear(2048)]
    assert np.allclose(heard[0][1024:], mix[1024:2048], atol=1e-6), "at 0 dB it is the mix"
    fader(panel, "beep").slider.setValue(-12)
    heard += [panel.sink.hear(512)]
    fader(panel, "residual").slider.setValue(-49)
    heard += [panel.sink.hear(512)]
    fader(panel, "beep").slider.setValue(6)
    heard += [panel.sink.hear(4096)]
    sound = np.concatenate(heard)
    assert np.allclose(sound[-2048:], mix[len(sound) - 2048 : len(sound)] * 10 ** (6 / 20) / 2, atol=1e-6)
    step = np.abs(np.diff(sound[:, 0])).max()
    assert step < 1.1 * np.abs(np.diff(mix[:, 0])).max(), "a level that jumps would make a larger step"


def test_moving_a_fader_plays_the_remix_and_a_double_click_resets_it(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    item = separated(panel)
    assert panel.choice == "mix"
    beep = fader(panel, "beep")
    beep.slider.setValue(12)
    assert panel.choice == REMIX
    assert panel.window.transport.layers.buttons[REMIX].isChecked()
    assert beep.value.text() == "+12 dB"
    beep.slider.setValue(-48)
    assert beep.value.text() == "\u221248 dB"
    beep.slider.setValue(-49)
    assert beep.value.text() == "Off"
    assert item.amounts == {"beep": -math.inf}
    panel.until(lambda: "remix" in panel.window.prompt.primary.toolTip())
    assert "Writes 3 files (beep, residual, remix)" in panel.window.prompt.primary.toolTip()
    assert fader(panel, "beep") is beep, "the fader under the mouse is not replaced"
    QTest.mouseDClick(beep.slider, Qt.LeftButton)
    assert beep.value.text() == "0 dB"
    assert item.amounts == {}
    panel.until(lambda: "Writes 2 files" in panel.window.prompt.primary.toolTip())


def test_the_remix_is_drawn_as_it_is_heard(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    separated(panel)
    drawn: list[float] = []
    panel.playback.waveform_ready.connect(lambda picture: drawn.append(float(picture.high.max())))
    fader(panel, "residual").slider.setValue(-49)
    fader(panel, "beep").slider.setValue(12)
    panel.until(lambda: drawn and 0.13 * 4 < drawn[-1] < 0.18 * 4)
    fader(panel, "beep").slider.setValue(-49)
    panel.until(lambda: drawn[-1] == 0)


def test_save_writes_the_remix_beside_the_stems_and_computes_nothing(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = tones(tmp_path / "a.wav")
    panel = open_panel(media).ready()
    item = separated(panel)
    fader(panel, "beep").slider.setValue(-12)
    fader(panel, "residual").slider.setValue(-49)
    results = rerun_results(monkeypatch)
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    folder = tmp_path / "a stems"
    assert sorted(path.name for path in folder.glob("*.wav")) == ["a.beep.wav", "a.remix.wav", "a.residual.wav"]
    with (
        open_audio(MediaSource(str(folder / "a.beep.wav"))) as beep,
        open_audio(MediaSource(str(folder / "a.remix.wav"))) as remix,
    ):
        expected = beep.read(0, 12 * RATE) * 10 ** (-12 / 20)
        assert np.abs(remix.read(0, 12 * RATE) - expected).max() < 2**-23
    assert [result.engine_s for result in results] == [0.0]
    assert results[0].null.peak == 0.0
    panel.click(panel.window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert not list(folder.glob("*.wav"))


def test_an_edit_gets_the_remix_as_its_only_enabled_track(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "examples" / "interview", tmp_path / "interview")
    panel = open_panel(tmp_path / "interview" / "edit.otio").ready()
    item = separated(panel, "speech")
    assert item.outcome is not None
    before = {path: Path(path).stat().st_mtime_ns for path in item.outcome.files}
    fader(panel, "residual").slider.setValue(-6)
    panel.until(lambda: "Enabled: remix." in panel.window.prompt.primary.toolTip())
    results = rerun_results(monkeypatch)
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    assert item.applied is not None
    written = read_timeline(Path(item.applied.output))
    tracks = [track for track in written.tracks if "stemline" in track.metadata]
    enabled = [track.name for track in tracks if track.enabled]
    assert enabled == [f"remix {item.request.clips[0].track}"]
    assert len(tracks) == 3
    assert [(result.engine_s, all(clip.reused for clip in result.clips)) for result in results] == [(0.0, True)]
    assert {path: Path(path).stat().st_mtime_ns for path in before} == before, "the stems stay as they are"


def test_faders_are_reached_and_moved_by_keyboard(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    item = separated(panel)
    panel.playback.seek(Fraction(3))
    panel.window.results.list.setFocus()
    QTest.keyClick(panel.window.results.list, Qt.Key_Tab)
    beep = fader(panel, "beep").slider
    assert QApplication.focusWidget() is beep
    assert beep.accessibleName() == "Amount of beep"
    for key in (Qt.Key_Left, Qt.Key_Left, Qt.Key_PageDown, Qt.Key_Right):
        QTest.keyClick(beep, key)
    assert item.amounts == {"beep": -7.0}
    assert beep.accessibleDescription() == "\u22127 dB"
    QTest.keyClick(beep, Qt.Key_Home)
    assert item.amounts == {"beep": -math.inf}
    QTest.keyClick(beep, Qt.Key_Delete)
    assert item.amounts == {}
    assert panel.playback.playhead == 3, "the keys of the fader do not move the playhead"
    QTest.keyClick(beep, Qt.Key_Tab)
    assert QApplication.focusWidget() is panel.window.results.strips["beep"].solo


def test_the_next_panel_has_the_amounts_of_an_earlier_one(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    first = open_panel(media).ready()
    separated(first)
    fader(first, "beep").slider.setValue(-49)
    fader(first, "residual").slider.setValue(-3)
    first.director.close()
    second = open_panel(media).ready()
    second.until(lambda: second.window.results.faders)
    assert fader(second, "beep").value.text() == "Off"
    assert fader(second, "residual").amount_db == -3


def test_a_stem_that_is_called_remix_has_no_second_meaning(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    separated(panel, "remix")
    assert list(panel.playback.player.layers) == ["mix", "remix", "residual"]
    assert not panel.window.results.faders


def test_parts_at_another_rate_leave_no_half_remix(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav", rate=44100), rate=44100))
    assert list(panel.playback.player.layers) == ["mix"]
    fader(panel, "beep").slider.setValue(-6)
    assert panel.choice == "mix"


def test_levels_that_change_in_every_block_never_jump() -> None:
    ramp = LevelRamp({"a": 1.0})
    ones = {"a": np.ones((2, 64), np.float32)}
    heard = [ramp.mix(ones, 64)]
    for level in (0.0, 4.0, 0.5, 0.0, 1.0):
        ramp.move_to({"a": level})
        heard.append(ramp.mix(ones, 64))
    while heard[-1][0, -1] != 1.0:
        heard.append(ramp.mix(ones, 64))
    assert np.abs(np.diff(np.concatenate(heard, axis=1))).max() <= 4 / LEVEL_SAMPLES
