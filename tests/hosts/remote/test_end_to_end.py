"""A host without Stemline's packages, the real `stemline host`, the real server: stems at their places."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hosts.remote.running import STEMLINE_HOST, FakeHostRunner
from stemline.client import JobState, connect
from stemline.companion.process import Companion
from stemline.companion.services import EditServices


@pytest.mark.usefixtures("shared_server")
def test_stems_land_in_the_host_and_add_up_to_the_originals(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("separate", STEMLINE_HOST)
    end = report["end"]
    assert end["state"] == "done", end
    assert report["hello"]["protocol"] == 1
    assert report["exit_code"] == 0
    assert report["compared"] == 2 * (48000 + 48000 + 2 * 26460)  # three clips, stem and residual, stereo counted twice
    assert [track[1:] for track in report["tracks"]] == [
        ["speech", "A1", True],
        ["speech", "A2", True],
        ["residual", "A1", True],
        ["residual", "A2", True],
    ]
    assert sorted(report["disabled"]) == ["clip-1", "clip-2", "clip-3"]
    assert end["result"]["tracks"] == [track[0] + f" ({n})" for n, track in enumerate(report["tracks"])]
    assert end["result"]["notes"] == ["fades are not carried"]
    assert end["result"]["null"]["peak"] == 0.0
    assert "waveform" not in end["result"]["clips"][0]
    assert any(name == "progress" for name, _ in report["notes"])


@pytest.mark.slow
@pytest.mark.usefixtures("shared_server")
def test_models_and_doctor_answer_a_host(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("health", STEMLINE_HOST)
    assert {check["status"] for check in report["doctor"]["checks"]} <= {"ok", "warn", "fail"}
    assert "python" in [check["name"] for check in report["doctor"]["checks"]]
    assert report["doctor"]["works"] == ("fail" not in [check["status"] for check in report["doctor"]["checks"]])
    assert "noop" in [model["id"] for model in report["models"]["models"]]
    assert report["models"]["default"]


@pytest.mark.usefixtures("shared_server")
def test_cancel_in_the_middle_reaches_the_engine_and_the_next_run_works(fake_host: FakeHostRunner) -> None:
    stems = [{"name": "slow", "prompt": {"text": "sleep:61"}}]
    separate = {"stems": stems, "settings": {"output_dir": str(fake_host.folder / "stems"), "model": "noop"}}
    report = fake_host.run("cancel_then_other", STEMLINE_HOST, separate=separate)
    assert report["end"]["error"]["code"] == "CANCELLED"
    assert report["next"]["state"] == "done"
    with connect() as client:
        slow = [job.state for job in client.jobs() if job.request.prompt.text == "sleep:61"]
    assert set(slow) == {JobState.CANCELLED}
    assert [track[1] for track in report["tracks"]] == ["quick", "quick", "residual", "residual"]


@pytest.mark.usefixtures("shared_server")
def test_a_killed_host_leaves_its_finished_work_to_the_next(fake_host: FakeHostRunner) -> None:
    config = fake_host.config("finish_then_die", STEMLINE_HOST)
    assert subprocess.run(fake_host.command(config), check=False, timeout=120).returncode == -9
    _wait_until_gone(int((fake_host.folder / "report.json.pid").read_text()))
    with connect() as client:
        assert [job.name for job in client.jobs(states=(JobState.RUNNING, JobState.QUEUED))] == []
    report = fake_host.run("separate", STEMLINE_HOST)
    assert report["compared"] > 0
    assert all(clip["reused"] for clip in report["end"]["result"]["clips"])


@pytest.mark.usefixtures("shared_server")
def test_a_killed_companion_does_not_hang_the_host_though_the_server_lives(fake_host: FakeHostRunner) -> None:
    stems = [{"name": "slow", "prompt": {"text": "sleep:60"}}]
    settings = {"output_dir": str(fake_host.folder / "stems"), "model": "noop"}
    report = fake_host.run("survive", STEMLINE_HOST, separate={"stems": stems, "settings": settings}, long={})
    assert report["gone"]
    with connect() as client:
        left = [job.name for job in client.jobs(states=(JobState.RUNNING, JobState.QUEUED))]
        assert left, "the server lives and works on"
        client.cancel(left)


@pytest.mark.usefixtures("shared_server")
def test_clips_that_cannot_be_separated_are_named(fake_host: FakeHostRunner) -> None:
    text = fake_host.folder / "notes.wav"
    text.write_text("not sound")
    config = _config(fake_host)
    clips = config["clips"]
    clips[0]["source"]["path"] = str(text)
    clips[1]["source"]["path"] = str(fake_host.folder / "gone.wav")
    report = fake_host.run("partly", STEMLINE_HOST, clips=clips)
    result = report["end"]["result"]
    assert sorted(skip["code"] for skip in result["skipped"]) == ["MEDIA_MISSING", "MEDIA_UNREADABLE"]
    assert report["disabled"] == ["clip-3"]


def test_a_request_that_no_run_could_take_is_refused_at_once(fake_host: FakeHostRunner) -> None:
    report = fake_host.run("refused", STEMLINE_HOST)
    assert [refusal["code"] for refusal in report["refusals"]] == [
        "PROMPT_EMPTY",
        "PROMPT_EMPTY",
        "INVALID_ARGUMENT",
        "HOST_PROTOCOL",
    ]


def test_starting_the_companion_by_hand_is_explained() -> None:
    import os
    import pty

    ours, theirs = pty.openpty()
    ended = subprocess.run(STEMLINE_HOST, stdin=theirs, capture_output=True, text=True, check=False, timeout=60)
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 2
    assert "started by a host program" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.usefixtures("shared_server")
def test_either_side_may_start_the_other(fake_host: FakeHostRunner) -> None:
    """The host as our child: the companion's own API over the child's pipes, as a panel would use it."""
    command = fake_host.command(fake_host.config("hosted_run", ()), "--child")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        companion = Companion(child.stdout, child.stdin, EditServices())
        companion.start()
        assert companion.peer.closed.wait(60)
        assert companion.stop()
        child.wait(30)
    report = fake_host.report()
    assert report["faults"] == []
    assert report["end"]["state"] == "done"
    assert report["compared"] > 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("stemline-")]


def _config(fake_host: FakeHostRunner) -> dict[str, Any]:
    import json

    config = json.loads(Path(fake_host.config("separate", STEMLINE_HOST)).read_text(encoding="utf-8"))
    assert isinstance(config, dict)
    return config


def _wait_until_gone(pid: int, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"companion {pid} outlived its host"
        time.sleep(0.05)
