"""Chips of sounds: a click makes the prompt and the marks, at times of the timeline, and a failure is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel, tones
from stemline.clips import TimeRange
from stemline_panel.model.marks import Sign
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import FunctionTagger, SampleRange, SoundTag, TaggedSpan, serve_engines


@pytest.fixture
def tagging_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server whose tagger hears a dog in the second second and rain everywhere."""

    def hear(mix: object, rate: int) -> list[SoundTag]:
        dog = SoundTag("dog", (TaggedSpan(SampleRange(rate, 2 * rate), 0.8),))
        return [dog, SoundTag("rain", (TaggedSpan(SampleRange(0, 2 * rate), 0.5),))]

    with serve_engines(NoopEngine(), state=tmp_path / "state", taggers=[FunctionTagger(hear)]) as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        yield server.address


def ask(panel: Panel, server: str) -> None:
    panel.session.server = server
    panel.window.prompt.suggestions.ask.click()
    panel.until(panel.window.prompt.suggestions.ask.isEnabled)


def test_a_chip_becomes_the_prompt_with_marks_and_with_shift_without(
    open_panel: OpenPanel, tagging_server: str, tmp_path: Path
) -> None:
    panel = open_panel(tones(tmp_path / "camera.wav")).ready()
    ask(panel, tagging_server)
    dog, rain = panel.window.prompt.suggestions.chips
    assert (dog.text(), rain.text()) == ("dog 80%", "rain 50%")
    dog.click()
    current = panel.session.stems.current
    assert panel.window.prompt.prompt.edit.text() == current.text == "dog"
    assert current.marks.ranges(Sign.PLUS) == (TimeRange(Fraction(1), Fraction(2)),)
    QTest.mouseClick(rain, Qt.LeftButton, Qt.ShiftModifier)
    assert [stem.prompt.text for stem in panel.session.stems.requests()] == ["dog", "rain"]
    assert len(panel.session.stems.current.marks) == 0


def test_a_server_that_is_gone_is_one_sentence_and_the_button_works_again(
    open_panel: OpenPanel, tmp_path: Path
) -> None:
    panel = open_panel(tones(tmp_path / "camera.wav")).ready()
    ask(panel, "127.0.0.1:1")
    assert "127.0.0.1:1" in panel.window.status_text
    assert panel.window.prompt.suggestions.chips == []
