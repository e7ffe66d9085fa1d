"""The panel as the companion of a host program: the strict fake host on a real pipe."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtWidgets import QApplication

from bridges.panel.conftest import OpenPanel
from bridges.panel.host_harness import attended, report
from hosts.remote.running import FakeHostRunner
from stemline.companion.remote import CallTimes
from stemline_panel.model.journal import Journal, journal_entries
from stemline_panel.model.queue import ItemState
from stemline_panel.model.session import Verb
from stemline_panel.reconnect import SocketStream
from stemline_panel.widgets.badge import Health

DRIVEN = Path(__file__).parent / "scripted_panel.py"


def test_read_mark_separate_compare_apply_take_back(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        window = panel.window
        assert window.clip_bar.host.health is Health.GOOD
        assert window.clip_bar.line.text() == "voice ü 1, A1, 01:00:00:00-01:00:01:00, 25 fps, mono, 48 kHz"
        panel.select(3600.2, 3600.6)
        panel.click(window.transport.plus)
        item = panel.separate("speech")
        assert item.state is ItemState.DONE, item.status
        assert panel.primary_label == "Apply to Fake"
        assert (
            "Adds 2 tracks (speech, residual) with 1 clip. Only the stems play. The original clip will be disabled."
            in (window.prompt.primary.toolTip())
        )
        panel.until(lambda: len(panel.playback.levels) == 3)
        panel.trigger_primary()
        panel.until(lambda: item.applied)
        assert item.applied is not None
        assert item.applied.tracks == ("speech A1 (0)", "residual A1 (1)")
        assert panel.primary_label == "Applied"
        panel.click(window.results.take_back)
        panel.until(lambda: item.applied is None)
        assert panel.primary_label == "Apply to Fake"
        panel.trigger_primary()
        panel.until(lambda: item.applied)
    seen = report(runner)
    assert seen["removed"] == ["result-1"]
    assert seen["disabled"] == ["clip-1"]
    assert [track[1:] for track in seen["tracks"]] == [["speech", "A1", True], ["residual", "A1", False]]


def test_all_clips_are_applied_and_replaced(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        panel.window.clip_bar.all_toggled.emit(True)
        panel.director.requests.set_verb(Verb.REMOVE)
        first = panel.separate("hum")
        panel.trigger_primary()
        panel.until(lambda: first.applied)
        assert panel.session.queue.running is None
        second = panel.separate("buzz")
        assert panel.window.results.replace.isVisible()
        panel.click(panel.window.results.replace)
        panel.until(lambda: second.applied)
        assert first.applied is None
    seen = report(runner)
    assert seen["removed"] == ["result-1"]
    assert [(track[1], track[3]) for track in seen["tracks"]] == [
        ("buzz", False),
        ("buzz", False),
        ("residual", True),
        ("residual", True),
    ]
    assert sorted(seen["disabled"]) == ["clip-1", "clip-2", "clip-3"]


def test_the_host_renders_a_clip_with_effects(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel, render_notes=["The marks could not be put back."]) as (panel, _):
        assert not panel.director.actions["render"].isEnabled(), "no clip has been read yet"
        panel.ready()
        panel.director.actions["render"].trigger()
        panel.until(lambda: panel.session.clip and panel.session.clip.name.endswith("rendered"))
        assert panel.session.clip is not None
        assert panel.session.clip.clip_id == "clip-1"
        assert panel.window.banner.isVisible()
        assert panel.window.banner.text() == "The marks could not be put back."
    report(runner)


def test_a_host_that_quits_during_a_run_loses_no_work(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, child):
        panel.ready()
        panel.separate("speech")
        panel.type("sleep:2")
        panel.trigger_primary()
        panel.until(lambda: panel.session.queue.running)
        child.kill()
        panel.until(lambda: panel.window.clip_bar.host.health is Health.BAD)
        assert panel.window.clip_bar.host.status == "Fake has quit"
        assert "Your stems are safe" in panel.window.banner.text()
        assert not panel.window.clip_bar.reload_button.isVisible(), "no host is connected"
        item = panel.ended()
        assert item.state is ItemState.DONE, "the current run goes on"
        assert not panel.window.results.apply.isEnabled()
        panel.click(panel.window.clip_bar.host.fix)
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("voice ü.wav"))
        assert not panel.director.host.lost


def test_a_restarted_host_reconnects_to_the_open_panel(
    runner: FakeHostRunner, open_panel: OpenPanel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The menu script starts `stemline panel --host` again, and that process relays the pipe to the open window."""
    monkeypatch.setenv("STEMLINE_HOME", str(tmp_path))
    (tmp_path / "panel").symlink_to(tmp_path / "kept")
    with attended(runner, open_panel) as (panel, child):
        panel.ready()
        item = panel.separate("speech")
        child.kill()
        panel.until(lambda: panel.window.clip_bar.host.health is Health.BAD)
        again = runner.config("attend", (str(Path(sys.executable).with_name("stemline")), "panel", "--host"))
        with subprocess.Popen(runner.command(again)) as host:
            panel.until(lambda: panel.window.clip_bar.host.health is Health.GOOD)
            assert not panel.window.banner.isVisible()
            panel.until(panel.window.results.apply.isEnabled)
            panel.click(panel.window.results.apply)
            panel.until(lambda: item.applied)
            panel.director.host.close()
            assert host.wait(60) == 0
    seen = report(runner)
    assert [track[1] for track in seen["tracks"]] == ["speech", "residual"]
    assert not panel.director._user_data.reconnect_file.exists()


