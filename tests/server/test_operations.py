"""What an operator relies on: the configuration file, metrics, probes, logs, certificates, and the files in deploy/."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from server.conftest import LENGTH_SAMPLES
from server.harness import CALL_TIMEOUT_S, ServerProcess
from stemline.errors import UsageError
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig, add_arguments, from_arguments
from stemline_server.store.content import ContentStore, Draft
from stemline_server.store.database import Database
from stemline_server.store.media_table import MediaShape
from stemline_server.store.scrubber import Scrubber

Start = Callable[..., ServerProcess]
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def configure(*arguments: str) -> ServerConfig:
    parser = ArgumentParser()
    add_arguments(parser)
    return from_arguments(parser.parse_args([*arguments]))


def test_the_file_gives_every_option_and_the_command_line_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text(
        'listen = "127.0.0.1:9"\nstate = "here"\nmedia_root = ["a", "/b"]\nstore_limit = 2\nlog_format = "json"\n'
        'device = ["cpu"]\nengine_memory = 1.5\nmetrics = "127.0.0.1:0"\ninsecure = true\n',
        encoding="utf-8",
    )
    config = configure("--config", str(file), "--listen", "127.0.0.1:10")
    assert (config.listen, config.state, config.devices) == ("127.0.0.1:10", tmp_path / "here", ("cpu",))
    assert config.media_roots == (tmp_path / "a", Path("/b"))
    assert (config.store_limit_bytes, config.engine_limits.memory_bytes) == (2 << 30, 3 << 29)
    assert config.json_log


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listne = 1", "listne"),
        ("listen = 7861", "listen"),
        ("store_limit = true", "store_limit"),
        ('media_root = "/a"', "media_root"),
        ('log_format = "xml"', "log_format"),
        ("store_limit = -1", "store-limit"),
        ("= 3", "TOML"),
    ],
)
def test_a_wrong_option_in_the_file_is_refused_at_start(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        configure("--config", str(file))


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310 - a loopback address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(check: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while not check():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_metrics_probes_logs_and_reload_of_a_running_server(start_server: Start, noise: Path, tmp_path: Path) -> None:
    file, port = tmp_path / "server.toml", free_port()
    text = f'metrics = "127.0.0.1:{port}"\nlog_format = "json"\nstore_limit = 2\n'
    file.write_text(text, encoding="utf-8")
    server = start_server("--config", str(file))
    caller = server.caller
    media = caller.register(noise, 0, LENGTH_SAMPLES).name
    done = caller.done(caller.create(media, "a").name)
    caller.download(done.stem.media)
    caller.refused(caller.jobs.GetJob, pb.GetJobRequest(name="jobs/none"))
    assert get(f"http://127.0.0.1:{port}/live")[0] == 200
    assert get(f"http://127.0.0.1:{port}/ready")[0] == 200
    health = health_pb2_grpc.HealthStub(caller.channel)
    for service in ("live", "ready"):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_TIMEOUT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    found = get(f"http://127.0.0.1:{port}/metrics")[1]
    for line in (
        r'stemline_jobs_total\{model="noop",.*state="succeeded"\} 1\.0',
        r'stemline_audio_seconds_total\{model="noop".*\} 1\.0',
        r"stemline_first_sound_seconds_count.* 1\.0",
        r"stemline_job_wait_seconds_count.* 1\.0",
        r"stemline_queued_jobs.* 0\.0",
        rf'stemline_transfer_bytes_total\{{direction="out".*\}} {LENGTH_SAMPLES * 8}\.0',
        r'stemline_calls_total\{method="GetJob",.*status="NOT_FOUND"\} 1\.0',
        r'stemline_device_memory_bytes\{device="cpu".*\} [1-9]',
        r'stemline_engine_memory_bytes\{device="cpu".*\} [1-9]',
        r"stemline_store_limit_bytes.* 2\.147483648e\+09",
    ):
        assert re.search(line, found), (line, found)
    lines = [json.loads(line) for line in server.log().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    file.write_text(text.replace("= 2", "= 3"), encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: caller.info().store_limit_bytes == 3 << 30)
    file.write_text("nonsense = 1", encoding="utf-8")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "nonsense" in server.log())
    assert caller.info().store_limit_bytes == 3 << 30


def test_systemd_is_told_when_the_server_is_ready_alive_and_stopping(
    start_server: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(CALL_TIMEOUT_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        server = start_server()
        said = {manager.recv(100) for _ in range(4)}
        assert said == {b"READY=1", b"WATCHDOG=1"}
        server.terminate()
        while b"STOPPING=1" not in said:
            said.add(manager.recv(100))


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OpenTelemetry collector."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name of the call
        for resource in request.resource_spans:
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


def test_a_request_can_be_followed_from_the_client_to_the_engine(start_server: Start, noise: Path) -> None:
    collector = Collector()
    receiving = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, receiving)  # type: ignore[no-untyped-call]
    port = receiving.add_insecure_port("127.0.0.1:0")
    receiving.start()
    server = start_server("--otlp", f"http://127.0.0.1:{port}", "--log-format", "json")
    media = server.caller.register(noise, 0, LENGTH_SAMPLES).name
    job = server.caller.done(server.caller.create(media, "a", "request-7").name)
    server.terminate()
    receiving.stop(5).wait()
    trace = hashlib.sha256(b"request-7").digest()[:16]
    spans = {span.name: span for span in collector.spans if span.trace_id == trace}
    assert set(spans) == {"accepted", "job", "queue", "engine"}
    assert spans["engine"].parent_span_id == spans["queue"].parent_span_id == spans["job"].span_id
    facts = {pair.key: pair.value.string_value for pair in spans["job"].attributes}
    assert (facts["job"], facts["request_id"], facts["state"]) == (job.name, "request-7", "succeeded")
    (accepting,) = [pair.value.string_value for pair in spans["accepted"].attributes if pair.key == "call"]
    calls = {pair.value.string_value: span.name for span in collector.spans for pair in span.attributes
             if pair.key == "call" and span.name != "accepted"}  # fmt: skip
    assert calls[accepting] == "CreateJob"


def test_everything_includes_each_extra_that_a_user_needs() -> None:
    extras = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.findall(r"\w+", everything)) - {"stemline"} == set(extras) - {"all", "dev", "docs", "release"}


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    source = (DEPLOY.parent / "server/stemline_server/operations/metrics.py").read_text("utf-8")
    made = set(re.findall(r'"(stemline_[a-z_]+)"', source))
    asked = set(re.findall(r"stemline_[a-z_]+", (DEPLOY / "grafana.json").read_text("utf-8")))
    base = {re.sub(r"(_bucket|_total|_seconds_total|_bytes_total)$", "", name) for name in asked}
    assert base <= made | {re.sub(r"_(seconds|bytes)$", "", name) for name in made}


def test_the_example_configuration_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure("--config", str(DEPLOY / "server.toml"))
    assert (config.metrics, config.json_log) == ("127.0.0.1:9464", True)
    assert config.tls is not None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_systemd_unit_is_valid_and_hardened(tmp_path: Path) -> None:
    unit = tmp_path / "stemline.service"
    text = (DEPLOY / "stemline.service").read_text("utf-8")
    unit.write_text(text.replace("/opt/stemline/bin/stemline", "/bin/true").replace("notify-reload", "notify"), "utf-8")
    checked = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "stemline.service" not in checked.stderr, checked.stderr
    wrong = tmp_path / "wrong.service"
    wrong.write_text(unit.read_text("utf-8").replace("ProtectHome=", "ProtectHouse="), "utf-8")
    checked = subprocess.run(["systemd-analyze", "verify", str(wrong)], capture_output=True, text=True, check=False)
    assert "ProtectHouse" in checked.stderr
    rating = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=40", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rating.returncode == 0, rating.stdout[-600:]


def container_file() -> list[tuple[str, str]]:
    """The instructions of the container file with their arguments."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = text.replace("\\\n", "").splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line)]


