"""The private server: one for each user and version, started on demand, ended when it is idle.

It writes `endpoint.json` into its state folder once it listens. The first client starts it; the lock of the server lets
only one of several that start together go on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import grpc

from stemline import paths
from stemline._version import __version__
from stemline.client.address import Endpoint
from stemline.errors import Code, NoServerError, UsageError
from stemline.extras import install_command
from stemline.files import is_full, output_errors, write_json
from stemline.locks import is_alive
from stemline.v1 import models_pb2, models_pb2_grpc
from stemline_bridge import read_json_object

IDLE_TIMEOUT_S = 600
START_TIMEOUT_S = 60.0
_POLL_S = 0.05
_GIB = 1 << 30
_ANSWER_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 30.0  # longer than a server waits for its callers and one step of an engine
_GIVE_WAY_S = 1.0
_STARTS = 3
_ROOM_BYTES = 1 << 20  # what a server writes before it answers


@dataclass(frozen=True, slots=True)
class PrivateServer:
    """A private server that answers."""

    version: str
    pid: int
    endpoint: Endpoint
    tls: bool = False


def find_private(state: Path | None = None) -> PrivateServer | None:
    """Return the running private server of this version, or None. It is never started."""
    found = _recorded(state or paths.server_state_dir(__version__))
    return found if found is not None and _answers(found) else None


def ensure_private(start_timeout_s: float = START_TIMEOUT_S) -> PrivateServer:
    """Return the private server; start it if it does not run. Raises NoServerError with the reason."""
    state = paths.server_state_dir(__version__)
    found = find_private(state)
    if found is not None:
        return found
    _check_installed()
    _make_state(state)
    start = _Start(state)
    deadline = time.monotonic() + start_timeout_s
    while time.monotonic() < deadline:
        found = find_private(state)
        if found is not None:
            return found
        start.check()
        time.sleep(_POLL_S)
    raise start.failed(f"it did not answer within {start_timeout_s:g} s")


def stop_private(timeout_s: float = _STOP_TIMEOUT_S) -> bool:
    """Stop the private server and wait until it is gone. Its jobs go on with the next one.

    One that does not end in time is killed; jobs and stems are durable.

    Returns:
        False if none runs.

    Raises:
        NoServerError: It cannot be killed.
    """
    found = find_private()
    if found is None:
        return False
    _end(found.pid, timeout_s)
    return True


def token_of_local_server(port: int) -> str:
    """Return the token of this user's server on that port of this machine; empty if there is none.

    Raises UsageError for a server with TLS, which takes no plain connections.
    """
    for record in paths.cache_dir().glob("server-*/endpoint.json"):
        server = _recorded(record.parent)
        if server is not None and server.endpoint.address.rpartition(":")[2] == str(port):
            if server.tls:
                raise UsageError(
                    f"The server on port {port} uses TLS.",
                    advice=f"Write https://NAME:{port} with the name in its certificate.",
                )
            return server.endpoint.token
    return ""


def store_limit_bytes() -> int | None:
    """Return the limit of the store of stems, or None for the server's default. A damaged file counts as no limit."""
    value = (read_json_object(_settings_file()) or {}).get("store_limit_bytes")
    return value if isinstance(value, int) and value > 0 else None


def set_store_limit_bytes(limit_bytes: int) -> None:
    """Store the limit for every private server that starts from now on. Raises OutputError."""
    file = _settings_file()
    with output_errors(file):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_json(file, {"store_limit_bytes": limit_bytes}, durable=True)


def _settings_file() -> Path:
    return paths.cache_dir() / "settings.json"


def last_words(state: Path, start: int = 0) -> str:
    """Return the last line that the server logged after byte `start`: at most 300 characters, no full stop."""
    try:
        with (state / "server.log").open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8192))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[-300:].rstrip(".") for line in reversed(lines) if line.strip()), "")


def _recorded(state: Path) -> PrivateServer | None:
    """Return the server in `endpoint.json` if its process is alive and it is of this version."""
    record = read_json_object(state / "endpoint.json")
    if record is None:
        return None
    try:
        token_file = Path(record["token_file"]) if record.get("token_file") else state / "token"
        token = token_file.read_text(encoding="utf-8").strip()
        endpoint = Endpoint(str(record["address"]), token)
        tls = bool(record.get("tls"))
        server = PrivateServer(str(record["version"]), int(record["pid"]), endpoint, tls)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return server if server.version == __version__ and is_alive(server.pid) else None


