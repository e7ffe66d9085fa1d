"""Fixtures for every test. Each test has Stemline's folders to itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from shared_servers import cache_of_a_server

# An example is as slow as the machine is busy; that is no finding.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Third-party data that is never part of the project: real edits, golden tensors, an evaluation set."""
    folder = Path(os.environ.get("STEMLINE_TEST_DATA", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder} (set STEMLINE_TEST_DATA)")
    return folder


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path_factory.mktemp("stemline")
    for name in ("CACHE", "MODELS", "HOME"):
        monkeypatch.setenv(f"STEMLINE_{name}", str(base / name.lower()))
    monkeypatch.delenv("STEMLINE_SERVER", raising=False)


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of one private server for all tests that do not stop it. Folders of tests may have one of their own."""
    with cache_of_a_server(tmp_path_factory) as cache:
        yield cache


@pytest.fixture
def shared_server(server_cache: Path, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_CACHE", str(server_cache))
