"""Real servers, each in a process of its own, with the no-op engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.client.sounds import LENGTH_SAMPLES, make_clip
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
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder of a private server that tests may use but not stop."""
    folder = tmp_path_factory.mktemp("shared")
    yield folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMLINE_CACHE", str(folder))
        stop_private(timeout_s=10)


@pytest.fixture
def client(shared_cache: Path, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("STEMLINE_CACHE", str(shared_cache))
    with connect() as client:
        yield client