def argument_of(wanted: str) -> str:
    (argument,) = [argument for word, argument in container_file() if word == wanted]
    return argument


def test_the_base_of_the_container_is_one_version() -> None:
    bases = [argument.split()[0] for word, argument in container_file() if word == "FROM"]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-\w+(@sha256:[0-9a-f]{64})?", bases[0])


def test_nothing_but_the_source_reaches_a_layer_of_the_container() -> None:
    """Not the whole checkout, which may hold keys, tokens, environments and media."""
    words = {word for word, _ in container_file()}
    assert not words & {"ADD", "ARG"}
    sources = [
        source
        for word, argument in container_file()
        if word == "COPY" and not argument.startswith("--from=build ")
        for source in argument.split()[:-1]
    ]
    assert all((DEPLOY.parent / source).exists() and source not in (".", "./", "/") for source in sources)
    build = tomllib.loads((DEPLOY.parent / "pyproject.toml").read_text("utf-8"))
    wheel = build["tool"]["hatch"]["build"]["targets"]["wheel"]
    for needed in (*wheel["packages"], *wheel["force-include"], build["project"]["readme"], "LICENSE", "LICENSES"):
        assert any(f"{needed}/".startswith(f"{source}/") for source in sources), needed
    for word, argument in container_file():
        assert word != "ENV" or not re.search(r"TOKEN|SECRET|PASSWORD|_KEY", argument)