def _answers(server: PrivateServer) -> bool:
    """Return whether the server answers. Another program may have its process id or port by now."""
    with server.endpoint.open_channel() as channel:
        stub = models_pb2_grpc.ModelServiceStub(channel)
        try:
            info = stub.GetServerInfo(
                models_pb2.GetServerInfoRequest(),
                timeout=_ANSWER_TIMEOUT_S,
                metadata=server.endpoint.metadata,
            )
        except grpc.RpcError:
            return False
    return info.version == server.version


def _check_installed() -> None:
    for module in ("stemline_server", "grpc_reflection", "torch"):
        if importlib.util.find_spec(module) is None:
            raise NoServerError(
                f"The separation server is not installed here ({module} is missing).",
                advice=f"Name a server with --server, or run: {install_command('server')}",
            )


def _make_state(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if is_full(error):
            raise _disk_full() from error
        raise NoServerError(
            f"The folder {state} cannot be created ({error.strerror}).", advice="Set STEMLINE_CACHE to another folder."
        ) from error


def _is_disk_full(folder: Path) -> bool:
    """Return whether the disk or the user's quota is full, by writing: not every file system reports both."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_ROOM_BYTES))
    except OSError as error:
        return is_full(error)
    return False


def _disk_full() -> NoServerError:
    return NoServerError(
        f"The disk of the cache folder {paths.cache_dir()} is full, so the private server cannot start.",
        code=Code.DISK_FULL,
        advice="Free some space there, or set STEMLINE_CACHE to a folder on another disk.",
    )


def _spawn(state: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, without our streams: a shell that reads them must not wait for it."""
    # -P and its own working folder: nothing is imported from the user's current folder
    command = [sys.executable, "-P", "-m", "stemline_server", "--private", "--state", str(state)]
    command += ["--idle-timeout-s", str(IDLE_TIMEOUT_S)]
    limit = store_limit_bytes()
    if limit is not None:
        command += ["--store-limit", str(limit / _GIB)]
    folders = {
        "STEMLINE_CACHE": str(paths.cache_dir()),
        "STEMLINE_MODELS": str(paths.models_dir()),
        "STEMLINE_HOME": str(paths.home_dir()),
    }
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=state,
                env={**os.environ, **folders},
                start_new_session=True,
                creationflags=_creation_flags(),
            )
    except OSError as error:
        if is_full(error):
            raise _disk_full() from error
        raise NoServerError(
            f"The private server cannot be started ({error.strerror}: {error.filename or log}).",
            advice="Run `stemline doctor`.",
        ) from error
    # reap it, so that a process that stops the server does not find a zombie
    threading.Thread(target=process.wait, name="server-reaper", daemon=True).start()
    return process


def _creation_flags() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NO_WINDOW | subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


class _Start:
    """One start of a private server, with what it logs."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._log = state / "server.log"
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        self._starts = 0
        self._begin()

    def check(self) -> None:
        """Check the process.

        One that was killed is started again a few times; so is one that gave way to another that then ended.

        Raises:
            NoServerError: The process failed.
        """
        code = self._process.poll()
        if code is None:
            return
        if code < 0 and self._starts < _STARTS:
            self._begin()
        elif code < 0:
            raise self.failed(f"it was killed {self._starts} times, the last time by signal {-code}")
        elif code:
            raise self.failed(f"it ended with code {code}")
        elif time.monotonic() - self._begun_s > _GIVE_WAY_S and _recorded(self._state) is None:
            self._begin()

    def failed(self, what: str) -> NoServerError:
        """Return the error with the reason from the log."""
        if _is_disk_full(self._state):  # the log cannot hold a reason then
            return _disk_full()
        reason = last_words(self._state, self._log_start)
        return NoServerError(
            f"The private server did not start: {what}{f' ({reason})' if reason else ''}.",
            advice=f"Run `stemline doctor`, or read the log {self._log}.",
        )

    def _begin(self) -> None:
        self._process = _spawn(self._state, self._log)
        self._starts += 1
        self._begun_s = time.monotonic()


def _end(pid: int, timeout_s: float) -> None:
    for signal_number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(OSError):  # it ended by itself
            os.kill(pid, signal_number)
        if _wait_gone(pid, timeout_s):
            return
    raise NoServerError(f"The private server (process {pid}) does not stop.", advice="Kill that process.")


def _wait_gone(pid: int, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not is_alive(pid):
            return True
        time.sleep(_POLL_S)
    return False
