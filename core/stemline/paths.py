"""Where Stemline keeps what it makes for itself. Every place can be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def _place(variable: str, default: Path) -> Path:
    return Path(os.environ[variable]).expanduser().absolute() if os.environ.get(variable) else default


def cache_dir() -> Path:
    """What can be made again: stems by content, decoded sound, the private server's state (`STEMLINE_CACHE`)."""
    return _place("STEMLINE_CACHE", platformdirs.user_cache_path("stemline"))


def models_dir() -> Path:
    """Weights that the user holds (`STEMLINE_MODELS`)."""
    return _place("STEMLINE_MODELS", platformdirs.user_data_path("stemline") / "models")


def home_dir() -> Path:
    """What host programs look up to find Stemline: the record of where it is installed (`STEMLINE_HOME`)."""
    return _place("STEMLINE_HOME", platformdirs.user_data_path("stemline"))


def server_state_dir(version: str) -> Path:
    """The private server of one version. Versions live beside each other."""
    return cache_dir() / f"server-{version}"
