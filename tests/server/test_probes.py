"""Callers without the token: probes are answered, the rest is refused before it is parsed, and the log stays small."""

from __future__ import annotations

import concurrent.futures
import logging
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server.conftest import LENGTH_SAMPLES
from server.harness import CALL_TIMEOUT_S, Caller, server_in_thread
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.engines import registry
from stemline_server.engines.base import Engine

CREATE = "/stemline.v1.SeparationService/CreateJob"
UPLOAD = "/stemline.v1.MediaService/UploadMedia"
SERVING, UNKNOWN = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.mark.parametrize(
    ("service", "status"),
    [("", SERVING), ("stemline.v1.MediaService", SERVING), ("model/noop", SERVING), ("model/none", UNKNOWN)],
)
def test_health_can_be_watched(server: Caller, service: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    watch = health_pb2_grpc.HealthStub(server.channel).Watch(
        health_pb2.HealthCheckRequest(service=service), timeout=CALL_TIMEOUT_S
    )
    assert next(watch).status == status
    watch.cancel()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def probe(server: Caller, service: str) -> grpc.StatusCode:
    stub = health_pb2_grpc.HealthStub(server.channel)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_TIMEOUT_S)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_many_probes_of_models_ask_once(server: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    engine_ids, create = registry.engine_ids, registry.create

    def counted_ids() -> tuple[str, ...]:
        asked.append("all")
        return engine_ids()

    def counted_create(model: str) -> Engine:
        asked.append(model)
        return create(model)

    monkeypatch.setattr(registry, "engine_ids", counted_ids)
    monkeypatch.setattr(registry, "create", counted_create)
    services = [f"model/{number}" if number % 3 else "model/noop" for number in range(90)]
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        found = list(pool.map(lambda service: probe(server, service), services))
    assert found == [grpc.StatusCode.NOT_FOUND if number % 3 else grpc.StatusCode.OK for number in range(90)]
    assert sorted(asked) == ["all", "noop"]


def call_bytes(server: Caller, method: str, data: bytes, token: str = "") -> grpc.RpcError:
    send: Any = server.channel.unary_unary(method) if method == CREATE else server.channel.stream_unary(method)
    metadata = (("authorization", token),) if token else ()
    with pytest.raises(grpc.RpcError) as refused:
        send(data if method == CREATE else iter([data]), metadata=metadata, timeout=CALL_TIMEOUT_S)
    return refused.value


@pytest.mark.parametrize("method", [CREATE, UPLOAD])
def test_without_the_token_nothing_is_parsed_and_little_is_logged(
    server: Caller, method: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        error = call_bytes(server, method, b"\xff" * 1000)
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert len([record for record in caplog.records if "without the token" in record.getMessage()]) == 1
    assert len(caplog.records) < 10


def test_calls_beyond_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemline_server.server._MAX_CONCURRENT_CALLS", 3)
    with server_in_thread(ServerConfig(tmp_path / "state", private=True, devices=("cpu",))) as server:
        stub = health_pb2_grpc.HealthStub(server.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service="")) for _ in range(3)]
        for watch in watches:
            next(watch)
        assert probe(server, "") is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches.pop().cancel()
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while probe(server, "") is not grpc.StatusCode.OK:
            assert time.monotonic() < deadline_s
        for watch in watches:
            watch.cancel()


@pytest.mark.parametrize("method", [CREATE, UPLOAD])
def test_a_message_that_cannot_be_parsed_is_refused_in_one_sentence(
    server: Caller, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = call_bytes(server, method, b"\xff" * 1000, token=dict(server.metadata)["authorization"])
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "The request can't be parsed.")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(1 << 62, 0), (-(1 << 62), 0), (0, -1), (10**15, 999_999_999), (-1, -(1 << 31))]
)
def test_a_wait_of_any_length_is_answered(server: Caller, noise: Path, seconds: int, nanos: int) -> None:
    job = server.done(server.create(server.register(noise, 0, LENGTH_SAMPLES).name).name)
    request = pb.WaitJobRequest(name=job.name)
    request.timeout.seconds, request.timeout.nanos = seconds, nanos
    assert server.call(server.jobs.WaitJob, request).name == job.name
