"""Words before work: an unknown word is marked while typing, a proposal replaces it, and known sounds are listed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtTest import QTest

import stemline
from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel, tones
from stemline_panel.model.marks import Sign
from stemline_panel.model.settings import PanelSettings
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import serve_engines


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serve_engines(EmbeddedEngine(), NoopEngine(), state=tmp_path / "state") as running:
        monkeypatch.setenv("STEMLINE_TOKEN", running.token)
        yield running.address


@pytest.fixture
def panel(open_panel: OpenPanel, server: str, tmp_path: Path) -> Panel:
    opened = open_panel(tones(tmp_path / "camera.wav"), server=server).ready()
    opened.session.settings = PanelSettings(model="embedded")
    return opened


def marked(panel: Panel) -> bool:
    return bool(panel.window.prompt.prompt.edit.property("unknown"))


def test_an_unknown_word_is_marked_and_a_click_on_a_proposal_replaces_it(panel: Panel) -> None:
    words = panel.window.prompt.words
    panel.type("kettle")
    panel.until(lambda: marked(panel))
    assert "kettle" in words.note.text() and not words.isHidden()
    assert panel.window.prompt.prompt.edit.accessibleDescription() == words.note.text()
    assert [made.text() for made in words.proposals] == ["water", "steam", "appliance"]
    panel.click(words.proposals[0])
    assert panel.window.prompt.prompt.edit.text() == panel.session.stems.current.text == "water"
    panel.until(lambda: not marked(panel))
    assert words.isHidden() and words.proposals == []
    panel.director.undo.undo()
    assert panel.window.prompt.prompt.edit.text() == "kettle"
    panel.until(lambda: marked(panel))


def test_a_corrected_word_is_noted_without_a_mark_and_an_empty_line_says_nothing(panel: Panel) -> None:
    words = panel.window.prompt.words
    panel.type("dog barkin")
    panel.until(lambda: "taken for dog" in words.note.text())
    assert not marked(panel)
    panel.window.prompt.prompt.edit.selectAll()
    QTest.keyClick(panel.window.prompt.prompt.edit, Qt.Key_Delete)
    assert words.isHidden()


def test_marks_are_enough_for_an_unknown_sound(panel: Panel) -> None:
    panel.type("kettle")
    panel.until(lambda: marked(panel))
    panel.session.stems.current.marks.add(Sign.PLUS, Fraction(0), Fraction(1))
    panel.director.refresh()
    assert "marks alone" in panel.window.prompt.words.note.text()


def test_keys_in_quick_succession_make_one_question(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    check = stemline.check_prompt

    def note(text: str, *, model: str = "", server: str | None = None) -> stemline.PromptCheck:
        asked.append(text)
        return check(text, model=model, server=server)

    monkeypatch.setattr(stemline, "check_prompt", note)
    panel.type("kettle")
    panel.until(lambda: marked(panel))
    assert asked == ["kettle"]


def test_a_server_that_does_not_answer_leaves_the_prompt_alone(panel: Panel) -> None:
    panel.session.server = "127.0.0.1:1"
    panel.type("kettle")
    panel.bot.wait(600)
    assert not marked(panel) and panel.window.prompt.words.isHidden()


def test_the_list_of_known_sounds_is_searched_and_used(panel: Panel) -> None:
    panel.click(panel.window.prompt.known_sounds)
    panel.until(lambda: panel.director.words.dialog)
    dialog = panel.director.words.dialog
    assert dialog is not None and dialog.list.count() > 50
    QTest.keyClicks(dialog.search, "Regen")
    found = dialog.list.findItems("rain  (", Qt.MatchStartsWith)
    assert len(found) == 1 and dialog.list.count() < 10
    for _ in range(dialog.list.row(found[0])):
        QTest.keyClick(dialog.search, Qt.Key_Down)
    QTest.keyClick(dialog.search, Qt.Key_Return)
    assert panel.window.prompt.prompt.edit.text() == panel.session.stems.current.text == "rain"


def test_a_model_for_any_words_says_so_instead_of_an_empty_list(panel: Panel) -> None:
    panel.session.settings = PanelSettings(model="noop")
    panel.director.refresh()
    panel.click(panel.window.prompt.known_sounds)
    panel.until(lambda: "takes any words" in panel.window.status_text)
    assert panel.director.words.dialog is None


def test_the_note_and_the_proposals_do_not_make_the_window_grow(panel: Panel) -> None:
    panel.window.resize(1366, 1)
    before = panel.window.minimumSizeHint().height()
    panel.type("electric kettle in the kitchen of the neighbour")
    panel.until(lambda: panel.window.prompt.words.proposals)
    panel.bot.wait(50)  # the layout is done in the event loop
    assert panel.window.minimumSizeHint().height() <= before
