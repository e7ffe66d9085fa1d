"""A panel without a display, on a real private server."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before the first import of Qt

from PyQt5.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from bridges.panel.harness import FakeSink, Panel, tones
from hosts.remote.running import FakeHostRunner, write_wav
from stemline_panel.app import Launch, build
from stemline_panel.theme import apply_theme
from stemline_panel.user_data import UserData

OpenPanel = Callable[..., Panel]


@pytest.fixture
def open_panel(
    qapp: QApplication, qtbot: QtBot, shared_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenPanel]:
    """Return a function that opens panels as `stemline panel` does. All their threads end with the test."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    apply_theme(qapp)
    opened: list[Panel] = []

    def open_one(path: Path | None = None, *, sink: FakeSink | None = None, **launch: object) -> Panel:
        sink = sink or FakeSink()
        user_data = UserData.at(tmp_path / "kept")
        director = build(Launch(str(path) if path else None, **launch), sink, user_data)  # type: ignore[arg-type]
        director.window.resize(1280, 820)
        director.window.show()
        panel = Panel(director, qtbot, sink)
        opened.append(panel)
        return panel

    yield open_one
    for panel in opened:
        panel.close()
    for thread in threading.enumerate():
        if thread.name.startswith("stemline-panel"):
            thread.join(60)
            assert not thread.is_alive(), f"{thread.name} did not end"


@pytest.fixture
def runner(tmp_path: Path) -> FakeHostRunner:
    folder = tmp_path / "spät & früh"
    folder.mkdir()
    return FakeHostRunner(
        folder, [tones(folder / "voice ü.wav", channels=1), write_wav(folder / "music.wav", 44100, 2, 2)]
    )
