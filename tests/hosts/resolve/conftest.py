"""A film and folders of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.desk import film
from stemline.cli.checks import resolve as checks
from stemline.client import stop_private
from stemline.installing import resolve as installing


@pytest.fixture(autouse=True)
def short_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """On CI pytest spells out how two lists differ, which for two sounds takes minutes."""
    for variable in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Also the user's home, so that nothing is installed anywhere else."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for module in (installing, checks):  # the tests bring a panel of their own
        monkeypatch.setattr(module, "why_no_panel", lambda: "")
    here = tmp_path / "schnitt & ton"
    here.mkdir()
    return here


@pytest.fixture
def cut(folder: Path) -> dict[str, Any]:
    return film(folder)


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
