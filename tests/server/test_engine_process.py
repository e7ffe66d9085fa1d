"""Engines in a process of their own: what they do wrong costs the job's attempt, and nothing else."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from server.conftest import LENGTH_SAMPLES
from server.faulty_engine import install, install_broken
from server.harness import CALL_TIMEOUT_S, ServerProcess, job_request, samples_of, write_noise
from stemline.errors import Cancelled
from stemline.v1 import generation_pb2, generation_pb2_grpc, models_pb2, suggest_pb2, suggest_pb2_grpc
from stemline.v1 import separation_pb2 as pb
from stemline_server.isolation.conversation import Conversation, RunningProcess, Unwatched
from stemline_server.isolation.memory import Limits
from stemline_server.isolation.process import EngineProcess

Start = Callable[..., ServerProcess]


@pytest.fixture
def start(start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts servers whose engines are the installed ones and the faulty one."""
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(install(packages)))
    monkeypatch.chdir(tmp_path)
    return start_server


def create(server: ServerProcess, media: str, text: str) -> pb.Job:
    request = job_request(media, text)
    request.spec.model = "faulty"
    job: pb.Job = server.caller.call(server.caller.jobs.CreateJob, request)
    return job


def engine_of(server: ServerProcess) -> psutil.Process:
    """The engine's process of a server with one device."""
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while time.monotonic() < deadline_s:
        for child in psutil.Process(server.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if child.cmdline()[-1:] == ["cpu"]:
                    return child
        time.sleep(0.02)
    raise AssertionError("there is no engine")


@pytest.mark.parametrize(
    ("fault", "reason", "options"),
    [
        ("segfault", "POISONED_INPUT", ()),
        ("exit", "POISONED_INPUT", ()),
        ("nonsense", "POISONED_INPUT", ()),
        ("hang", "POISONED_INPUT", ("--engine-timeout-s", "0.5")),
        ("leak", "DEVICE_OUT_OF_MEMORY", ("--engine-memory", "0.4")),
    ],
)
def test_what_ends_an_engine_fails_its_job_alone(
    start: Start, noise: Path, fault: str, reason: str, options: tuple[str, ...]
) -> None:
    server = start(*options)
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    requests = [job_request(media, text) for text in ("fine", fault)]
    for request in requests:
        request.spec.model = "faulty"
    batch = server.caller.call(server.caller.jobs.BatchCreateJobs, pb.BatchCreateJobsRequest(requests=requests))
    fine, deadly = batch.jobs
    failed = server.caller.until(deadly.name, pb.STATE_FAILED)
    assert (failed.error.reason, failed.attempt) == (reason, 3)
    stem = server.caller.done(fine.name).stem.media
    assert np.array_equal(np.frombuffer(server.caller.download(stem), "<f4").reshape(-1, 2), samples_of(noise) / 2)
    assert server.caller.info().uptime_s > 0
    assert server.process.poll() is None
    assert not list((server.state / "store" / "draft").iterdir())


def test_an_engine_killed_from_outside_is_started_again_and_no_job_is_blamed(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    job = create(server, media, "slow")
    for attempt in range(1, 5):
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while (now := server.caller.get(job.name)).attempt != attempt or now.progress.stage != "separating":
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        engine_of(server).kill()
    while server.caller.get(job.name).attempt != 5:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    server.caller.cancel(job.name)
    assert server.caller.until(job.name, pb.STATE_CANCELLED).attempt == 5
    assert server.caller.done(create(server, media, "fine").name)


def test_an_engine_ends_with_its_server_however_that_ends(start: Start, noise: Path) -> None:
    server = start()
    job = create(server, server.caller.register(noise, 0, LENGTH_SAMPLES).name, "hang")
    server.caller.until(job.name, pb.STATE_RUNNING)
    engine = engine_of(server)
    server.kill()
    engine.wait(CALL_TIMEOUT_S)


@pytest.mark.slow
def test_a_server_stops_in_good_order_while_an_engine_hangs(
    start: Start, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start()
    job = create(server, server.caller.register(noise, 0, LENGTH_SAMPLES).name, "hang")
    server.caller.until(job.name, pb.STATE_RUNNING)
    engine = engine_of(server)
    os.kill(engine.pid, signal.SIGSTOP)  # not even its watch over the server goes on
    assert server.terminate() == 0
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE
    server.start()
    assert server.caller.until(job.name, pb.STATE_RUNNING).attempt == 1


def test_a_cancel_reaches_the_engine_at_its_next_step(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    job = create(server, media, "slow")
    server.caller.until(job.name, pb.STATE_RUNNING)
    before = engine_of(server).pid
    server.caller.cancel(job.name)
    server.caller.until(job.name, pb.STATE_CANCELLED)
    assert server.caller.done(create(server, media, "fine").name)
    assert engine_of(server).pid == before


def test_an_error_of_an_engine_is_logged_and_not_sent(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    failed = server.caller.until(create(server, media, "raise").name, pb.STATE_FAILED)
    assert failed.error.reason == "INTERNAL"
    assert "secret" not in failed.error.message + failed.error.advice
    assert "secret path /home/x" in server.log()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has seccomp")
def test_engines_and_what_they_start_reach_no_network(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    assert server.caller.done(create(server, media, "network").name)


def test_what_an_engine_prints_disturbs_nothing(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    assert server.caller.done(create(server, media, "print").name)
    assert "printed by the engine" in (server.state / "engine-cpu.log").read_text("utf-8")


def test_long_sound_with_many_channels_passes_through_unchanged(start: Start, tmp_path: Path) -> None:
    """More than the shared memory holds at once, in blocks that are cut to fit."""
    path = write_noise(tmp_path / "wide.wav", 400_000, channels=8)
    server = start()
    media = server.caller.register(path, 0, 400_000).name
    jobs = [server.caller.create(media, text) for text in ("a", "b", "c")]
    for job in jobs:
        stem = np.frombuffer(server.caller.download(server.caller.done(job.name).stem.media), "<f4").reshape(-1, 8)
        assert np.array_equal(stem, samples_of(path) / 2)


def test_models_stay_loaded_until_they_are_unloaded(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    server.caller.done(create(server, media, "fine").name)
    server.caller.done(server.caller.create(media, "fine").name)
    models = server.caller.call(server.caller.models.ListModels, models_pb2.ListModelsRequest()).models
    assert {model.name for model in models if model.loaded} == {"models/faulty", "models/noop"}
    server.caller.call(server.caller.models.UnloadModel, models_pb2.UnloadModelRequest(name="models/noop"))
    models = server.caller.call(server.caller.models.ListModels, models_pb2.ListModelsRequest()).models
    assert {model.name for model in models if model.loaded} == {"models/faulty"}


@pytest.mark.parametrize(("budget", "loaded"), [("0", {"noop", "faulty"}), ("0.01", {"faulty"})])
def test_models_are_loaded_at_the_start_as_far_as_memory_allows(start: Start, budget: str, loaded: set[str]) -> None:
    server = start("--warm", "noop", "--warm", "faulty", "--warm", "noop", "--model-memory", budget)
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while {"0": "has loaded", "0.01": "has no room"}[budget] not in server.log():
        assert time.monotonic() < deadline_s, server.log()
        time.sleep(0.05)
    listed = server.caller.call(server.caller.models.ListModels, models_pb2.ListModelsRequest()).models
    assert {model.name.removeprefix("models/") for model in listed if model.loaded} == loaded


def test_the_server_itself_never_imports_torch(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    request = job_request(media, "speech")
    request.spec.model = "embedded"
    server.caller.done(server.caller.call(server.caller.jobs.CreateJob, request).name)
    assert "torch" not in Path(f"/proc/{server.process.pid}/maps").read_text("ascii")
    assert "torch" in Path(f"/proc/{engine_of(server).pid}/maps").read_text("ascii")


def test_taggers_run_apart_from_the_server_and_may_die_alone(start: Start, noise: Path) -> None:
    server = start()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    stub = suggest_pb2_grpc.SuggestServiceStub(server.caller.channel)
    request = suggest_pb2.SuggestSoundsRequest(media=media)
    engines = set(psutil.Process(server.process.pid).children())
    *_, last = stub.SuggestSounds(request, metadata=server.caller.metadata, timeout=CALL_TIMEOUT_S)
    assert last.result.tagger
    assert not {"torch", "onnxruntime"} & loaded_libraries(server.process.pid)
    (tagger,) = set(psutil.Process(server.process.pid).children()) - engines
    tagger.kill()
    other = server.caller.register(noise, 0, LENGTH_SAMPLES // 2).name
    request = suggest_pb2.SuggestSoundsRequest(media=other)
    *_, last = stub.SuggestSounds(request, metadata=server.caller.metadata, timeout=CALL_TIMEOUT_S)
    assert last.result.tagger


def loaded_libraries(pid: int) -> set[str]:
    maps = Path(f"/proc/{pid}/maps").read_text("ascii")
    return {name for name in ("torch", "onnxruntime") if name in maps}


def test_every_thread_of_an_engine_is_confined(start: Start, noise: Path) -> None:
    """Libraries start threads as they are loaded, which a confinement after that does not reach."""
    server = start()
    server.caller.done(create(server, server.caller.register(noise, 0, LENGTH_SAMPLES).name, "warm").name)
    engine = engine_of(server)
    states = [(path / "status").read_text("ascii") for path in Path(f"/proc/{engine.pid}/task").iterdir()]
    assert len(states) > 1
    assert all("Seccomp:\t2" in state for state in states)


@pytest.mark.parametrize(
    "message",
    [
        b'["done"]', b'["done",1,2]', b'{"done":1}', b'["loaded",null,0]', b'["loaded",[],"x"]', b'["log","x","a","b"]',
        b'["step","1",2]', b'["step",NaN,1]', b'["step",1e999,1]', b'["step",true,1]', b'["warn",-1,"A","b"]',
        b'["warn",7,"A","b"]', b'["find",0,1,0.5,"a",[]]', b'["find",0,true,0.5,"a",[["b"]]]', b'["read",-1,0,1]',
        b'["read",0,"0",1]', b'["block",-1,0,2,1]', b'["block",0,0,2]', b'["failed",1,2,3]', b'["failed","X"]',
        b'["crashed",{}]', b'["unknown"]', b"[]", b"1", b"\xff", b"[" * 5000,
    ],
)  # fmt: skip
def test_a_message_of_an_engine_with_wrong_values_ends_its_process_and_no_other(message: bytes) -> None:
    near, far = Pipe()
    far.send_bytes(message)
    killed = threading.Event()
    running: Any = SimpleNamespace(connection=near, process=SimpleNamespace(kill=killed.set), ready=True)
    host: Any = SimpleNamespace(limits=Limits())
    talk = Conversation(host, running, (), (), Unwatched())
    with pytest.raises(EOFError):
        talk._received()
    assert talk.killed_for == "nonsense" and killed.is_set()


def test_a_kill_reaches_a_process_that_is_being_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = threading.Event()
    start_process = RunningProcess.start.__func__  # type: ignore[attr-defined]

    def slowly(cls: type[RunningProcess], *arguments: Any) -> RunningProcess:
        starting.set()
        time.sleep(0.3)
        started: RunningProcess = start_process(cls, *arguments)
        return started

    monkeypatch.setattr(RunningProcess, "start", classmethod(slowly))
    host = EngineProcess("cpu", tmp_path, Limits())

    def kill() -> None:
        assert starting.wait(30)
        host.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(Cancelled):
            host.load("noop")
        with pytest.raises(Cancelled):
            host.load("noop")
    finally:
        killer.join()
        host.close()


def test_a_package_that_raises_hangs_or_crashes_harms_no_other_model(
    start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Path
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(install_broken(packages)))
    server = start_server()
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    listing = server.caller.models.ListModels.future(
        models_pb2.ListModelsRequest(), metadata=server.caller.metadata, timeout=CALL_TIMEOUT_S
    )
    for model in ("crashes", "raises", "lies", "forges"):
        request = job_request(media, "a")
        request.spec.model = model
        code, message = server.caller.refused(server.caller.jobs.CreateJob, request)
        assert code == grpc.StatusCode.FAILED_PRECONDITION and model in message
    assert server.caller.done(server.caller.create(media, "meanwhile").name).attempt == 1
    assert server.caller.done(create(server, media, "a plug-in that works").name).attempt == 1
    assert not listing.done(), "the list waits for the package that hangs, and nothing else does"
    models = {model.name: model for model in listing.result().models}
    assert models["models/faulty"].available and models["models/noop"].available
    assert "does not answer" in models["models/hangs"].note
    assert "no licence" in models["models/raises"].note
    assert "ended its process" in models["models/crashes"].note
    assert "sample_rate = 'fast'" in models["models/lies"].note
    assert "answers of another form" in models["models/forges"].note
    assert "Traceback" not in server.log()


def test_generators_and_taggers_that_raise_hang_or_crash_harm_no_other(
    start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(install_broken(packages)))
    server = start_server()
    caller, process = server.caller, server.process.pid
    generation = generation_pb2_grpc.GenerationServiceStub(caller.channel)
    suggest = suggest_pb2_grpc.SuggestServiceStub(caller.channel)
    generators = generation.ListGenerators.future(
        generation_pb2.ListGeneratorsRequest(), metadata=caller.metadata, timeout=CALL_TIMEOUT_S
    )
    taggers = suggest.ListTaggers.future(
        suggest_pb2.ListTaggersRequest(), metadata=caller.metadata, timeout=CALL_TIMEOUT_S
    )

    def sound_of(generator: str) -> pb.Job:
        spec = generation_pb2.GenerationSpec(text="rain", length_samples=4410, generator=generator)
        request = generation_pb2.CreateGenerationRequest(request_id=generator, spec=spec)
        batch = generation_pb2.CreateGenerationsRequest(requests=[request])
        job: pb.Job = caller.call(generation.CreateGenerations, batch).jobs[0]
        return job

    for name in ("noop", "works"):
        assert caller.done(sound_of(name).name).stem.media
    for name in ("crashes", "raises", "lies", "lethal"):
        with pytest.raises(grpc.RpcError) as refused:
            sound_of(name)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION, name
    with pytest.raises(grpc.RpcError) as unknown:
        sound_of("nonsense")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    assert not generators.done() and not taggers.done(), "only the lists wait for the packages that hang"
    notes = {one.name: (one.available, one.note) for one in generators.result().generators}
    notes |= {one.name: (one.available, one.note) for one in taggers.result().taggers}
    assert notes["generators/works"][0] and notes["generators/noop"][0] and notes["taggers/listens"][0]
    for kind in ("generators", "taggers"):
        assert "does not answer" in notes[f"{kind}/hangs"][1]
        assert "no licence" in notes[f"{kind}/raises"][1]
        assert "ended its process" in notes[f"{kind}/crashes"][1]
        assert "ended its process" in notes[f"{kind}/lethal"][1]
    assert "sample_rate = 0" in notes["generators/lies"][1]
    assert server.process.pid == process and server.process.poll() is None
    assert "Traceback" not in server.log()


def test_a_request_for_an_unknown_model_imports_no_package_into_the_server(
    start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Path
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(install_broken(packages)))
    server = start_server()
    request = job_request(server.caller.register(noise, 0, LENGTH_SAMPLES).name, "a")
    request.spec.model = "nonsense"
    code, message = server.caller.refused(server.caller.jobs.CreateJob, request)
    assert code == grpc.StatusCode.NOT_FOUND and "nonsense" in message
    assert server.process.poll() is None
