"""What strangers and broken clients send: one clear refusal each, and the server goes on."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2  # the published messages: an independent reading of what we write by hand
from grpc_status import rpc_status

from server.conftest import LENGTH_SAMPLES
from server.harness import CALL_TIMEOUT_S, Caller, job_request, server_in_thread
from stemline.errors import SeparationError
from stemline.v1 import models_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.services.callers import CallLimit

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def media(server: Caller, noise: Path) -> str:
    return server.register(noise, 0, LENGTH_SAMPLES).name


@pytest.mark.parametrize(
    "text", ["x" * 1001, "", "   ", "nul \0 inside", "bell \x07", "esc \x1b[31m", "x" * 3_000_000, "sleep:forever"]
)
def test_prompts_that_no_engine_should_see(server: Caller, media: str, text: str) -> None:
    code, message = server.refused(server.jobs.CreateJob, job_request(media, text))
    assert code is INVALID
    assert len(message) < 300
    assert server.info().queued_jobs == 0


def test_a_prompt_of_10_mb_is_refused_and_the_server_lives(server: Caller, media: str) -> None:
    code, _ = server.refused(server.jobs.CreateJob, job_request(media, "x" * 10_000_000))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.done(server.create(media, "speech").name)


@pytest.mark.parametrize("text", ["Zurück-🎻 «naïve»", "../../etc/passwd", "'; DROP TABLE jobs; --", "%s%n{0}"])
def test_unusual_prompts_are_accepted(server: Caller, media: str, text: str) -> None:
    assert server.done(server.create(media, text).name).spec.prompt.text == text


@pytest.mark.parametrize("spans", [[(0, 0)], [(10, 5)], [(-1, 5)], [(0, LENGTH_SAMPLES + 1)], [(0, 1)] * 1001])
def test_spans_must_be_ranges_of_the_media(server: Caller, media: str, spans: list[tuple[int, int]]) -> None:
    ranges = [pb.SampleRange(start_sample=start, end_sample=end) for start, end in spans]
    for prompt in (pb.Prompt(text="x", plus=ranges), pb.Prompt(text="x", minus=ranges)):
        assert server.refused(server.jobs.CreateJob, job_request(media, prompt=prompt))[0] is INVALID


def test_spans_alone_are_a_prompt(server: Caller, media: str) -> None:
    prompt = pb.Prompt(plus=[pb.SampleRange(start_sample=0, end_sample=LENGTH_SAMPLES)])
    assert server.done(server.create(media, prompt=prompt).name)


@pytest.mark.parametrize(
    ("request_id", "more"),
    [
        ("x" * 129, {}),
        ("tab\there", {}),
        ("é", {}),
        ("ok", {"batch_id": "\n"}),
        ("ok", {"priority": 2_000_000_000}),
        ("ok", {"quality": "cheap"}),
        ("ok", {"channels": 99}),
        ("ok", {"origin_sample": -1}),
        ("ok", {"subtract": ["media/" + "0" * 64] * 65}),
        ("ok", {"subtract": ["nothing"]}),
    ],
)
def test_impossible_settings_are_refused(server: Caller, media: str, request_id: str, more: dict[str, object]) -> None:
    assert server.refused(server.jobs.CreateJob, job_request(media, "x", request_id, **more))[0] is INVALID


def test_a_request_without_id_is_refused(server: Caller, media: str) -> None:
    request = job_request(media, "x")
    request.request_id = ""
    assert server.refused(server.jobs.CreateJob, request)[0] is INVALID


def test_an_unknown_model_is_named(server: Caller, media: str) -> None:
    request = job_request(media, "x")
    request.spec.model = "does-not-exist"
    code, message = server.refused(server.jobs.CreateJob, request)
    assert code is grpc.StatusCode.NOT_FOUND
    assert "does-not-exist" in message


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", ""),)])
def test_without_the_token_every_call_is_refused(server: Caller, metadata: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(grpc.RpcError) as unary:
        server.models.GetServerInfo(models_pb2.GetServerInfoRequest(), metadata=metadata, timeout=CALL_TIMEOUT_S)
    assert unary.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as stream:
        list(server.jobs.WatchJobs(pb.WatchJobsRequest(), metadata=metadata, timeout=CALL_TIMEOUT_S))
    assert stream.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as upload:
        server.media.UploadMedia(iter(()), metadata=metadata, timeout=CALL_TIMEOUT_S)
    assert upload.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_errors_carry_reason_domain_and_advice(server: Caller, media: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        server.create(media, "x" * 2000)
    status = rpc_status.from_call(refused.value)
    assert status is not None
    assert (status.code, status.message) == (3, refused.value.details())
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    assert detail.Unpack(info)
    assert (info.reason, info.domain) == ("PROMPT_TOO_LONG", "stemline")
    assert info.metadata["advice"]


def test_an_unforeseen_error_leaks_nothing(server: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("/home/somebody/secret")

    monkeypatch.setattr("stemline_server.jobs.table.get", broken)
    code, message = server.refused(server.jobs.GetJob, pb.GetJobRequest(name="jobs/x"))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in message
    assert "KeyError" not in message


def test_a_handler_that_is_cancelled_answers_at_once(server: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("stemline_server.services.models.ModelService._message", cancelled)
    code, _ = server.refused(server.models.ListModels, models_pb2.ListModelsRequest())
    assert code is grpc.StatusCode.CANCELLED


def test_one_address_cannot_take_all_calls_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Watches of the health need no token, and last."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    monkeypatch.setattr("stemline_server.interceptors._MAX_CALLS_OF_AN_ADDRESS", 3)
    config = ServerConfig(tmp_path / "limited", private=True, devices=("cpu",))
    with server_in_thread(config) as caller, grpc.insecure_channel(caller.address) as other:
        watches = [
            health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            for channel in (caller.channel, other, other)
        ]
        for watch in watches:
            next(watch)
        code, message = caller.refused(caller.models.GetServerInfo, models_pb2.GetServerInfoRequest())
        assert (code, "3 calls" in message) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)
        watches[0].cancel()
        until(lambda: answered(caller))


def until(check: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while not check():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def answered(caller: Caller) -> bool:
    try:
        caller.info()
    except grpc.RpcError:
        return False
    return True


def test_calls_of_other_addresses_are_not_counted() -> None:
    class Peer:
        def __init__(self, peer: str) -> None:
            self._peer = peer

        def peer(self) -> str:
            return self._peer

    limit = CallLimit(1)
    with limit.one(Peer("ipv4:192.0.2.1:5")):
        with pytest.raises(SeparationError, match="1 calls from this address"), limit.one(Peer("ipv4:192.0.2.1:6")):
            pass
        with limit.one(Peer("ipv6:%5B2001:db8::1%5D:5")), limit.one(Peer("ipv4:192.0.2.2:5")):
            pass
    with limit.one(Peer("ipv4:192.0.2.1:7")):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_more_connections_than_the_process_has_files_for_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemline_server.operations.listening._MAX_CONNECTIONS", 4)
    config = ServerConfig(tmp_path / "limited", private=True, devices=("cpu",))
    with server_in_thread(config) as caller, contextlib.ExitStack() as opened:
        caller.info()
        host, _, port = caller.address.rpartition(":")
        idle = [opened.enter_context(socket.create_connection((host, int(port)), CALL_TIMEOUT_S)) for _ in range(6)]
        for connection in idle:
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        assert sorted(len(connection.recv(1)) for connection in idle) == [0, 0, 0, 1, 1, 1]
        caller.info()


def test_health_and_reflection_answer(server: Caller) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    health = health_pb2_grpc.HealthStub(server.channel)
    for service in ("", "stemline.v1.SeparationService", "model/noop"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (answer,) = reflection.ServerReflectionInfo(asked, metadata=server.metadata, timeout=CALL_TIMEOUT_S)
    assert "stemline.v1.SeparationService" in {service.name for service in answer.list_services_response.service}


@pytest.mark.skipif(sys.platform != "linux", reason="lists the connections of a process")
def test_one_address_cannot_hold_all_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemline_server.operations.listening._MAX_CONNECTIONS", 64)
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with contextlib.ExitStack() as stack:
        caller = stack.enter_context(server_in_thread(config))
        host, _, port = caller.address.rpartition(":")
        held = []
        for _ in range(40):
            connection = socket.create_connection((host, int(port)), 10, source_address=("127.0.0.2", 0))
            held.append(stack.enter_context(connection))
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while sum(not is_closed(each) for each in held) > 8:
            assert time.monotonic() < deadline_s
            time.sleep(0.1)
        assert sum(not is_closed(each) for each in held) == 8, "the oldest stay"
        caller.info()


@pytest.mark.skipif(sys.platform != "linux", reason="lists the connections of a process")
def test_counting_connections_uses_up_no_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemline_server.operations.listening._MAX_CONNECTIONS", 64)
    monkeypatch.setattr("stemline_server.operations.listening._COUNT_EVERY_S", 0.01)
    counted = threading.Semaphore(0)

    class Descriptors:
        def iterdir(self) -> list[Path]:
            counted.release()
            return list(Path("/proc/self/fd").iterdir())

    monkeypatch.setattr("stemline_server.operations.listening._DESCRIPTORS", Descriptors())
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with server_in_thread(config) as caller, contextlib.ExitStack() as files:
        for _ in range(20):
            files.enter_context(Path("/dev/null").open("rb"))
        caller.info()
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            assert counted.acquire(timeout=CALL_TIMEOUT_S)
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 20


def is_closed(connection: socket.socket) -> bool:
    """Return whether the other end has closed; what it sends is read."""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
