"""Servers and sound for the tests of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.harness import Caller, ServerProcess, server_in_thread, write_noise
from stemline_server.config import ServerConfig
from stemline_server.engines.base import Control, EngineRequest, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.store.database import Database
from stemline_server.store.schema import SCHEMA

LENGTH_SAMPLES = 48_000

Behaviour = Callable[[EngineRequest, Control], None]


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """One second of stereo noise."""
    return write_noise(tmp_path / "noise.wav", LENGTH_SAMPLES)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The tables of a server that does not run."""
    opened = Database(tmp_path / "jobs.sqlite", SCHEMA)
    yield opened
    opened.close()


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> list[Behaviour]:
    """What every engine does first: put a function in. For servers within this process."""
    behaviours: list[Behaviour] = []

    class Misbehaving(NoopEngine):
        def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
            for behaviour in behaviours:
                behaviour(request, control)
            yield from super().separate(request, control)

    monkeypatch.setattr("stemline_server.engines.registry.create", lambda _: Misbehaving())
    monkeypatch.setattr("stemline_server.engines.registry.engine_ids", lambda: ("noop",))
    return behaviours


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Starts private servers as processes; whatever still runs at the end is killed."""
    servers: list[ServerProcess] = []

    def start(*options: str, state: Path | None = None) -> ServerProcess:
        servers.append(ServerProcess(state or tmp_path / f"state{len(servers)}", "--private", *options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Caller]:
    """A private server within this process."""
    with server_in_thread(ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))) as caller:
        yield caller
