"""Killed clients and servers: running the command again gives the same result and repeats no finished work."""

from __future__ import annotations

import _thread
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import opentimelineio as otio
import pytest

from runs.conftest import noise
from stemline.client import Client, Job, JobRequest, JobState, connect, find_private
from stemline.clips import MediaSource
from stemline.media import media_facts
from stemline.workflow.verify import verify
from stemline_app.cli import main

CLIPS = 24
WORK_S = 0.15
FILE_SAMPLES = 51 * 1920  # one second and half-second handles, on whole frames


def an_edit(folder: Path) -> Path:
    """Write an edit whose clips are jobs of their own."""
    rate = 25
    track = otio.schema.Track("A1", kind=otio.schema.TrackKind.Audio)
    for i in range(4):
        noise(folder / f"m{'x' * i}.wav", seconds=64, channels=1)
    for i in range(CLIPS):
        media = f"m{'x' * (i % 4)}.wav"
        start = otio.opentime.RationalTime((3 + 10 * (i // 4)) * rate, rate)
        used = otio.opentime.TimeRange(start, otio.opentime.RationalTime(rate, rate))
        whole = otio.opentime.TimeRange(
            otio.opentime.RationalTime(0, rate), otio.opentime.RationalTime(64 * rate, rate)
        )
        track.append(otio.schema.Clip(f"c{i}", otio.schema.ExternalReference(media, whole), used))
    timeline = otio.schema.Timeline("edit")
    timeline.tracks.append(track)
    otio.adapters.write_to_file(timeline, str(folder / "edit.otio"))
    return folder / "edit.otio"


def start(edit: Path, output: Path) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "stemline", "batch", str(edit), "--stem", f"a=sleep:{WORK_S}"]
    argv += ["--model", "noop", "--handles", "0.5", "-o", str(output), "--json"]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def stems(folder: Path) -> dict[str, str]:
    return {path.name: verify(path).audio_sha256 for path in (folder / "stems").glob("*.wav")}


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["client", "server", "both"])
def test_a_run_killed_at_random_moments_resumes(own_server: None, tmp_path: Path, victim: str) -> None:
    edit = an_edit(tmp_path)
    moments = random.Random(victim)
    for _ in range(3):
        process = start(edit, tmp_path / "out")
        time.sleep(moments.uniform(0.8, 2.5))
        if victim in ("server", "both") and (endpoint := find_private()):
            os.kill(endpoint.pid, signal.SIGKILL)
        if victim in ("client", "both"):
            process.kill()
            process.communicate()
        else:
            _, err = process.communicate(timeout=120)
            assert process.returncode == 0, err.decode()
        for path in (tmp_path / "out" / "stems").glob("*.wav"):
            assert media_facts(MediaSource(str(path))).length_samples == FILE_SAMPLES, (
                "only whole files have final names"
            )
    process = start(edit, tmp_path / "out")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    assert not list((tmp_path / "out").rglob("*.part"))

    clean = start(edit, tmp_path / "clean")
    _, err = clean.communicate(timeout=120)
    assert clean.returncode == 0, err.decode()
    assert stems(tmp_path / "out") == stems(tmp_path / "clean")
    assert len(stems(tmp_path / "out")) == 2 * CLIPS
    with connect() as client:
        done = list(client.jobs(states=(JobState.SUCCEEDED,)))
    assert len(done) > CLIPS, "the clean run asked for the same work again"
    assert len({job.key for job in done}) == CLIPS
    for key in {job.key for job in done}:
        assert len({job.engine_s for job in done if job.key == key and job.engine_s}) == 1, "work was done twice"


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["kill", "closed terminal"])
def test_every_end_of_the_command_cancels_its_jobs(own_server: None, tmp_path: Path, number: signal.Signals) -> None:
    # `nohup` around the tests would be inherited
    run = "import signal, sys; signal.signal(int(sys.argv[1]), signal.SIG_DFL)\n"
    run += "from stemline_app.cli import main; sys.exit(main(sys.argv[2:]))"
    argv = [sys.executable, "-c", run, str(int(number)), "separate", str(noise(tmp_path / "m.wav"))]
    argv += ["--stem", "a=sleep:30", "--model", "noop", "-o", str(tmp_path / "out")]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE)
    while not (find_private() and running_jobs()):
        time.sleep(0.1)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    while running_jobs():
        time.sleep(0.1)
    with connect() as client:
        assert {job.state for job in client.jobs()} == {JobState.CANCELLED}


@pytest.mark.parametrize("command", ["separate", "batch"])
def test_ctrl_c_stops_the_run(own_server: None, tmp_path: Path, command: str) -> None:
    edit = an_edit(tmp_path)
    what = [str(edit)] if command == "batch" else [str(tmp_path / "m.wav")]
    argv = [sys.executable, "-m", "stemline", command, *what, "--stem", "a=sleep:30", "--model", "noop"]
    process = subprocess.Popen([*argv, "-o", str(tmp_path / "out")], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (find_private() and running_jobs()):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().splitlines()[-1] == "stemline: Stopped."
    deadline = time.monotonic() + 60
    while running_jobs() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running_jobs()
    assert not list((tmp_path / "out").rglob("*.wav"))


def test_jobs_created_during_a_stop_are_cancelled(
    own_server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, cancel, cancelled, calls = Client.create_jobs, Client.cancel, threading.Event(), count()

    def create_late(client: Client, requests: Sequence[JobRequest]) -> list[Job]:
        jobs = create(client, requests)
        if next(calls) == 0:
            _thread.interrupt_main()
        assert cancelled.wait(60)
        return jobs

    def cancel_and_tell(client: Client, names: Sequence[str]) -> None:
        cancel(client, names)
        cancelled.set()

    edit = an_edit(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Client, "create_jobs", create_late)
        patch.setattr(Client, "cancel", cancel_and_tell)
        asked = ["batch", str(edit), "--stem", "a=sleep:30", "--model", "noop", "-o", str(tmp_path / "out")]
        assert main(asked) == 130
    with connect() as client:
        states = {job.state for job in client.jobs()}
    assert states <= {JobState.CANCELLED, JobState.CANCELLING}


def running_jobs() -> list[str]:
    """Return the jobs that have not ended; a cancelled one is still cancelling until its engine has stopped."""
    states = (JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING)
    with connect() as client:
        return [job.name for job in client.jobs(states=states)]


def test_ctrl_c_while_the_command_is_imported_prints_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert main(["separate", "in.wav"]) == 130
    assert capsys.readouterr().err == "stemline: Stopped.\n"
