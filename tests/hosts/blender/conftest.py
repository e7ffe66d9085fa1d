"""Real Blenders. STEMLINE_BLENDERS=4.5,5.0 chooses versions; without it every installed one is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts.blender.blenders import Runner, blenders
from shared_servers import cache_of_a_server

VERSIONS = ("3.4", "4.5", "5.0")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "blender" in metafunc.fixturenames:
        wanted = os.environ.get("STEMLINE_BLENDERS", ",".join(VERSIONS)).split(",")
        metafunc.parametrize("version", wanted)


@pytest.fixture(scope="session")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One private server for all tests here."""
    with cache_of_a_server(tmp_path_factory) as cache:
        yield cache


@pytest.fixture
def blender(version: str, shared_server: None, tmp_path: Path) -> Runner:
    found = blenders().get(version)
    if found is None:
        pytest.skip(f"Blender {version} is not here: scripts/host-envs.sh fetches 4.5 and 5.0, Debian's package is 3.4")
    return Runner(found, tmp_path)