def test_the_container_runs_as_a_user_without_rights() -> None:
    words = [word for word, _ in container_file()]
    assert words.index("USER") < words.index("ENTRYPOINT")
    assert "RUN" not in words[words.index("USER") :]
    user = argument_of("USER")
    assert int(user) >= 1000  # a number: an orchestrator can see that it is not root
    assert f"--uid {user} " in " ".join(argument for word, argument in container_file() if word == "RUN")


def test_the_container_starts_the_server_that_its_health_check_asks() -> None:
    command = json.loads(argument_of("ENTRYPOINT")) + json.loads(argument_of("CMD"))
    assert command[:2] == ["stemline", "serve"]
    config = configure(*command[2:])
    assert config.listen == "0.0.0.0:7861"
    assert config.tls is not None
    assert config.state.is_relative_to(argument_of("VOLUME"))
    _, _, check = argument_of("HEALTHCHECK").partition(" CMD ")
    program, option, code = json.loads(check)
    assert (program, option) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")
    assert f"http://{config.metrics}/ready" in code


def test_damage_on_the_disk_is_found_before_the_sound_is_asked_for(tmp_path: Path, database: Database) -> None:
    store = ContentStore(tmp_path / "store", database, 1 << 30)
    shape = MediaShape(48_000, 1, 1000)
    names = []
    for value in (0.1, 0.2, 0.3):
        draft = Draft(store, shape)
        draft.write(np.full((1, 1000), value, np.float32))
        names.append(draft.close().name)
        draft.discard()
    damaged = store.path(names[1])
    facts = damaged.stat()
    with damaged.open("r+b") as file:
        file.write(b"\xff")
    os.utime(damaged, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as decay of the disk does
    assert store.is_verified(names[1])
    scrubber = Scrubber(store, database, bytes_per_s=1 << 30)
    scrubber.start()
    until(lambda: not damaged.exists())
    scrubber.stop()
    assert store.is_verified(names[0])
    assert store.is_verified(names[2])


def test_a_server_whose_engine_is_stuck_is_live_and_not_ready(start_server: Start, noise: Path) -> None:
    port = free_port()
    server = start_server("--metrics", f"127.0.0.1:{port}", "--engine-timeout-s", "8")
    job = server.caller.create(server.caller.register(noise, 0, LENGTH_SAMPLES).name, "sleep:100")
    until(lambda: server.caller.get(job.name).progress.stage == "separating")
    assert get(f"http://127.0.0.1:{port}/ready")[0] == 200
    (engine,) = psutil.Process(server.process.pid).children()
    engine.suspend()
    until(lambda: get(f"http://127.0.0.1:{port}/ready")[0] == 503)
    assert get(f"http://127.0.0.1:{port}/live")[0] == 200
    engine.resume()
    until(lambda: get(f"http://127.0.0.1:{port}/ready")[0] == 200)
    server.caller.cancel(job.name)
