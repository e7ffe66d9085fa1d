"""From the prompt to runs: names of presets, Enter while something runs, prompts that a model refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QFileDialog, QInputDialog

from bridges.panel.conftest import OpenPanel
from bridges.panel.factories import HOST, outcome, session
from bridges.panel.harness import Panel, tones
from stemline import find_preset
from stemline.errors import Code, UsageError
from stemline.prompts import StemRequest, TimelinePrompt
from stemline_panel.model import request as requests
from stemline_panel.model.queue import ItemState
from stemline_panel.model.request import RunOutcome, RunRequest, run_separation
from stemline_panel.model.session import Action
from stemline_panel.model.stems import StemList


def press_enter(panel: Panel) -> None:
    edit = panel.window.prompt.prompt.edit
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key_Return)


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_preset_and_then_another_prompt_do_not_save_under_the_name_of_the_preset(
    open_panel: OpenPanel, tmp_path: Path
) -> None:
    panel = open_panel(tones(tmp_path / "camera.wav")).ready()
    panel.session.settings.model = "noop"
    dialogue = find_preset("Dialogue")
    panel.window.prompt.prompt.preset_chosen.emit(dialogue)
    assert [stem.name for stem in panel.session.stems.requests()] == ["dialogue"]
    item = panel.separate("rain")
    panel.until(lambda: panel.primary_label == "Save the stems")
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    assert sorted(path.name for path in (tmp_path / "camera stems").glob("*.wav")) == [
        "camera.rain.wav",
        "camera.residual.wav",
    ]


def test_own_presets_hold_amounts_and_are_exchanged_as_files(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = open_panel(tones(tmp_path / "camera.wav")).ready()
    panel.session.settings.model = "noop"
    panel.separate("fridge hum")
    panel.until(lambda: len(panel.playback.levels) == 3)
    panel.window.results.faders["fridge hum"].slider.setValue(-14)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("Quiet fridge", True))
    line = panel.window.prompt.prompt
    line.save_wanted.emit()
    assert find_preset("quiet fridge").amounts == {"fridge hum": -14.0}
    exchanged = str(tmp_path / "show.json")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (exchanged, ""))
    line.export_wanted.emit()
    line.remove_wanted.emit("Quiet fridge")
    titles = [action.text() for action in line.presets_menu().actions()]
    assert titles[0] == "Dialogue"
    assert "Quiet fridge" not in titles
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (exchanged, ""))
    line.import_wanted.emit()
    chosen = next(action for action in line.presets_menu().actions() if action.text() == "Quiet fridge")
    panel.type("other")
    chosen.trigger()
    assert [stem.name for stem in panel.session.stems.requests()] == ["fridge hum"]
    panel.session.settings.quality = "fast"
    item = panel.separate("fridge hum")
    assert item.amounts == {"fridge hum": -14.0}, "the result starts with the amounts of the preset"
    (tmp_path / "show.json").write_text("{", encoding="utf-8")
    line.import_wanted.emit()
    assert "is not a file of presets" in panel.window.status_text


def test_the_queue_is_reordered_and_runs_again(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    notified: list[str] = []
    monkey = panel.window.notify
    panel.window.notify = lambda title, text: notified.append(text)  # type: ignore[method-assign]
    for text in ("sleep:2", "one", "two"):
        panel.type(text)
        press_enter(panel)
    panel.key(Qt.Key_K, Qt.ControlModifier)
    panel.until(lambda: panel.session.queue.running)
    assert panel.window.drawer.show_queue.text() == "Queue (2 waiting)"
    two = list(panel.session.queue)[-1]
    panel.click(panel.window.queue.row(two.number).earlier)
    assert [item.request.stems[0].name for item in panel.session.queue] == ["sleep 2", "two", "one"]
    panel.ended()
    assert notified == ["Isolate one in a.wav: " + list(panel.session.queue)[-1].status], "once, at the end"
    panel.click(panel.window.queue.row(two.number).retry)
    panel.until(lambda: two.state is ItemState.DONE)
    assert two.outcome is not None
    panel.window.notify = monkey  # type: ignore[method-assign]


def test_a_name_belongs_to_its_text_unless_the_user_typed_it() -> None:
    stems = StemList()
    stems.replace((("dialogue", "speech"),))
    stems.current.text = "rain"
    assert stems.current.name == "rain"
    stems.current.text = "speech"
    assert stems.current.name == "dialogue", "back to the preset"
    stems.rename(0, "Anna")
    stems.current.text = "rain"
    assert stems.current.name == "Anna"
    stems.rename(0, "")
    assert stems.current.name == "rain"
    stems.load([StemRequest("dialogue", TimelinePrompt("speech"))], {})
    stems.current.text = "wind"
    assert stems.current.name == "wind", "the same for the stems of an earlier run"


# -- queue -------------------------------------------------------------------------------------------------------------


def test_enter_during_a_run_queues_the_next(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.type("sleep:2")
    press_enter(panel)
    panel.until(lambda: panel.session.queue.running)
    panel.type("beep")
    press_enter(panel)
    assert [item.request.stems[0].name for item in panel.session.queue] == ["sleep 2", "beep"]
    assert panel.session.primary_action().action is Action.NOTHING, "it is in the queue"
    press_enter(panel)
    assert len(panel.session.queue) == 2
    assert panel.window.status_text == "This request is already in the queue."
    panel.ended()
    assert [item.state for item in panel.session.queue] == [ItemState.DONE] * 2
    press_enter(panel)
    assert len(panel.session.queue) == 2
    assert panel.window.status_text == "This is already separated; see the result."


# -- prompts that a model refuses --------------------------------------------------------------------------------------


def test_one_unknown_word_does_not_fail_the_other_stems(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.type("gnirps qwarf")
    panel.click(panel.window.prompt.stems.add)
    item = panel.separate("speech")
    assert item.state is ItemState.DONE, item.status
    assert item.outcome is not None
    assert [track.stem for track in item.outcome.tracks] == ["speech", "residual"]
    assert [stem.name for stem in item.outcome.refused] == ["gnirps qwarf"]
    assert "1 not understood" in item.status
    assert "gnirps qwarf: " in panel.window.results.notices.text()
    assert "Writes 2 files (speech, residual)" in panel.window.results.apply.toolTip()
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    assert sorted(path.name for path in (tmp_path / "a stems").glob("*.wav")) == ["a.residual.wav", "a.speech.wav"]


@pytest.mark.parametrize(
    ("texts", "unknown", "made"),
    [
        (("rain", "rainstick"), {"rainstick"}, ["rain"]),
        (("rain", "rainstick"), {"rain"}, ["rainstick"]),
        (("a", "b", "c"), {"a", "c"}, ["b"]),
        (("rain",), {"rain"}, None),
        (("rain", "wind"), {"rain", "wind"}, None),
    ],
)
def test_refused_stems_are_left_out_while_another_remains(
    monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...], unknown: set[str], made: list[str] | None
) -> None:
    class Run:
        def __init__(self, stems: tuple[StemRequest, ...]) -> None:
            self._stems = stems

        def follow(self, *_: object) -> Run:
            return self

        def result(self) -> RunOutcome:
            for stem in self._stems:
                if stem.prompt.text in unknown:
                    raise UsageError(f"This model doesn't know '{stem.prompt.text}'.", code=Code.PROMPT_UNKNOWN)
            return outcome(request())

    def request() -> RunRequest:
        asked = session()
        asked.stems.add("rain")
        return replace(asked.request(), stems=tuple(StemRequest(text, TimelinePrompt(text)) for text in texts))

    monkeypatch.setattr(requests, "plan_host", lambda host, stems, *_, **__: Run(stems))

    def separate() -> RunOutcome:
        return run_separation(request(), HOST, lambda _: None, lambda: False)

    if made is None:
        with pytest.raises(UsageError, match="doesn't know"):
            separate()
    else:
        assert [stem.name for stem in separate().stems] == made


# -- messages ----------------------------------------------------------------------------------------------------------


def test_opening_is_not_shown_after_it_failed(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    (tmp_path / "broken.mp4").write_bytes(b"no sound")
    panel.director.open(tmp_path / "broken.mp4")
    assert panel.window.status_text == "Opening broken.mp4…"
    panel.until(panel.window.banner.isVisible)
    assert panel.window.status_text == ""


def test_applying_is_not_shown_after_it_failed(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.separate("beep")
    (tmp_path / "a stems").write_text("a file where the folder should be", encoding="utf-8")
    panel.trigger_primary()
    assert panel.window.status_text == "Applying…"
    panel.until(panel.window.banner.isVisible)
    assert panel.window.status_text == ""


@pytest.mark.parametrize("name", ["film.kdenlive", "film.mlt", "film.prproj", "film.fcpxml", "FILM.DRP"])
def test_a_project_file_is_not_called_damaged_media(open_panel: OpenPanel, tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    project.write_text("<?xml version='1.0'?><mlt/>", encoding="utf-8")
    panel = open_panel(project)
    panel.until(panel.window.banner.isVisible)
    text = panel.window.banner.text()
    assert name in text
    assert "cannot read edits of the type" in text
    assert "xport" in text, "it says what to do"


def test_the_badge_names_the_model_that_will_run(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    badge = panel.window.clip_bar.server
    assert badge.status == "embedded"
    panel.session.settings.model = "noop"
    panel.director.requests.changed.emit()
    assert badge.status == "noop"
    panel.session.settings.model = ""
    panel.director.requests.changed.emit()
    assert badge.status == "embedded"


def test_a_long_run_tells_time_and_disk_before_it_starts(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "long.wav", seconds=80)).ready()
    panel.session.settings.model = "noop"
    hint = panel.window.prompt._hint
    panel.type("rain")
    panel.until(lambda: hint.text().startswith("Takes "))
    assert "MB on the disk (" in hint.text() and " free)" in hint.text()
    panel.separate("rain")
    assert not hint.text().startswith("Takes "), "the button applies now"
    panel.type("rain again")
    panel.until(lambda: hint.text().startswith("Takes about 1 min and "))