def test_a_result_taken_back_by_another_panel_is_noticed_on_activation(
    runner: FakeHostRunner, open_panel: OpenPanel, qapp: QApplication
) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        item = panel.separate("speech")
        panel.trigger_primary()
        panel.until(lambda: item.applied)
        noted: list[object] = []
        panel.director.runs._use_journal(lambda: None, noted.append)
        panel.until(lambda: noted)  # its own journal is written
        beside = Journal(panel.director._user_data.folder / "runs")
        beside.write(journal_entries([replace(item, applied=None)]))
        assert panel.primary_label == "Applied"
        qapp.applicationStateChanged.emit(Qt.ApplicationActive)
        panel.until(lambda: panel.primary_label == "Apply to Fake")
        assert not panel.window.results.take_back.isEnabled()
    report(runner)


def test_results_of_the_host_are_not_applied_to_an_open_file(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        item = panel.separate("speech")
        panel.director.open(runner.media[1])
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("music.wav"))
        panel.director.results.select(item.number)
        assert not panel.window.results.apply.isEnabled(), "its tracks belong to the host"
        panel.director.host.read()
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("voice ü 1"))
        panel.until(panel.window.results.apply.isEnabled)
    assert report(runner)["tracks"] == []


def test_an_unanswered_write_says_that_the_tracks_may_exist(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        item = panel.separate("speech")
        connection = panel.director.host._connection
        assert connection is not None
        connection._times = CallTimes(write_s=0.0)
        panel.trigger_primary()
        panel.until(panel.window.banner.isVisible)
        assert "The tracks speech A1, residual A1 may exist nevertheless. Look at the timeline" in (
            panel.window.banner.text()
        )
        assert item.applied is None
        assert panel.window.results.apply.isEnabled()


def test_a_panel_without_work_closes_with_its_host(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, child):
        panel.ready()
        child.kill()
        panel.until(lambda: not panel.window.isVisible())


def test_a_typed_prompt_keeps_the_window_open_when_the_host_ends(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, child):
        panel.ready()
        panel.type("speech")
        child.kill()
        panel.until(lambda: panel.window.clip_bar.host.health is Health.BAD)
        assert panel.window.isVisible()


def test_marks_of_the_host_clip_are_not_used_for_a_file(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        panel.select(3600.2, 3600.6)
        panel.click(panel.window.transport.plus)
        panel.type("speech")
        assert len(panel.session.stems.current.marks) == 1
        panel.director.host.read()
        panel.until(lambda: not panel.director.host.busy)
        assert len(panel.session.stems.current.marks) == 1, "the same document keeps them"
        panel.director.open(runner.media[1])
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("music.wav"))
        (asked,) = panel.session.request().stems
        assert (asked.prompt.text, asked.prompt.plus) == ("speech", ())


def test_an_open_file_stays_usable_when_the_host_ends(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    with attended(runner, open_panel) as (panel, child):
        panel.ready()
        panel.director.open(runner.media[1])
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("music.wav"))
        child.kill()
        panel.until(lambda: not panel.director.host.connected)
        assert panel.window.isVisible()
        assert not panel.director.host.lost
        item = panel.separate("speech")
        panel.trigger_primary()
        panel.until(lambda: item.applied)


def test_reading_before_hello_is_refused_with_one_sentence(open_panel: OpenPanel) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        panel = open_panel(streams=(SocketStream(ours), SocketStream(ours)))
        panel.director.actions["reload"].trigger()
        panel.until(panel.window.banner.isVisible)
        assert "hello" in panel.window.banner.text()
        theirs.shutdown(socket.SHUT_RDWR)
        panel.until(lambda: not panel.director.host.connected)


def test_skipped_clips_and_warnings_of_the_host_are_shown(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    skip = {"clip": "Title", "track": "A2", "record_start": "0/1", "code": "CLIP_NOT_MEDIA", "reason": "It is a title."}
    warning = "An earlier write was interrupted."
    with attended(runner, open_panel, skipped=[skip], warnings=[warning]) as (panel, _):
        panel.ready()
        assert panel.window.banner.isVisible()
        assert panel.window.banner.text() == warning
        assert panel.window.clip_bar.line.toolTip().endswith(warning)
        assert panel.window.clip_bar.line.text().endswith("(1 skipped)")
        assert "Title (A2): It is a title." in panel.window.clip_bar.line.toolTip()
        panel.director.clips.step(1)
        panel.until(lambda: panel.window.clip_bar.line.text().startswith("voice ü 2"))
        panel.until(lambda: panel.playback.clip)


@pytest.mark.usefixtures("shared_server")
def test_the_panel_command_works_as_a_child_of_the_host(runner: FakeHostRunner) -> None:
    """Run `stemline panel --host` over its standard streams with a script inside: separate, apply, close."""
    seen = runner.run("attend", (sys.executable, str(DRIVEN), str(runner.folder / "stems")))
    assert seen["gone"]
    assert seen["exit_code"] == 0
    assert [track[1] for track in seen["tracks"]] == ["speech", "residual"]
    assert seen["disabled"] == ["clip-1"]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stemline-panel")]


def test_playhead_and_marks_use_the_time_of_the_timeline(runner: FakeHostRunner, open_panel: OpenPanel) -> None:
    """Clip 2 starts a second into its media and at 01:00:01:20 of the timeline."""
    with attended(runner, open_panel) as (panel, _):
        panel.ready()
        panel.select(3600.2, 3600.6)
        panel.click(panel.window.transport.plus)
        marks = panel.window.prompt.stems.summary
        assert marks.text() == "Marks: 1 × target here, 0 × not here."
        panel.director.clips.step(1)
        panel.until(lambda: panel.playback.clip and panel.playback.clip.clip.clip_id == "clip-2")
        assert marks.text() == "Marks: 0 × target here, 0 × not here. 1 outside this clip."
        panel.playback.seek(Fraction(18009, 5) + Fraction(1, 25))
        panel.until(lambda: panel.window.transport.clock.text() == "01:00:01:21")
        assert panel.playback.player.position == 48000 // 25
