"""Room tone and files in the place of a removed sound, chosen beside each stem."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QApplication, QDialog, QFileDialog, QLineEdit, QMessageBox

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import RATE, Panel, tones
from stemline.clips import MediaSource
from stemline.media import open_audio
from stemline.workflow.derived_tracks import KEPT, REMIX
from stemline.workflow.replacing import Replace
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_panel.widgets.fill_choice import FILE, NOTHING, OPTIONS, ROOM_TONE, WORDS, FillChoice
from stemline_panel.widgets.fill_dialog import FillDialog


def edit_of(sound: Path) -> Path:
    """Write an edit with one clip of 12 seconds of a file."""
    length = otio.opentime.TimeRange(otio.opentime.RationalTime(0, 25), otio.opentime.RationalTime(300, 25))
    clip = otio.schema.Clip("beeps", otio.schema.ExternalReference(sound.as_uri(), length), length)
    timeline = otio.schema.Timeline("film")
    timeline.tracks.append(otio.schema.Track("A1", [clip], kind=otio.schema.TrackKind.Audio))
    edit = sound.with_suffix(".otio")
    otio.adapters.write_to_file(timeline, str(edit))
    return edit


def choose(choice: FillChoice, kind: str) -> None:
    """Choose a line as a user does."""
    index = choice.findData(kind)
    choice.setCurrentIndex(index)
    choice.activated[int].emit(index)


def filled(panel: Panel, kind: str) -> QueueItem:
    """Separate the beeps of a file, with a fill in their place."""
    panel.type("beep")
    choose(panel.window.prompt.stems.fills[0], kind)
    panel.until(lambda: panel.session.server_ready)
    panel.trigger_primary()
    item = panel.done()
    panel.until(lambda: panel.playback.levels)
    return item


def read(path: Path, start: int, end: int) -> np.ndarray:
    with open_audio(MediaSource(str(path))) as reader:
        return reader.read(start, end)


def test_room_tone_takes_the_place_and_is_heard_and_saved(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    item = filled(panel, ROOM_TONE)
    assert item.outcome is not None
    assert item.request.settings.replace == {"beep": Replace()}
    assert item.request.title == "Isolate beep in a.wav, filled"
    layers = list(panel.playback.player.layers)
    assert layers == ["mix", "beep", "residual", KEPT, "fill beep", REMIX], item.outcome.result.notices
    assert list(panel.window.results.faders) == ["beep", "residual"]
    assert panel.window.results.faders["beep"].value.text() == "Off", "the removed sound is not part of the remix"
    panel.window.transport.matched.setChecked(False)
    files = {name: Path(clip.path) for name, clip in item.outcome.stem_clips(item.request.clips[0].clip_id).items()}
    panel.playback.seek(Fraction(5))
    panel.director.results.choose(REMIX)
    panel.key(Qt.Key_Space)
    heard = panel.sink.hear(4096)[1024:]
    expected = sum(read(files[name], 5 * RATE + 1024, 5 * RATE + 4096) for name in (KEPT, "fill beep"))
    assert np.allclose(heard, np.asarray(expected).T, atol=1e-6)
    panel.key(Qt.Key_Space)
    assert "Writes 4 files (beep, residual, residual.kept, fill beep)" in panel.window.prompt.primary.toolTip()
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    saved = sorted(path.name for path in (tmp_path / "a stems").glob("*.wav"))
    assert saved == ["a.beep.wav", "a.fill beep.wav", "a.residual.kept.wav", "a.residual.wav"]


def test_other_amounts_leave_the_removed_sound_off(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    item = filled(panel, ROOM_TONE)
    panel.window.results.faders["residual"].slider.setValue(-6)
    outcome = item.outcome_to_apply
    assert outcome is not None
    assert outcome.settings.remix == {"beep": -math.inf, "residual": -6.0}
    panel.window.results.faders["beep"].slider.setValue(-20)
    QTest.mouseDClick(panel.window.results.faders["beep"].slider, Qt.LeftButton)
    assert item.amounts == {"residual": -6.0}
    panel.until(lambda: "5 files" in panel.window.prompt.primary.toolTip())
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    folder = tmp_path / "a stems"
    kept = read(folder / "a.residual.kept.wav", 0, 12 * RATE)
    assert np.abs(read(folder / "a.remix.wav", 0, 12 * RATE) - kept * 10 ** (-6 / 20)).max() < 2**-23


def test_missing_room_tone_is_said_in_the_result(open_panel: OpenPanel, tmp_path: Path) -> None:
    """The noop model takes half of everything, so that the sound never pauses."""
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    filled(panel, ROOM_TONE)
    assert "fill beep: No room tone was found" in panel.window.results.notices.text()
    assert "fill beep" not in panel.playback.player.layers


def test_a_file_is_chosen_and_a_cancelled_choice_changes_nothing(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    sound = tones(tmp_path / "other.wav", seconds=4)
    answers = iter([(str(sound), ""), ("", "")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: next(answers))
    item = filled(panel, FILE)
    assert item.request.settings.replace == {"beep": Replace(path=str(sound))}
    assert list(panel.playback.player.layers) == ["mix", "beep", "residual", "fill beep", REMIX]
    choice = panel.window.prompt.stems.fills[0]
    assert choice.currentText() == "other.wav"
    choose(choice, FILE)
    assert choice.currentText() == "other.wav"
    choose(choice, NOTHING)
    assert not panel.session.request().settings.replace
    panel.window.queue.reuse_wanted.emit(item.number)
    assert choice.currentText() == "other.wav", "an earlier run brings its choice back"


def test_the_next_panel_and_a_refused_stem_keep_the_choices(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    first = open_panel(media).ready()
    first.type("beep")
    choose(first.window.prompt.stems.fills[0], ROOM_TONE)
    first.click(first.window.prompt.stems.add)
    first.type("gnirps qwarf")
    choose(first.window.prompt.stems.fills[1], ROOM_TONE)
    first.trigger_primary()
    item = first.done()
    assert item.outcome is not None
    assert [stem.name for stem in item.outcome.refused] == ["gnirps qwarf"]
    assert "fill beep" in item.outcome.stem_clips(item.request.clips[0].clip_id)
    first.director.close()
    second = open_panel(media).ready()
    second.until(lambda: len(second.session.queue) == 1)
    restored = second.ended()
    assert restored.state is ItemState.DONE
    assert list(restored.request.settings.replace) == ["beep", "gnirps qwarf"]


def test_the_choice_is_reached_by_keyboard(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.type("beep")
    panel.window.prompt.stems.list.setFocus()
    QTest.keyClick(panel.window.prompt.stems.list, Qt.Key_Tab)
    choice = panel.window.prompt.stems.fills[0]
    assert QApplication.focusWidget() is choice
    assert choice.accessibleName() == "In place of beep"
    QTest.keyClick(choice, Qt.Key_Down)
    assert panel.session.request().settings.replace == {"beep": Replace()}
    assert panel.window.prompt.stems.fills[0] is choice, "the choice under the keyboard is not replaced"


def test_a_stem_is_renamed_beside_its_choice(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.type("beep")
    stems = panel.window.prompt.stems
    choose(stems.fills[0], ROOM_TONE)
    stems.list.setFocus()
    QTest.keyClick(stems.list, Qt.Key_F2)
    editor = stems.list.findChild(QLineEdit)
    assert editor is not None
    editor.selectAll()
    QTest.keyClicks(editor, "alarm")
    QTest.keyClick(editor, Qt.Key_Return)
    panel.until(lambda: panel.session.request().settings.replace == {"alarm": Replace()}, 20)
    assert stems.fills[0].accessibleName() == "In place of alarm"


def answer(monkeypatch: pytest.MonkeyPatch, *fields: dict[str, object]) -> None:
    """Fill the dialogs that open next, one after the other, and accept them; None cancels."""
    answers = iter(fields)

    def execute(dialog: FillDialog) -> int:
        given = next(answers)
        for name, value in given.items():
            widget = getattr(dialog, name)
            if hasattr(widget, "setText"):
                widget.setText(value)
            elif hasattr(widget, "setValue"):
                widget.setValue(value)
            else:
                widget.setCurrentIndex(widget.findData(value))
        if not given:
            return int(QDialog.Rejected)
        dialog.accept()
        return dialog.result()

    monkeypatch.setattr(FillDialog, "exec_", execute)


def test_words_are_typed_and_their_takes_are_heard(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    answer(monkeypatch, {"words": "soft rain", "generator": "noop", "takes": 2, "gain": -3.0})
    item = filled(panel, WORDS)
    assert item.outcome is not None
    expected = Replace(words="soft rain", generator="noop", takes=2, gain_db=-3.0)
    assert item.request.settings.replace == {"beep": expected}
    assert panel.window.prompt.stems.fills[0].currentText() == "soft rain"
    layers = list(panel.playback.player.layers)
    assert layers == ["mix", "beep", "residual", "fill beep", "fill beep take 2", REMIX], item.outcome.result.notices
    files = {name: Path(clip.path) for name, clip in item.outcome.stem_clips(item.request.clips[0].clip_id).items()}
    assert files["fill beep"].read_bytes() != files["fill beep take 2"].read_bytes()
    panel.director.results.choose("fill beep take 2")
    panel.window.transport.matched.setChecked(False)
    panel.playback.seek(Fraction(5))
    panel.key(Qt.Key_Space)
    heard = panel.sink.hear(4096)[1024:]
    assert np.allclose(heard, read(files["fill beep take 2"], 5 * RATE + 1024, 5 * RATE + 4096).T, atol=1e-6)
    panel.key(Qt.Key_Space)


def test_one_take_is_picked_heard_in_its_place_and_undone(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.until(lambda: panel.director.server.generators)
    answer(monkeypatch, {"words": "soft rain", "generator": "noop", "takes": 3})
    item = filled(panel, WORDS)
    assert item.outcome is not None
    files = {name: Path(clip.path) for name, clip in item.outcome.stem_clips(item.request.clips[0].clip_id).items()}
    panel.window.transport.matched.setChecked(False)
    strips = panel.window.results.strips
    takes = ["fill beep", "fill beep take 2", "fill beep take 3"]

    def used() -> list[bool]:
        return [strips[name].take.isChecked() for name in takes]

    def plays_in_place(take: str) -> bool:
        panel.playback.seek(Fraction(5))
        panel.key(Qt.Key_Space)
        heard = panel.sink.hear(4096)[1024:]
        panel.key(Qt.Key_Space)
        parts = [read(files[name], 5 * RATE + 1024, 5 * RATE + 4096) for name in ("residual", take)]
        return np.allclose(heard, sum(parts).T, atol=1e-6)  # type: ignore[union-attr]

    assert used() == [True, False, False] and strips["residual"].take.isHidden()
    panel.director.results.choose(REMIX)
    assert plays_in_place("fill beep"), "the other takes are not in the sum"
    panel.click(strips["fill beep take 3"].take)
    assert used() == [False, False, True] and panel.choice == REMIX
    assert plays_in_place("fill beep take 3")
    assert panel.session.queue.item(item.number) is item
    outcome = item.outcome_to_apply
    assert outcome is not None and not outcome.settings.remix, "a take is no amount"
    assert outcome.playing() == {"residual", "fill beep take 3"}
    panel.key(Qt.Key_Z, Qt.ControlModifier)
    assert used() == [True, False, False]


def test_the_chosen_take_is_the_enabled_track_of_the_edit(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(edit_of(tones(tmp_path / "a.wav", rate=RATE))).ready()
    answer(monkeypatch, {"words": "soft rain", "generator": "noop", "takes": 2})
    item = filled(panel, WORDS)
    panel.click(panel.window.results.strips["fill beep take 2"].take)
    panel.until(lambda: "Enabled: residual, fill beep take 2." in panel.window.prompt.primary.toolTip())
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    enabled = {track.stem: track.enabled for track in panel.session.applied_tracks}
    assert enabled == {"beep": False, "residual": True, "fill beep": False, "fill beep take 2": True}


def test_options_change_the_fill_and_a_cancelled_dialog_changes_nothing(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.type("beep")
    choice = panel.window.prompt.stems.fills[0]
    assert choice.findData(OPTIONS) < 0, "there is nothing to change yet"
    choose(choice, ROOM_TONE)
    answer(monkeypatch, {"gain": -6.0, "mode": "under"}, {}, {})
    choose(choice, OPTIONS)
    changed = Replace(gain_db=-6.0, instead=False)
    assert panel.session.request().settings.replace == {"beep": changed}
    choose(choice, OPTIONS)
    choose(choice, WORDS)
    assert panel.session.request().settings.replace == {"beep": changed}
    assert choice.currentText() == "Room tone"


def test_the_dialog_says_why_words_cannot_be_used(open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    open_panel()
    said: list[str] = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: said.append(arguments[2]))
    dialog = FillDialog("beep", Replace(), [], from_words=True)
    dialog.words.setText("rain " * 400)
    dialog.accept()
    assert dialog.result() == QDialog.Rejected
    assert "characters" in said[0]


def test_the_dialog_takes_a_range_to_learn_room_tone_from(
    open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_panel()
    said: list[str] = []
    monkeypatch.setattr(QMessageBox, "warning", lambda *arguments: said.append(arguments[2]))
    dialog = FillDialog("beep", Replace(), [], from_words=False)
    dialog.room_from.setText("15..12")
    dialog.accept()
    assert "end after it starts" in said[0]
    dialog.room_from.setText("12..15.5")
    dialog.accept()
    assert dialog.result() == QDialog.Accepted
    assert dialog.chosen().room_from == (Fraction(12), Fraction(31, 2))
    assert FillDialog("beep", dialog.chosen(), [], from_words=False).room_from.text() == "12..15.5"
