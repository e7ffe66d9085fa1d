"""From the prompt to runs: names of presets, Enter while something runs, prompts that a model refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

from bridges.panel.conftest import OpenPanel
from bridges.panel.factories import HOST, outcome, session
from bridges.panel.harness import Panel, tones
from stemline.errors import Code, UsageError
from stemline.prompts import StemRequest, TimelinePrompt
from stemline_panel.model import request as requests
from stemline_panel.model.history import PRESETS
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
    dialogue = next(preset for preset in PRESETS if preset.title == "Dialogue")
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
