"""Fixtures for every test. Each test has Stemline's folders to itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

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
