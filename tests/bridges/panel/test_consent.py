"""A line about consent that nags, stays away, or appears for a dog."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline_panel.model.stems import names_person


@pytest.mark.parametrize(
    "text", ["the voice of Anna", "Anna\u2019s voice", "Ben speaking", "president Obama speech", "Dr. Who"]
)
def test_prompts_that_name_a_person_are_seen(text: str) -> None:
    assert names_person(text)


@pytest.mark.parametrize(
    "text", ["", "speech", "voice of a woman", "Man speaking", "woman's voice", "Dog Barking", "rain"]
)
def test_other_prompts_are_left_alone(text: str) -> None:
    assert not names_person(text)


def test_the_line_is_shown_once_and_dismissed_for_good(open_panel: OpenPanel, tmp_path: Path) -> None:
    file = tones(tmp_path / "a.wav", channels=1)
    panel = open_panel(file)
    box = panel.director.window.prompt
    for text, shown in (("rain", False), ("Anna's voice", True), ("voice", False), ("Anna's voice", True)):
        box.prompt.edited.emit(text)
        assert box.consent.isHidden() is not shown
    box.consent_dismissed.emit()
    box.prompt.edited.emit("Ben's voice")
    assert box.consent.isHidden()
    panel.close()
    again = open_panel(file)
    again.director.window.prompt.prompt.edited.emit("Anna's voice")
    assert again.director.window.prompt.consent.isHidden()
