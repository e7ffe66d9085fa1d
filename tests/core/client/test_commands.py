"""The small commands, against a real private server."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.client.sounds import make_request
from stemline import paths
from stemline._version import __version__
from stemline.client import Client, connect, find_private
from stemline.client.managed_server import store_limit_bytes
from stemline.client.run_lock import run_lock
from stemline.errors import Code, NoServerError, UsageError
from stemline.files import escape_controls
from stemline.hosts.description import Status
from stemline_app.cli import cache, doctor, jobs, models, serve, stop
from stemline_app.cli.cache import parse_size
from stemline_app.cli.output import size_text
from stemline_app.doctor.environment import place_checks
from stemline_app.doctor.server import server_checks

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line; return its exit code and its standard output."""
    parser = argparse.ArgumentParser(prog="stemline")
    subparsers = parser.add_subparsers(required=True)
    for module in (cache, doctor, jobs, models, serve, stop):
        module.add_parser(subparsers)

    def run(*words: str) -> tuple[int, str]:
        args = parser.parse_args(words)
        capsys.readouterr()
        code = args.func(args)
        return code, capsys.readouterr().out

    return run


def results(answer: tuple[int, str]) -> Any:
    """Return the results of one JSON object on standard output."""
    whole = json.loads(answer[1])
    assert whole["version"] == 1
    assert set(whole) == {"version", "results", "errors"}
    return whole["results"]


def test_models_are_listed_with_their_prompt_kinds(command: Command, client: Client) -> None:
    listed = {model["model"]: model for model in results(command("models", "--json"))}
    assert listed["noop"]["available"] is True
    assert [model for model in listed if listed[model]["default"]] == [client.server_info().default_model]
    assert "noop" in command("models")[1]


def test_generators_are_listed_with_licence_and_commercial_use(command: Command, client: Client) -> None:
    listed = {row["generator"]: row for row in results(command("models", "--generators", "--json"))}
    assert listed["noop"]["available"] is True
    assert (listed["stable_audio"]["available"], listed["stable_audio"]["commercial"]) == (False, "limited")
    assert "huggingface.co/stabilityai" in listed["stable_audio"]["note"]
    assert "stable_audio" in command("models")[1]


def test_taggers_and_generators_are_listed_as_json_like_models(command: Command, client: Client) -> None:
    taggers = results(command("models", "--taggers", "--json"))
    assert {row["tagger"] for row in taggers} == {tagger.id for tagger in client.taggers()}
    both = results(command("models", "--taggers", "--generators", "--json"))
    assert {row["kind"] for row in both} == {"tagger", "generator"}
    shared = {"kind", "title", "available", "revision", "note", "licence"}
    assert all(shared <= set(row) for row in [*both, *results(command("models", "--json"))])
    assert "embedded" in command("models", "--taggers")[1]


def test_jobs_are_listed_cancelled_and_retried(command: Command, own_client: Client, clip: Path) -> None:
    request = make_request(own_client, clip, "sleep:20", batch_id="batch")
    (job,) = own_client.create_jobs([request])
    (listed,) = results(command("jobs", "--json"))
    assert (listed["job"], listed["prompt"], listed["batch"]) == (job.name, "sleep:20", "batch")
    assert job.name.removeprefix("jobs/") in command("jobs")[1]
    command("jobs", "cancel", job.name.removeprefix("jobs/"))
    *_, ended = own_client.watch([job.name])
    assert ended.state == "cancelled"
    (again,) = results(command("jobs", "retry", "--batch", "batch", "--json"))
    assert (again["job"], again["state"]) == (job.name, "queued")
    results(command("jobs", "cancel", "--all", "--json"))
    *_, ended = own_client.watch([job.name])
    assert ended.state == "cancelled"


def test_an_unknown_job_fails_alone(command: Command, own_client: Client, clip: Path) -> None:
    (job,) = own_client.create_jobs([make_request(own_client, clip)])
    code, out = command("jobs", "list", "nothing", job.name, "--json")
    whole = json.loads(out)
    assert code == 1
    assert [error["input"] for error in whole["errors"]] == ["nothing"]
    assert whole["errors"][0]["code"] == Code.JOB_UNKNOWN
    assert [entry["job"] for entry in whole["results"]] == [job.name]


