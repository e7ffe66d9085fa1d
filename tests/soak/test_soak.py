"""A server under load, kills, stops and nonsense for a long time: each with a short form for every day."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from server.harness import CALL_TIMEOUT_S, ENDED, Caller, ServerProcess, samples_of, write_noise
from stemline.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    media_pb2,
    media_pb2_grpc,
    models_pb2_grpc,
    separation_pb2_grpc,
    suggest_pb2_grpc,
)
from stemline.v1 import separation_pb2 as pb

pytestmark = pytest.mark.soak
CLIP_SAMPLES = 24_000
SEED = int(os.environ.get("STEMLINE_SOAK_SEED", "1"))
KILLS = int(os.environ.get("STEMLINE_SOAK_KILLS", "1000"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    started = ServerProcess(tmp_path / "state", "--private")
    yield started
    started.close()


@pytest.fixture
def media(server: ServerProcess, tmp_path: Path) -> list[str]:
    noise = write_noise(tmp_path / "noise.wav", 100_000)
    return [server.caller.register(noise, start, start + CLIP_SAMPLES).name for start in range(0, 60_000, 1000)]


def processes(server: ServerProcess) -> list[psutil.Process]:
    """The server and its engine."""
    main = psutil.Process(server.process.pid)
    return [main, *main.children()]


@pytest.mark.parametrize(
    ("clients", "seconds"), [(12, 6), pytest.param(100, 1200, marks=[pytest.mark.hour, pytest.mark.timeout(1500)])]
)
def test_many_clients_get_answers_and_the_server_does_not_grow(
    server: ServerProcess, media: list[str], clients: int, seconds: int
) -> None:
    server.caller.done(server.caller.create(media[0], "warm").name)
    endpoint = server.wait_endpoint()
    token = Path(endpoint["token_file"]).read_text("ascii")
    stop_s = time.monotonic() + seconds
    get_s: list[float] = []

    def work(number: int) -> int:
        chance, calls = random.Random(SEED * 1000 + number), 0
        caller = Caller(endpoint["address"], token)
        try:
            while time.monotonic() < stop_s:
                job = caller.create(chance.choice(media), f"prompt {chance.randrange(40)}")
                started_s = time.perf_counter()
                caller.get(job.name)
                get_s.append(time.perf_counter() - started_s)
                done = caller.done(job.name)
                if chance.random() < 0.1:
                    assert len(caller.download(done.stem.media)) == CLIP_SAMPLES * 8
                if chance.random() < 0.1:
                    caller.call(caller.jobs.ListJobs, pb.ListJobsRequest(page_size=50))
                calls += 1
                time.sleep(chance.uniform(0, 0.2))
        finally:
            caller.close()
        return calls

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(work, number) for number in range(clients)]
        time.sleep(seconds / 3)
        early = [process.memory_info().rss for process in processes(server)]
        total = sum(each.result() for each in running)
    late = [process.memory_info().rss for process in processes(server)]
    files = [process.num_fds() for process in processes(server)]
    print(f"{total} jobs of {clients} clients; GetJob p99 {1000 * float(np.quantile(get_s, 0.99)):.0f} ms")
    print(f"RSS in MiB {[size >> 20 for size in early]} -> {[size >> 20 for size in late]}; descriptors {files}")
    assert total > clients
    assert all(after < before + (64 << 20) for before, after in zip(early, late, strict=True))
    assert all(count < 64 for count in files)
    assert "Traceback" not in server.log()


CLIENT = """
import sys
sys.path.insert(0, {tests!r})
from server.harness import ENDED, Caller, job_request
from stemline.v1 import separation_pb2 as pb
caller = Caller({address!r}, {token!r})
requests = [job_request(name, text, f"{{number}} {{text}}", batch_id="b")
            for number, name in enumerate({media!r}) for text in ("a", "sleep:0.1")]
jobs = caller.call(caller.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests)).jobs
waiting = {{job.name for job in jobs}}
for event in caller.jobs.WatchJobs(pb.WatchJobsRequest(batch_id="b"), metadata=caller.metadata):
    if event.job.state in ENDED:
        waiting.discard(event.job.name)
    if not waiting:
        break
