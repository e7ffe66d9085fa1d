"""A film and folders of its own for every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.harness import film
from stemline_app.doctor import resolve as checks
from stemline_app.install import resolve as installing


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