@pytest.mark.parametrize("action", ["list", "cancel", "retry"])
def test_an_unknown_job_prints_one_useful_line(command: Command, client: Client, action: str) -> None:
    assert client.server_info()
    code, out = command("jobs", action, "nope")
    (line,) = out.splitlines()
    assert code == 1
    assert line.startswith("nope: ")
    assert "stemline jobs" in line
    assert "create it again" not in line


def test_doctor_does_not_advise_running_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_SERVER", "127.0.0.1:1")
    (check,) = [check for check in server_checks() if check.name == "server"]
    assert check.status is Status.FAIL
    assert "doctor" not in check.advice
    assert "stemline serve" in check.advice


def test_cancel_without_a_job_is_wrong_usage(command: Command) -> None:
    with pytest.raises(UsageError, match="No jobs to"):
        command("jobs", "cancel")
    assert find_private() is None


@pytest.mark.usefixtures("private")
def test_stop_says_whether_a_server_ran(command: Command) -> None:
    with connect():
        assert results(command("stop", "--json")) == [{"stopped": True}]
    assert results(command("stop", "--json")) == [{"stopped": False}]
    assert command("stop") == (0, "No private server is running.\n")


def test_clearing_the_cache_keeps_data_of_a_running_job(command: Command, own_client: Client, clip: Path) -> None:
    request = make_request(own_client, clip)
    (done,) = own_client.create_jobs([request])
    *_, done = own_client.watch([done.name])
    slow = replace(request, prompt=replace(request.prompt, text="sleep:1"), request_id="slow")
    (waiting,) = own_client.create_jobs([slow])
    (cleared,) = results(command("cache", "clear", "--json"))
    assert cleared["kept"] != []
    *_, ended = own_client.watch([waiting.name])
    assert ended.state == "succeeded"
    assert ended.stem is not None
    with own_client.open_media(ended.stem.media) as stem:
        assert stem.read(0, 10).shape == (2, 10)


def test_clearing_the_cache_removes_nothing_during_a_run(command: Command, own_client: Client, clip: Path) -> None:
    (done,) = own_client.create_jobs([make_request(own_client, clip)])
    *_, done = own_client.watch([done.name])
    assert done.stem is not None
    killed = paths.cache_dir() / "locks" / "run-1-00000000"
    with run_lock():
        killed.touch()
        (cleared,) = results(command("cache", "clear", "--json"))
        assert (cleared["freed_bytes"], len(cleared["kept"])) == (0, 1)
        with own_client.open_media(done.stem.media) as stem:
            assert stem.read(0, 10).shape == (2, 10)
    (cleared,) = results(command("cache", "clear", "--json"))
    assert cleared["freed_bytes"] > 0
    assert not killed.exists()


def test_clearing_the_cache_frees_the_disk_when_idle(command: Command, own_client: Client, clip: Path) -> None:
    (job,) = own_client.create_jobs([make_request(own_client, clip)])
    list(own_client.watch([job.name]))
    old = paths.server_state_dir("0.0.1") / "store"
    old.mkdir(parents=True)
    (old.parent / "lock").touch()
    (old / "stem.f32").write_bytes(bytes(1000))
    (paths.cache_dir() / "pcm").mkdir(exist_ok=True)
    (paths.cache_dir() / "pcm" / "sound").write_bytes(bytes(1000))
    (shown,) = results(command("cache", "--json"))
    sizes = {part["name"]: part["bytes"] for part in shown["parts"]}
    assert sizes["pcm"] == 1000
    assert sizes["server-0.0.1"] == 1000
    assert sizes[f"server-{__version__}"] > 384_000
    (cleared,) = results(command("cache", "clear", "--json"))
    assert cleared["freed_bytes"] > 386_000
    assert cleared["kept"] == []
    assert find_private() is None
    assert not (paths.cache_dir() / "pcm").exists()
    assert sum(part["bytes"] for part in results(command("cache", "--json"))[0]["parts"]) < 100_000


