"""A folder that the panel watches."""

from __future__ import annotations

from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QFileDialog

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline import WatchEvent, WatchState


def test_what_appears_in_a_watched_folder_is_separated_until_it_is_stopped(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "from Resolve"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.key(Qt.Key_W, Qt.ControlModifier | Qt.ShiftModifier)
    assert panel.window.status_text == "Type what to make of each file first, or choose a preset."
    panel.type("beep")
    panel.key(Qt.Key_W, Qt.ControlModifier | Qt.ShiftModifier)
    events: list[WatchEvent] = []
    panel.director.watching.changed.connect(events.append)
    tones(folder / "new.wav")
    panel.until(lambda: events and events[-1].state is WatchState.DONE)
    assert {path.name for path in (folder / "Stemline").rglob("*.wav")} == {"new.beep.wav", "new.residual.wav"}
    assert "new.wav is done" in panel.window.status_text
    panel.key(Qt.Key_W, Qt.ControlModifier | Qt.ShiftModifier)
    panel.until(lambda: panel.window.status_text == "The folder is no longer watched.")
