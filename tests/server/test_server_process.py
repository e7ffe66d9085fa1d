"""The server as a process: started, killed, started again, stopped, left alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import START_TIMEOUT_S, Caller, ServerProcess, job_request, write_noise
from stemline.v1 import models_pb2
from stemline.v1 import separation_pb2 as pb

Start = Callable[..., ServerProcess]


def test_a_killed_server_goes_on_with_what_it_had_begun(start_server: Start, noise: Path) -> None:
    server = start_server()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    finished = server.caller.done(server.caller.create(media, "finished").name)
    running = server.caller.create(media, "sleep:1", batch_id="b")
    waiting = server.caller.create(media, "waiting", seed=5, batch_id="b")
    server.caller.until(running.name, pb.STATE_RUNNING)
    server.kill()
    server.start()
    again = server.caller.done(running.name)
    assert again.attempt == 2
    assert server.caller.done(waiting.name).attempt == 1
    assert server.caller.get(finished.name) == finished
    assert server.caller.create(media, "finished").state == pb.STATE_SUCCEEDED
    assert not list((server.state / "store" / "draft").iterdir())
    assert not list((server.state / "scratch").iterdir())


def test_a_job_that_kills_the_server_three_times_fails_and_harms_no_other(start_server: Start, noise: Path) -> None:
    server = start_server()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    deadly = server.caller.create(media, "sleep:600")
    for _ in range(3):
        server.caller.until(deadly.name, pb.STATE_RUNNING)
        server.crash()
        server.start()
    failed = server.caller.get(deadly.name)
    assert (failed.state, failed.error.reason) == (pb.STATE_FAILED, "POISONED_INPUT")
    assert server.caller.done(server.caller.create(media, "harmless").name)


def test_kills_from_outside_are_not_blamed_on_the_job(start_server: Start, noise: Path) -> None:
    server = start_server()
    unlucky = server.caller.create(server.caller.register(noise, 0, LENGTH_SAMPLES).name, "sleep:1")
    for _ in range(4):
        server.caller.until(unlucky.name, pb.STATE_RUNNING)
        server.kill()
        server.start()
    assert server.caller.done(unlucky.name).attempt == 5


def test_half_written_files_of_a_killed_server_are_cleared(start_server: Start, noise: Path) -> None:
    server = start_server()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    stem = server.caller.done(server.caller.create(media, "a", "a").name).stem.media
    server.kill()
    draft, orphan = server.state / "store" / "draft" / "x.f32", server.state / "store" / "00" / ("0" * 64 + ".f32")
    orphan.parent.mkdir(exist_ok=True)
    for path in (draft, orphan):
        path.write_bytes(b"half")
    digest = stem.removeprefix("media/")
    damaged = server.state / "store" / digest[:2] / f"{digest}.f32"
    damaged.write_bytes(damaged.read_bytes()[:100])
    server.start()
    assert server.caller.create(media, "a", "a").state != pb.STATE_SUCCEEDED
    server.caller.done(server.caller.create(media, "a", "a").name)
    assert damaged.stat().st_size == 8 * LENGTH_SAMPLES
    assert not draft.exists()
    assert not orphan.exists()


def test_a_damaged_job_table_is_put_aside(start_server: Start, noise: Path, tmp_path: Path) -> None:
    state = tmp_path / "damaged"
    state.mkdir()
    (state / "jobs.sqlite").write_bytes(b"this is no database, but long enough to be taken for one" * 100)
    caller = start_server(state=state).caller
    assert caller.done(caller.create(caller.register(noise, 0, LENGTH_SAMPLES).name).name)
    assert (state / "damaged-jobs.sqlite").exists()


def test_a_stop_in_good_order_puts_the_running_job_back(start_server: Start, noise: Path) -> None:
    server = start_server()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    job = server.caller.create(media, "sleep:600")
    server.caller.until(job.name, pb.STATE_RUNNING)
    watch = server.caller.jobs.WatchJobs(pb.WatchJobsRequest(names=[job.name]), metadata=server.caller.metadata)
    next(watch)
    assert server.terminate() == 0
    assert "did not reach its next step" not in server.log()
    assert not (server.state / "endpoint.json").exists()
    server.start()
    assert server.caller.until(job.name, pb.STATE_RUNNING).attempt == 1


def test_a_private_server_is_one_per_folder(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    endpoint = server.wait_endpoint()
    second = subprocess.run(
        [sys.executable, "-m", "stemline_server", "--private", "--state", str(server.state)],
        timeout=START_TIMEOUT_S,
        check=False,
    )
    assert second.returncode == 0
    assert json.loads((server.state / "endpoint.json").read_text("utf-8")) == endpoint
    assert endpoint["pid"] == server.process.pid


def test_token_and_folder_are_the_owners_alone(start_server: Start) -> None:
    server = start_server()
    token = Path(server.wait_endpoint()["token_file"])
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.state.stat().st_mode) == 0o700
    kept = token.read_text("ascii")
    server.terminate()
    server.start()
    server.wait_endpoint()
    assert token.read_text("ascii") == kept


def test_a_private_server_stops_when_idle_but_not_while_it_works(start_server: Start, noise: Path) -> None:
    server = start_server("--idle-timeout-s", "3")
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    job = server.caller.create(media, "sleep:4")
    assert server.process.wait(START_TIMEOUT_S) == 0
    assert not (server.state / "endpoint.json").exists()
    server.start()
    assert server.caller.get(job.name).state == pb.STATE_SUCCEEDED


def test_a_private_server_holds_no_pipe_of_its_parent(tmp_path: Path) -> None:
    """`$(command)` waits for everybody who holds its output."""
    command = (
        f"{sys.executable} -m stemline_server --private --state {tmp_path / 'state'} --idle-timeout-s 60 &"
        f" while [ ! -e {tmp_path / 'state' / 'endpoint.json'} ]; do sleep 0.05; done; echo up"
    )
    shell = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=START_TIMEOUT_S, check=True)
    assert shell.stdout == "up\n"
    endpoint = json.loads((tmp_path / "state" / "endpoint.json").read_text("utf-8"))
    os.kill(endpoint["pid"], signal.SIGTERM)  # it still runs, and the shell's output has ended all the same


def test_a_taken_port_is_named_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = subprocess.run(
            [sys.executable, "-m", "stemline_server", "--state", str(tmp_path / "state"), "--listen", address],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
    assert answer.returncode == 1
    (message,) = answer.stderr.splitlines()
    assert message.startswith("stemline: ")
    assert address in message
    assert not (tmp_path / "state" / "endpoint.json").exists()


def test_two_servers_cannot_share_a_port(start_server: Start, tmp_path: Path) -> None:
    address = start_server().wait_endpoint()["address"]
    command = [sys.executable, "-m", "stemline_server", "--state", str(tmp_path / "other"), "--listen", address]
    second = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    assert second.returncode != 0
    assert address in second.stderr


@pytest.mark.parametrize(
    ("options", "named"), [(["--model", "nope"], ["nope", "embedded"]), (["--device", "cuda:77"], ["cuda:77", "cpu"])]
)
def test_a_model_or_device_that_is_not_there_is_refused_at_the_start(
    tmp_path: Path, options: list[str], named: list[str]
) -> None:
    command = [sys.executable, "-m", "stemline_server", "--state", str(tmp_path / "state"), "--listen", "127.0.0.1:0"]
    answer = subprocess.run([*command, *options], capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    assert answer.returncode == 2
    (message,) = answer.stderr.splitlines()
    assert all(name in message for name in named)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("options", [["--listen", "0.0.0.0:0"], ["--listen", "nonsense"], ["--tls-cert", "x.pem"]])
def test_unsafe_or_impossible_options_are_refused(tmp_path: Path, options: list[str]) -> None:
    command = [sys.executable, "-m", "stemline_server", "--state", str(tmp_path / "state"), *options]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("stemline: ")
    assert not (tmp_path / "state").exists()


def test_with_the_no_op_engine_the_server_stays_small(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    media = server.caller.register(write_noise(tmp_path / "long.wav", 48_000 * 60), 0, 48_000 * 60).name
    requests = [job_request(media, f"prompt {number}") for number in range(8)]
    for job in server.caller.call(
        server.caller.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests)
    ).jobs:
        server.caller.done(job.name)
    assert server.resident_mib() < 200


def test_models_are_listed_loaded_and_dropped(start_server: Start) -> None:
    caller: Caller = start_server().caller
    models = {
        model.name: model for model in caller.call(caller.models.ListModels, models_pb2.ListModelsRequest()).models
    }
    assert models["models/noop"].available
    assert "models/embedded" in models
    loaded = caller.call(caller.models.LoadModel, models_pb2.LoadModelRequest(name="models/noop"))
    assert loaded.loaded
    dropped = caller.call(caller.models.UnloadModel, models_pb2.UnloadModelRequest(name="models/noop"))
    assert not dropped.loaded
    code, _ = caller.refused(caller.models.GetModel, models_pb2.GetModelRequest(name="models/none"))
    assert code is grpc.StatusCode.NOT_FOUND