@pytest.mark.usefixtures("private")
def test_the_store_limit_reaches_the_server(command: Command) -> None:
    assert results(command("cache", "limit", "2GB", "--json")) == [
        {"limit_bytes": 2_000_000_000, "applies_after_restart": False}
    ]
    assert store_limit_bytes() == 2_000_000_000
    with connect() as client:
        assert client.server_info().store_limit_bytes == 2_000_000_000


@pytest.mark.parametrize(("text", "size"), [("20GB", 20e9), ("1.5 TiB", 1.5e12), ("100000000", 1e8), ("200m", 2e8)])
def test_sizes_are_parsed(text: str, size: float) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-5GB", "10kB", "nanGB", "1e9", "20 GB of it"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def test_only_cache_limit_takes_a_size(command: Command) -> None:
    for words in (("cache", "limit"), ("cache", "clear", "20GB"), ("cache", "show", "20GB")):
        with pytest.raises(UsageError):
            command(*words)


def test_untrusted_text_cannot_control_the_terminal() -> None:
    assert escape_controls("a\x1b[31m\r\nb\u202e") == "a\\x1b[31m\\r\\nb\\u202e"
    assert escape_controls("Größe 20 °") == "Größe 20 °"


def test_sizes_are_formatted() -> None:
    assert [size_text(n) for n in (0, 999, 1000, 1_500_000, 5 * 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "5000.0 TB",
    ]


def test_serve_without_the_server_package_names_the_install_command(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stemline_server.app", None)
    with pytest.raises((NoServerError, ImportError)) as caught:
        command("serve")
    assert "[server]" in str(caught.value)


def checks(answer: tuple[int, str]) -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in results(answer)}


def test_doctor_passes_here_and_starts_no_server(command: Command) -> None:
    code, out = command("doctor", "--json")
    found = checks((code, out))
    assert code == 0, out
    assert {"python", "av", "grpcio", "torch", "device", "codecs", "edit formats", "cache folder"} <= set(found)
    assert found["private server"]["message"].startswith("not running")
    assert find_private() is None
    assert all(check["advice"] for check in found.values() if check["status"] != "ok")


@pytest.mark.usefixtures("private")
def test_doctor_reports_a_running_and_a_dead_server() -> None:
    with connect():
        server = find_private()
        assert server is not None
        *_, running = server_checks()
        assert str(server.pid) in running.message
        os.kill(server.pid, 9)
        *_, died = server_checks()
    assert died.status is Status.WARN
    assert "has died" in died.message


def test_doctor_fails_for_an_unwritable_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("STEMLINE_CACHE", str(file / "cache"))
    broken, *_ = place_checks()
    assert (broken.name, broken.status) == ("cache folder", Status.FAIL)
    assert "STEMLINE_CACHE" in broken.advice


def test_doctor_warns_about_a_taken_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr("stemline_server.config.DEFAULT_PORT", port)
        _, taken, _ = server_checks()
    assert (taken.name, taken.status) == (f"port {port}", Status.WARN)
    assert "--listen" in taken.advice


def test_doctor_fails_for_an_unreachable_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_SERVER", "127.0.0.1:9")
    *_, named = server_checks()
    assert named.status is Status.FAIL
    assert "127.0.0.1:9" in named.message


def test_doctor_survives_a_broken_package(tmp_path: Path) -> None:
    """A broken av, grpc or torch must be the finding, not the end."""
    for name in ("av", "grpc", "torch"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('broken on purpose')")
    script = (
        "import argparse\nfrom stemline_app.cli import doctor\nparser = argparse.ArgumentParser()\n"
        "doctor.add_parser(parser.add_subparsers())\nargs = parser.parse_args(['doctor', '--json'])\n"
        "raise SystemExit(args.func(args))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    found = checks((done.returncode, done.stdout))
    assert done.returncode == 1
    for name in ("av", "grpcio", "torch"):
        assert found[name]["status"] == "fail"
        assert "broken on purpose" in found[name]["message"]
