"""Real Blenders. STEMLINE_BLENDERS=4.5,5.0 chooses versions; without it every one that is here is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.blender.blenders import Runner, blenders
from stemline.client import stop_private

VERSIONS = ("3.4", "4.5", "5.0")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "blender" in metafunc.fixturenames:
        wanted = os.environ.get("STEMLINE_BLENDERS", ",".join(VERSIONS)).split(",")
        metafunc.parametrize("version", wanted)


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One private server for all tests here, started by the first that needs it."""
    cache = tmp_path_factory.mktemp("cache")
    yield cache
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMLINE_CACHE", str(cache))
        stop_private()


@pytest.fixture
def blender(version: str, server_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    found = blenders().get(version)
    if found is None:
        pytest.skip(f"Blender {version} is not here: scripts/host-envs.sh fetches 4.5 and 5.0, Debian's package is 3.4")
    monkeypatch.setenv("STEMLINE_CACHE", str(server_cache))
    return Runner(found, tmp_path)
