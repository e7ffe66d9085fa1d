"""Real servers, each in a process of its own, with the no-op engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.client.sounds import LENGTH_SAMPLES, make_clip
from shared_servers import cache_of_a_server
from stemline.client import Client, connect, stop_private


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A second of stereo noise, 16 bit."""
    return make_clip(tmp_path / "clip.wav", LENGTH_SAMPLES)


@pytest.fixture
def private() -> Iterator[None]:
    """For tests that start, stop or kill: stops the test's own private server, if it has one."""
    yield
    stop_private(timeout_s=10)


@pytest.fixture
def own_client(private: None) -> Iterator[Client]:
    """Of a private server that this test has to itself."""
    with connect() as client:
        yield client


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a private server that tests here may use but not stop."""
    with cache_of_a_server(tmp_path_factory) as cache:
        yield cache


@pytest.fixture
def client(shared_server: None) -> Iterator[Client]:
    with connect() as client:
        yield client
