"""The private server: one per user and version, started on demand, restarted after a kill."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemline import paths
from stemline._version import __version__
from stemline.client import Client, connect, find_private, managed_server, stop_private
from stemline.client.managed_server import PrivateServer
from stemline.errors import Code, NoServerError
from stemline.locks import is_alive, lock_state

pytestmark = pytest.mark.usefixtures("private")

_CONNECT = "from stemline.client import connect, find_private\nwith connect():\n    print(find_private().pid)"


def running() -> PrivateServer:
    found = find_private()
    assert found is not None
    return found


def test_looking_for_a_server_starts_none() -> None:
    assert find_private() is None
    assert stop_private() is False
    assert not paths.server_state_dir(__version__).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_the_server_does_not_keep_the_clients_streams_open() -> None:
    command = f'answer=$("{sys.executable}" -c "{_CONNECT}" 2>&1); echo "got $answer"'
    # without detaching, the server would hold the pipe of $(...) until its idle timeout, ten minutes on
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"got {running().pid}\n"
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are POSIX")
def test_the_server_is_in_a_session_of_its_own(client: Client) -> None:
    """A Ctrl-C or a closed terminal of the client does not reach it."""
    assert client.address == running().endpoint.address
    assert os.getsid(running().pid) == running().pid != os.getsid(0)


def test_clients_that_start_together_share_one_server() -> None:
    clients = [subprocess.Popen([sys.executable, "-c", _CONNECT], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    pids = {client.communicate(timeout=120)[0] for client in clients}
    assert [client.returncode for client in clients] == [0] * 3
    assert pids == {f"{running().pid}\n"}


def test_only_the_owner_can_read_the_token(client: Client) -> None:
    state = paths.server_state_dir(__version__)
    assert client.address in (state / "endpoint.json").read_text()
    assert (state / "token").stat().st_mode & 0o077 == 0
    assert state.stat().st_mode & 0o077 == 0


def test_a_killed_server_is_replaced() -> None:
    with connect() as client:
        dead = running()
        os.kill(dead.pid, signal.SIGKILL)
        assert client.server_info().version == __version__
        assert running().pid != dead.pid


def killed_while_starting(folder: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Kill the next private servers as they start, so many times, and write a line to the file for each start."""
    starts = folder / "starts"
    (folder / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'stemline_server' in sys.orig_argv:\n"
        f"    with open({str(starts)!r}, 'a+') as file:\n"
        "        file.write('started\\n')\n"
        "        file.seek(0)\n"
        f"        killed = len(file.readlines()) <= {times}\n"
        "    if killed:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return starts


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_server_killed_during_start_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = killed_while_starting(tmp_path, 2, monkeypatch)
    with connect() as client:
        assert client.server_info().version == __version__
    assert len(starts.read_text().splitlines()) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_server_killed_at_every_start_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = killed_while_starting(tmp_path, 99, monkeypatch)
    with pytest.raises(NoServerError, match="killed 3 times, the last time by signal 9"):
        connect()
    assert len(starts.read_text().splitlines()) == 3


def test_an_endpoint_whose_process_id_was_reused_is_ignored() -> None:
    """Process ids are used again: this one lives, but is no server."""
    state = paths.server_state_dir(__version__)
    state.mkdir(parents=True)
    (state / "token").write_text("old")
    record = {"version": __version__, "pid": os.getpid(), "address": "127.0.0.1:9", "token_file": str(state / "token")}
    (state / "endpoint.json").write_text(json.dumps(record))
    with connect() as client:
        assert running().pid != os.getpid()
        assert client.server_info().version == __version__


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": "x"}', '{"version": 1, "pid": 1, "token_file": 5}'])
def test_a_damaged_endpoint_is_ignored(text: str) -> None:
    state = paths.server_state_dir(__version__)
    state.mkdir(parents=True)
    (state / "endpoint.json").write_text(text)
    assert find_private() is None


def test_stop_waits_for_the_end_of_the_server() -> None:
    with connect():
        pid = running().pid
    assert stop_private() is True
    assert not is_alive(pid)
    with lock_state(paths.server_state_dir(__version__)) as free:
        assert free


def test_stop_kills_a_hanging_server() -> None:
    with connect():
        found = running()
    os.kill(found.pid, signal.SIGSTOP)
    managed_server._end(found.pid, timeout_s=0.2)
    assert not is_alive(found.pid)


def test_a_failed_start_reports_the_reason() -> None:
    state = paths.server_state_dir(__version__)
    state.mkdir(parents=True)
    (state / "jobs.sqlite").mkdir()
    with pytest.raises(NoServerError, match="did not start") as caught:
        connect()
    message = caught.value.message
    assert message.count("\n") == 0
    assert "stemline doctor" in caught.value.advice
    assert str(state / "server.log") in caught.value.advice


@pytest.mark.parametrize("missing", ["torch", "grpc_reflection", "stemline_server"])
def test_a_missing_package_is_reported_with_the_install_command(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find_spec(name))
    with pytest.raises(NoServerError, match=missing) as caught:
        connect()
    assert "[server]" in caught.value.advice
    assert not paths.server_state_dir(__version__).exists()


def test_an_unusable_cache_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("STEMLINE_CACHE", str(file / "cache"))
    with pytest.raises(NoServerError, match="cannot be created"):
        connect()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """The cache folder on a disk of its own, without a byte of room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a disk")
    with pytest.raises(OSError, match="No space"), (disk / "rubbish").open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_reported_and_left_clean(full_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_CACHE", str(full_disk))
    with pytest.raises(NoServerError, match="full") as caught:
        connect()
    assert caught.value.code is Code.DISK_FULL
    assert str(full_disk) in caught.value.message
    assert not list(full_disk.rglob("*.tmp"))


def test_nothing_is_imported_from_the_users_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grpc.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STEMLINE_CACHE", "cache")
    with connect() as client:
        assert client.server_info().version == __version__
        assert (tmp_path / "cache" / f"server-{__version__}" / "endpoint.json").is_file()
        stop_private()


def test_servers_of_two_versions_run_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect() as client:
        ours = running()
        (tmp_path / "sitecustomize.py").write_text("import stemline._version\nstemline._version.__version__ = '9.9.9'")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        other = subprocess.run([sys.executable, "-c", _CONNECT], capture_output=True, text=True, timeout=60, check=True)
        pid = int(other.stdout)
        assert is_alive(pid)
        assert pid != ours.pid
        assert client.server_info().version == __version__
        assert json.loads((paths.server_state_dir("9.9.9") / "endpoint.json").read_text())["version"] == "9.9.9"
        managed_server._end(pid, timeout_s=10)
        assert running() == ours


def test_a_missing_python_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NoServerError, match="/nowhere/python"):
        connect()


def test_stop_works_while_the_starting_process_lives(private: None) -> None:
    """A child process that ended but was not waited for looks alive to others."""
    script = "from stemline.client import connect; import time\n"
    script += "connect().close(); print('up', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        assert stop_private(timeout_s=20)
        starter.kill()
