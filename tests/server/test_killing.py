"""Clients and the server killed at any moment: the work is finished once, and nothing half-done is left."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import ENDED, ServerProcess, job_request, samples_of
from stemline.v1 import separation_pb2 as pb

Start = Callable[..., ServerProcess]


@pytest.mark.soak
@pytest.mark.slow
def test_a_batch_survives_a_server_killed_at_random(start_server: Start, noise: Path) -> None:
    server = start_server()
    chance = random.Random(4)
    names = [server.caller.register(noise, start, start + 24_000).name for start in range(0, 20_000, 1000)]
    requests = [
        job_request(name, "sleep:0.05" if number % 3 else "x", f"request {number}", batch_id="b")
        for number, name in enumerate(names * 3)
    ]
    for number, request in enumerate(requests):
        request.spec.seed = number // len(names)
    finished: dict[str, pb.Job] = {}
    for _ in range(4):
        batch = server.caller.call(server.caller.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
        assert len({job.name for job in batch.jobs}) == len(requests)
        for job in batch.jobs:
            if job.name in finished:
                assert job == finished[job.name]
        time.sleep(chance.uniform(0.0, 0.6))
        listed = server.caller.call(server.caller.jobs.ListJobs, pb.ListJobsRequest(batch_id="b", page_size=1000)).jobs
        finished |= {job.name: job for job in listed if job.state in ENDED}
        server.kill()
        server.start()
    for request in requests:
        job = server.caller.done(server.caller.call(server.caller.jobs.CreateJob, request).name)
        assert finished.get(job.name, job) == job
        start = names.index(job.spec.media) * 1000
        stem = np.frombuffer(server.caller.download(job.stem.media), "<f4").reshape(-1, 2)
        assert np.array_equal(stem, samples_of(noise)[start : start + 24_000] / 2)
    assert not list((server.state / "store" / "draft").iterdir())


CLIENT = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from server.harness import Caller
caller = Caller({address!r}, {token!r})
media = caller.register(Path({noise!r}), 0, 48000).name
job = caller.create(media, "sleep:1", {request_id!r})
print(job.name, flush=True)
if {wait!r}:
    print(caller.done(job.name).stem.media, flush=True)
else:
    for event in caller.jobs.WatchJobs(__import__("stemline.v1.separation_pb2", fromlist=["x"]).WatchJobsRequest(),
                                       metadata=caller.metadata):
        print("watching", flush=True)
"""


def client(server: ServerProcess, noise: Path, request_id: str, *, wait: bool) -> subprocess.Popen[str]:
    """Another program that uses the same server."""
    endpoint = server.wait_endpoint()
    code = CLIENT.format(
        tests=str(Path(__file__).resolve().parents[1]),
        address=endpoint["address"],
        token=Path(endpoint["token_file"]).read_text("ascii"),
        noise=str(noise),
        request_id=request_id,
        wait=wait,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_two_programs_share_a_server_and_its_work(start_server: Start, noise: Path) -> None:
    server = start_server()
    programs = [client(server, noise, name, wait=True) for name in ("one", "two")]
    said = [program.communicate(timeout=60)[0].split() for program in programs]
    assert said[0][0] != said[1][0]
    assert said[0][1] == said[1][1]
    jobs = [server.caller.get(words[0]) for words in said]
    assert jobs[0].key == jobs[1].key
    assert len(list((server.state / "store").rglob("*.f32"))) == 1


def test_a_client_that_is_killed_leaves_its_job_to_be_finished(start_server: Start, noise: Path) -> None:
    server = start_server()
    program = client(server, noise, "vanished", wait=False)
    assert program.stdout is not None
    name = program.stdout.readline().strip()
    assert program.stdout.readline() == "watching\n"
    program.kill()
    program.communicate()
    job = server.caller.done(name)
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    assert server.caller.create(media, "sleep:1", "vanished") == job
