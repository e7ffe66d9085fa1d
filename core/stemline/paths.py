"""Folders for Stemline's own files. Each can be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def _place(variable: str, default: Path) -> Path:
    return Path(os.environ[variable]).expanduser().absolute() if os.environ.get(variable) else default


def cache_dir() -> Path:
    """Return the folder for what can be made again: stems, decoded sound, private servers (`STEMLINE_CACHE`)."""
    return _place("STEMLINE_CACHE", platformdirs.user_cache_path("stemline"))


def models_dir() -> Path:
    """Return the folder for weights (`STEMLINE_MODELS`)."""
    return _place("STEMLINE_MODELS", platformdirs.user_data_path("stemline") / "models")


def home_dir() -> Path:
    """Return the folder in which host programs find the record of this installation (`STEMLINE_HOME`)."""
    return _place("STEMLINE_HOME", platformdirs.user_data_path("stemline"))


def server_state_dir(version: str) -> Path:
    """Return the state folder of the private server of one version."""
    return cache_dir() / f"server-{version}"
