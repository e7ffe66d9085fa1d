"""A host in another process and its companion: hangs, crashes and bad messages on either side."""

from __future__ import annotations

import ast
import subprocess
import time

import psutil
import pytest

from hosts.remote.running import HOST_SIDE, SCRIPTED, FakeHostRunner


def _wait_gone(pid: int, timeout_s: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("name", ["fake_host.py", "host_peer.py", "scenarios.py", "wav_samples.py"])
def test_the_fake_host_uses_only_what_a_bridge_may_use(name: str) -> None:
    tree = ast.parse((HOST_SIDE / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    own = {"fake_host", "host_peer", "scenarios", "wav_samples"}
    annotating = {"__future__", "collections.abc", "typing"}
    standard = {"fractions", "json", "os", "pathlib", "queue", "struct", "subprocess", "sys", "threading", "time"}
    assert imported <= own | annotating | standard


def test_a_run_reaches_the_host_and_ends_with_its_input(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("ask_and_leave")
    assert report["exit_code"] == 0
    assert [track[0] for track in report["tracks"]] == ["copy"]
    assert report["selections"] == [{"selection": {"tracks": ["A1", "A2"], "include_disabled": False}, "tag": "take 1"}]
    ends = [(name, params["run"], params["tag"]) for name, params in report["notes"] if name in ("done", "failed")]
    assert ends == [("done", report["run"], "take 1")]


def test_prints_in_the_companion_never_reach_the_host(fake_host: FakeHostRunner) -> None:
    settings = {"output_dir": str(fake_host.folder), "prints": True}
    fake_host.run("ask_and_leave", separate={"stems": [], "settings": settings, "selection": {}})
    for stray in ("a stray print", '"method":"done"', "from a child", "past the replaced one"):
        assert stray in fake_host.log()


def test_running_and_waiting_runs_can_be_cancelled(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("cancel")
    assert report["ends"] == ["CANCELLED", "CANCELLED"]
    assert report["tracks_after_cancel"] == 0
    assert report["unknown"]["code"] == "JOB_UNKNOWN"
    assert len(report["tracks"]) == 1


def test_the_companion_ends_when_its_host_is_killed(fake_host: FakeHostRunner) -> None:
    config = fake_host.config("die", SCRIPTED)
    assert subprocess.run(fake_host.command(config), check=False, timeout=60).returncode == -9
    assert _wait_gone(int((fake_host.folder / "report.json.pid").read_text()))


def test_a_separation_that_does_not_stop_does_not_keep_the_companion_alive(fake_host: FakeHostRunner) -> None:
    config = fake_host.config("die", SCRIPTED, long={"steps": 10_000, "ignores_cancel": True})
    assert subprocess.run(fake_host.command(config), check=False, timeout=60).returncode == -9
    assert _wait_gone(int((fake_host.folder / "report.json.pid").read_text()))


def test_a_killed_companion_does_not_hang_the_host(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("survive")
    assert report["gone"]
    assert report["exit_code"] == -9


def test_a_call_that_times_out_is_cancelled_in_the_host(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("slow", read_takes_s=6)
    assert report["slow"]["code"] == "HOST_TIMEOUT"
    assert len(report["cancelled_calls"]) == 1
    assert report["next"] == "take 1"


def test_the_companion_leaves_a_host_that_hangs_with_open_pipes(
    fake_host: FakeHostRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_SILENCE_S", "4")
    assert fake_host.run("silent")["exit_code_when_silent"] == 0


def test_a_host_of_another_protocol_version_gets_advice(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("wrong_version")
    assert report["too_early"]["code"] == "HOST_PROTOCOL"
    assert report["too_new"]["code"] == "HOST_VERSION"
    assert "version 1" in report["too_new"]["message"]
    assert report["no_name"]["code"] == "HOST_PROTOCOL"
    assert "hello.capabilities.name is missing" in report["no_name"]["message"]
    assert report["agreed"]["protocol"] == 1


def test_lines_that_are_not_messages_are_refused_without_side_effects(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("garbage")
    assert report["refused"] == {
        "text": [-32700],
        "bad utf-8": [-32700],
        "huge": [-32600],
        "deep": [-32700],
        "nan": [-32700],
        "digits": [-32700],
        "batch": [-32600],
        "version": [-32600],
        "id": [-32600],
    }
    assert report["ignored"] == []
    assert report["crlf"] == {}
    assert report["unknown"] | {"message": ""} == {"code": "HOST_UNSUPPORTED", "number": -32601, "message": ""}
    assert report["positional"]["number"] == -32602
    assert report["fault"]["code"] == "INTERNAL"
    assert report["mistyped"]["code"] == "HOST_PROTOCOL"
    assert "separate.stems[0].name must be text, not 3." in report["mistyped"]["message"]
    assert "ZeroDivisionError" in fake_host.log()
