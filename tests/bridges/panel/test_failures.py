"""A missing or killed server, missing packages, and uncaught exceptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QKeySequence
from PyQt5.QtTest import QTest
from PyQt5.QtWidgets import QAction, QLabel

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import tones
from stemline.client import find_private, stop_private
from stemline.paths import cache_dir
from stemline_panel.model.queue import ItemState
from stemline_panel.model.session import Action
from stemline_panel.model.shortcuts import SHORTCUTS
from stemline_panel.widgets.badge import Health
from stemline_panel.widgets.shortcut_dialog import ShortcutDialog


@pytest.fixture
def own_server(open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use a separate server for a test that kills it."""
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path / "cache"))
    yield
    stop_private(timeout_s=60)


def test_a_missing_server_is_shown_and_the_button_connects(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav"), server="127.0.0.1:9")
    panel.until(lambda: panel.window.clip_bar.server.health is Health.BAD)
    assert panel.window.clip_bar.server.status == "no server"
    assert "127.0.0.1:9" in panel.window.clip_bar.server.toolTip()
    assert panel.window.clip_bar.server.fix.isVisible()
    panel.until(lambda: panel.playback.clip)
    assert panel.session.primary_action().action is Action.CONNECT
    panel.trigger_primary()
    assert panel.window.clip_bar.server.health is Health.WAITING
    panel.until(lambda: panel.window.clip_bar.server.health is Health.BAD)


@pytest.mark.usefixtures("own_server")
def test_a_killed_server_is_restarted_and_the_run_finishes(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.type("sleep:3")
    panel.trigger_primary()
    panel.until(lambda: panel.session.queue.running and panel.session.queue.running.fraction > 0)
    server = find_private()
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    assert panel.ended().state is ItemState.DONE


def test_an_empty_request_is_refused_with_a_message(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    edit = panel.window.prompt.prompt.edit
    edit.setFocus()
    QTest.keyClick(edit, Qt.Key_Return)
    assert (
        panel.window.status_text
        == "Name a sound or mark it. Type words such as 'dog barking', or select a sound and mark it."
    )
    assert not len(panel.session.queue)


def test_missing_packages_are_reported_with_the_install_command(tmp_path: Path) -> None:
    hidden = tmp_path / "PyQt5"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError('No module named PyQt5')", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", "stemline", "panel"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "pip install" in ended.stderr
    assert "[panel]" in ended.stderr


def test_host_mode_started_by_hand_explains_itself() -> None:
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "stemline", "panel", "--host"]
    ended = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False, timeout=180)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 2
    assert "is started by a host program" in ended.stderr


def test_an_uncaught_exception_does_not_end_the_window() -> None:
    """Without the crash handler Qt ends the process at once."""
    script = """
import sys
from PyQt5.QtCore import QCoreApplication, QTimer
from stemline_panel.crash_handler import install_crash_handler

app = QCoreApplication([])
install_crash_handler(print)
timer = QTimer()
timer.timeout.connect(lambda: 1 / 0)
timer.start(0)
QTimer.singleShot(20, lambda: print("alive"))
QTimer.singleShot(21, app.quit)
sys.exit(app.exec_())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr
    shown, alive = ended.stdout.splitlines()
    (saved,) = (cache_dir() / "faults").iterdir()
    assert shown.endswith(f"(ZeroDivisionError). Report it with the file {saved}.")
    assert alive == "alive"
    assert "division by zero" in saved.read_text(encoding="utf-8")
    assert ended.stderr.count("Uncaught exception") == 1


def test_every_shortcut_is_bound_and_listed(open_panel: OpenPanel) -> None:
    panel = open_panel()
    bound = {key.toString() for action in panel.window.findChildren(QAction) for key in action.shortcuts()}
    for short in SHORTCUTS:
        for key in short.keys:
            assert QKeySequence(key).toString() in bound, key
    shown = ShortcutDialog(panel.window)
    words = {label.text() for label in shown.findChildren(QLabel)}
    assert {short.label for short in SHORTCUTS if not short.action.startswith("layer_")} <= words
    shown.deleteLater()