"""


def client(server: ServerProcess, media: list[str]) -> subprocess.Popen[bytes]:
    """Another program that creates the whole batch, or finds it, and watches it."""
    endpoint = server.wait_endpoint()
    code = CLIENT.format(
        tests=str(Path(__file__).resolve().parents[1]),
        address=endpoint["address"],
        token=Path(endpoint["token_file"]).read_text("ascii"),
        media=media,
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "kills", [8, pytest.param(KILLS, marks=[pytest.mark.hour, pytest.mark.timeout(5400)])], ids=["short", "full"]
)
def test_no_job_is_lost_doubled_or_blamed_by_kills_of_any_process(
    server: ServerProcess, media: list[str], tmp_path: Path, kills: int
) -> None:
    chance = random.Random(SEED)
    program = client(server, media)
    try:
        for _ in range(kills):
            time.sleep(chance.uniform(0.05, 0.8))
            victim = chance.choice(("server", "engine", "client"))
            if victim == "server":
                if chance.random() < 0.7:  # else it dies while it starts
                    server.wait_endpoint()
                server.kill()
                server.start()
            elif victim == "engine":
                for process in processes(server)[1:]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process.kill()
            if victim == "client" or program.poll() is not None:
                program.kill()
                program.wait()
                program = client(server, media)
        while program.wait():  # it has lost its server
            program = client(server, media)
        wait_ended(server, 2 * len(media))
    finally:
        program.kill()
        program.wait()
    sound = samples_of(tmp_path / "noise.wav")
    for job in listed(server):
        assert job.state == pb.STATE_SUCCEEDED, (SEED, job)
        start = media.index(job.spec.media) * 1000
        stem = np.frombuffer(server.caller.download(job.stem.media), "<f4").reshape(-1, 2)
        assert np.array_equal(stem, sound[start : start + CLIP_SAMPLES] / 2)
    assert "Traceback" not in server.log()


def listed(server: ServerProcess) -> list[pb.Job]:
    return list(server.caller.call(server.caller.jobs.ListJobs, pb.ListJobsRequest(batch_id="b", page_size=1000)).jobs)


def wait_count(server: ServerProcess, count: int) -> None:
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while len(listed(server)) != count:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def wait_ended(server: ServerProcess, count: int) -> None:
    deadline_s = time.monotonic() + 4 * CALL_TIMEOUT_S
    while len(jobs := listed(server)) != count or not all(job.state in ENDED for job in jobs):
        assert time.monotonic() < deadline_s, (SEED, len(jobs))
        time.sleep(0.2)


def test_a_client_that_was_stopped_delays_no_other_and_goes_on(server: ServerProcess, media: list[str]) -> None:
    program = client(server, media[:10])
    try:
        wait_count(server, 20)
        program.send_signal(signal.SIGSTOP)
        assert server.caller.done(server.caller.create(media[20], "another client").name).attempt == 1
        wait_ended(server, 20)
        program.send_signal(signal.SIGCONT)
        assert program.wait(CALL_TIMEOUT_S) == 0
    finally:
        program.kill()
        program.wait()


@pytest.mark.parametrize("victim", [0, 1], ids=["server", "engine"])
def test_a_process_that_was_stopped_goes_on_where_it_was(server: ServerProcess, media: list[str], victim: int) -> None:
    """As when a laptop sleeps, or a machine swaps."""
    job = server.caller.create(media[0], "sleep:2")
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while server.caller.get(job.name).progress.stage != "separating":
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    process = processes(server)[victim]
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    process.send_signal(signal.SIGCONT)
    assert server.caller.done(job.name).attempt == 1


STUBS: tuple[tuple[type, Any], ...] = (
    (media_pb2_grpc.MediaServiceStub, media_pb2),
    (separation_pb2_grpc.SeparationServiceStub, pb),
    (models_pb2_grpc.ModelServiceStub, None),
    (generation_pb2_grpc.GenerationServiceStub, generation_pb2),
    (suggest_pb2_grpc.SuggestServiceStub, None),
)


class Recorder:
    """A channel that notes the methods of a stub."""

    def __init__(self) -> None:
        self.paths: list[tuple[str, str]] = []

    def __getattr__(self, kind: str) -> Callable[..., None]:
        return lambda path, *_, **__: self.paths.append((kind, path))


def methods() -> list[tuple[str, str]]:
    recorder = Recorder()
    for stub, _ in STUBS:
        stub(recorder)
    return recorder.paths


@pytest.mark.parametrize("messages", [600, pytest.param(10_000, marks=pytest.mark.hour)], ids=["short", "full"])
def test_nonsense_is_answered_without_a_traceback_or_a_hang(
    server: ServerProcess, media: list[str], messages: int
) -> None:
    chance = random.Random(SEED)
    job = server.caller.done(server.caller.create(media[0], "a").name)
    good = [
        job.SerializeToString(),
        job.spec.SerializeToString(),
        pb.CreateJobRequest(request_id="x", spec=job.spec, priority=3).SerializeToString(),
        media_pb2.UploadMediaRequest(header=media_pb2.UploadHeader(name=media[0], channels=2)).SerializeToString(),
        media_pb2.RegisterPathRequest(path="/dev/zero", end_sample=1 << 40).SerializeToString(),
        media_pb2.GetMediaRequest(name=media[0]).SerializeToString(),
    ]
    paths = [found for found in methods() if "Watch" not in found[1] and "Wait" not in found[1]]
    hung = threading.Event()

    def send(seed: int) -> None:
        one = random.Random(seed)
        kind, path = one.choice(paths)
        data = mutated(one, one.choice(good))
        call = getattr(server.caller.channel, kind)(path)
        try:
            answer = call(iter([data, data]) if kind.startswith("stream") else data, timeout=30, metadata=metadata)
            for _ in answer if kind.endswith("stream") else ():
                pass
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                print(f"no answer: {path} seed {seed}")
                hung.set()
            assert error.code() != grpc.StatusCode.UNKNOWN, (path, seed, error.details())

    metadata = server.caller.metadata
    seeds = [chance.randrange(1 << 62) for _ in range(messages)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(send, seeds))
    assert not hung.is_set()
    assert "Traceback" not in server.log()
    assert server.caller.done(server.caller.create(media[1], "still here").name)


def mutated(chance: random.Random, data: bytes) -> bytes:
    """The message with bytes changed, cut, doubled or replaced."""
    changed = bytearray(data)
    for _ in range(chance.randrange(6)):
        where = chance.randrange(len(changed) + 1)
        match chance.randrange(4):
            case 0 if where < len(changed):
                changed[where] = chance.randrange(256)
            case 1:
                del changed[where : where + chance.randrange(8)]
            case 2:
                changed[where:where] = chance.randbytes(chance.randrange(1, 9))
            case _:
                changed += changed[where:]
    return bytes(changed)
