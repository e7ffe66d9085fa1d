"""Risk: a job that starts over, or gives another result, after the server was killed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open

from server.harness import RATE, Caller, ServerProcess, job_request, server_in_thread, write_noise
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig

Start = Callable[..., ServerProcess]
LENGTH_SAMPLES = 15 * RATE
WAIT_S = 120.0
STEPS, EVALUATIONS_PER_STEP = 16, 2  # of the preset `standard`: midpoint
SOLVED = re.compile(r"solved from step (\d+) to (\d+), (\d+) windows evaluated")


@pytest.fixture
def start(start_server: Start, checkpoint: Path, text_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    monkeypatch.setenv("STEMLINE_SAM_AUDIO_MODEL", str(checkpoint))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in this process, so that the samples are the same
    monkeypatch.setenv("STEMLINE_SAM_AUDIO_TEXT_ENCODER", str(text_encoder))
    return start_server


def ask(caller: Caller, sound: Path) -> pb.Job:
    request = job_request(caller.register(sound, 0, LENGTH_SAMPLES).name, "dog barking", seed=3)
    request.spec.model = "sam_audio"
    job: pb.Job = caller.call(caller.jobs.CreateJob, request)
    return job


def stem(caller: Caller, job: pb.Job) -> bytes:
    return caller.download(caller.done(job.name).stem.media)


def stored_steps(server: ServerProcess) -> int:
    """The number of steps in the stored state; 0 if there is none."""
    files = list((server.state / "scratch").rglob("sam_audio-*.safetensors"))
    if not files:
        return 0
    with safe_open(files[0], framework="np") as file:
        return int(file.metadata()["step"])


def kill_after(server: ServerProcess, steps: int) -> int:
    """Kill the server as soon as some steps are stored; return the number that was stored in the end."""
    deadline = time.monotonic() + WAIT_S
    while stored_steps(server) < steps:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.002)
    server.kill()
    return stored_steps(server)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [0, 4, STEPS], ids=["encoding", "solving", "decoding"])
def test_the_job_of_a_killed_server_resumes_from_its_last_step(start: Start, tmp_path: Path, steps: int) -> None:
    sound = write_noise(tmp_path / "noise.wav", LENGTH_SAMPLES, channels=1)
    server = start(state=tmp_path / "killed")
    job = ask(server.caller, sound)
    server.caller.until(job.name, pb.STATE_RUNNING)
    stored = kill_after(server, steps)
    assert steps <= stored <= STEPS
    server.start()
    resumed = stem(server.caller, job)
    last_solve = tuple(map(int, SOLVED.findall(server.log())[-1]))
    assert last_solve == (stored, STEPS, (STEPS - stored) * EVALUATIONS_PER_STEP)
    ended = server.caller.get(job.name)
    assert ended.attempt == 2
    assert re.fullmatch("[01]{16}", ended.stem.notes["watermark"])

    config = ServerConfig(tmp_path / "undisturbed", private=True, media_roots=None, devices=("cpu",))
    with server_in_thread(config) as undisturbed:
        assert stem(undisturbed, ask(undisturbed, sound)) == resumed
