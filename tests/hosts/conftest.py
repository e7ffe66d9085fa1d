"""A private server that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stemline.client import stop_private


@pytest.fixture(scope="module")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One private server for the tests of a module, started by the first that needs it."""
    cache = tmp_path_factory.mktemp("cache")
    yield cache
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMLINE_CACHE", str(cache))
        stop_private()


@pytest.fixture
def private_server(server_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEMLINE_CACHE", str(server_cache))
