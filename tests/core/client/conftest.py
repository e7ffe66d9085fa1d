"""Fixtures with real servers, each in its own process, with the no-op engine."""

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
    """Write a second of stereo noise, 16 bit."""
    return make_clip(tmp_path / "clip.wav", LENGTH_SAMPLES)


@pytest.fixture
def private() -> Iterator[None]:
    """Stop the test's own private server afterwards, for tests that start, stop or kill it."""
    yield
    stop_private(timeout_s=10)


@pytest.fixture
def own_client(private: None) -> Iterator[Client]:
    """Return a client of a private server that only this test uses."""
    with connect() as client:
        yield client


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the cache of a private server that these tests share and must not stop."""
    with cache_of_a_server(tmp_path_factory) as cache:
        yield cache


@pytest.fixture
def client(shared_server: None) -> Iterator[Client]:
    with connect() as client:
        yield client
