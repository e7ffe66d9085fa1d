"""Undo and redo, shuttling, key sets, dragging stems out, and what the spectrogram shows under the mouse."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeySequence

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import RATE, tones
from stemline.clips import MediaSource
from stemline.media import open_audio
from stemline_panel.model.marks import Sign
from stemline_panel.model.session import Verb
from stemline_panel.model.shortcuts import KEY_SETS, SHORTCUTS, keys_of
from stemline_panel.sound.spectrogram import BANDS, LOWEST_HZ, Spectrogram, frequency_at, level_of
from stemline_panel.widgets.actions import set_keys


def test_everything_is_undone_and_redone_in_order(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    before = sorted(tmp_path.rglob("*.wav"))
    panel.type("beep")
    panel.select(5, 6)
    panel.key(Qt.Key_M)
    panel.key(Qt.Key_T, Qt.ControlModifier)
    panel.click(panel.window.prompt.stems.add)
    panel.type("rain")
    panel.key(Qt.Key_Backspace, Qt.ControlModifier)
    assert [entry.text for entry in panel.session.stems] == ["beep"]

    def undo() -> None:
        panel.key(Qt.Key_Z, Qt.ControlModifier)

    undo()
    assert [entry.text for entry in panel.session.stems] == ["beep", "rain"]
    undo()
    undo()
    assert [entry.text for entry in panel.session.stems] == ["beep"]
    assert str(panel.session.verb) == str(Verb.REMOVE)
    undo()
    assert str(panel.session.verb) == str(Verb.ISOLATE)
    undo()
    assert not len(panel.session.stems.current.marks)
    while panel.session.stems.current.text:
        undo()
    assert panel.window.prompt.prompt.edit.text() == ""
    undo()
    assert panel.window.status_text == "There is nothing to undo."
    for _ in range(3):
        panel.key(Qt.Key_Z, Qt.ControlModifier | Qt.ShiftModifier)
    assert panel.window.prompt.prompt.edit.text() == "beep", "what was typed in one go is one step"
    assert [mark.sign for mark in panel.session.stems.current.marks] == [Sign.PLUS]
    assert sorted(tmp_path.rglob("*.wav")) == before


def test_steps_in_another_file_are_not_undone_here(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.type("beep")
    panel.director.open(tones(tmp_path / "b.wav"))
    panel.until(lambda: panel.session.clip is not None and panel.session.clip.name.startswith("b"))
    panel.key(Qt.Key_Z, Qt.ControlModifier)
    assert panel.window.status_text == "There is nothing to undo."
    assert panel.session.stems.current.text == "beep"


def test_an_apply_and_a_fader_are_undone(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    item = panel.separate("beep")
    panel.until(lambda: len(panel.playback.levels) == 3)
    panel.window.results.faders["beep"].slider.setValue(-12)
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    panel.key(Qt.Key_Z, Qt.ControlModifier)
    panel.until(lambda: item.applied is None)
    assert not list((tmp_path / "a stems").glob("*.wav"))
    panel.key(Qt.Key_Z, Qt.ControlModifier)
    assert item.amounts == {}
    assert panel.window.results.faders["beep"].value.text() == "0 dB"
    panel.key(Qt.Key_Y, Qt.ControlModifier)
    assert item.amounts == {"beep": -12.0}
    panel.key(Qt.Key_Y, Qt.ControlModifier)
    panel.until(lambda: item.applied)
    assert (tmp_path / "a stems" / "a.remix.wav").is_file()


def test_jkl_plays_faster_and_backwards(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    panel = open_panel(media).ready()
    with open_audio(MediaSource(str(media))) as reader:
        mix = reader.read(0, 12 * RATE)
    panel.playback.seek(Fraction(5))
    panel.key(Qt.Key_L)
    panel.key(Qt.Key_L)
    assert panel.window.transport.play.text() == "▶ 2×"
    heard = panel.sink.hear(2048)
    start = 5 * RATE
    found = [
        np.abs(heard[1024:1536, 0] - mix[0, at : at + 1024].reshape(-1, 2).mean(1)).max()
        for at in range(start, start + RATE // 4)
    ]
    assert min(found) < 1e-6, "each sample is the mean of two"
    panel.key(Qt.Key_K)
    assert not panel.plays()
    panel.playback.seek(Fraction(6))
    panel.window.transport.matched.setChecked(False)
    panel.key(Qt.Key_J)
    heard = panel.sink.hear(2048)
    backwards = mix[0, : 6 * RATE][::-1]
    assert np.allclose(heard[1024:, 0], backwards[1024:2048], atol=1e-6)
    assert panel.playback.playhead < 6
    panel.key(Qt.Key_K)
    panel.key(Qt.Key_Space)
    assert panel.playback.player.speed == 1


@pytest.mark.parametrize("key_set", KEY_SETS)
def test_no_key_of_a_key_set_has_two_actions(open_panel: OpenPanel, key_set: str) -> None:
    keys = [QKeySequence(key).toString() for shortcut in SHORTCUTS for key in keys_of(shortcut, key_set)]
    assert len(keys) == len(set(keys)), sorted(key for key in keys if keys.count(key) > 1)
    assert all(keys), "Qt knows every key"
    panel = open_panel()
    set_keys(panel.director.actions, key_set)
    assert panel.director.actions["next_clip"].shortcuts()[0].toString() in keys


def test_a_dragged_stem_is_a_file_with_a_plain_name(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_videos_path", lambda: tmp_path / "Videos")
    panel = open_panel(tones(tmp_path / "camera.wav")).ready()
    panel.session.settings.model = "noop"
    item = panel.separate("beep")
    panel.until(lambda: len(panel.playback.levels) == 3)
    sounds = panel.window.results.list
    (url,) = sounds.mimeData([sounds.item(0)]).urls()
    dragged = Path(url.toLocalFile())
    assert dragged == tmp_path / "Videos" / "Stemline" / "dragged" / "camera.beep.wav"
    assert item.outcome is not None
    source = Path(item.outcome.stem_clips("file")["beep"].path)
    assert dragged.read_bytes() == source.read_bytes()
    (again,) = sounds.mimeData([sounds.item(0)]).urls()
    assert Path(again.toLocalFile()) == dragged, "the same file is not copied twice"
    dragged.write_bytes(b"changed in another program")
    (third,) = sounds.mimeData([sounds.item(0)]).urls()
    assert Path(third.toLocalFile()).name == "camera.beep-2.wav"
    shutil.rmtree(tmp_path / "Videos")


def test_the_value_under_the_mouse_is_the_level_of_a_sine_wave() -> None:
    time_s = np.arange(RATE) / RATE
    sine = (0.1 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32)  # -20 dBFS
    column = Spectrogram(RATE).columns(sine, 4)[2]
    loudest = int(column.argmax())
    hertz = frequency_at((loudest + 0.5) / BANDS, 20000.0)
    assert abs(hertz - 1000) < 40
    assert abs(float(level_of(int(column[loudest]), hertz).split()[0]) + 20) <= 1
    assert frequency_at(0.0, 20000.0) == LOWEST_HZ
    assert level_of(0, 1000.0) == "below -78 dBFS"
