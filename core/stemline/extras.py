"""Optional parts of the installation: how to add one, and whether the panel's is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname

_LOADING_S = 60.0


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this installation, with its Python and its source."""
    return f"{sys.executable} -m pip install {_source(extra)}"


def why_no_panel() -> str:
    """Return why the packages of the panel do not load; empty if they load.

    This is tried in a process of its own, because a broken Qt ends the process that loads it.
    """
    try:
        tried = subprocess.run(
            [sys.executable, "-c", "import stemline_panel.app"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            timeout=_LOADING_S,
            check=False,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except subprocess.TimeoutExpired:
        return f"they did not load within {_LOADING_S:g} s"
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {tried.returncode}")


def _source(extra: str) -> str:
    """Return what pip installs. It records the folder of an installation from a folder (PEP 610)."""
    try:
        noted = json.loads(metadata.distribution("stemline").read_text("direct_url.json") or "{}")
        url = urlsplit(noted.get("url", ""))
    except (metadata.PackageNotFoundError, ValueError):
        return f'"stemline[{extra}]"'
    if url.scheme != "file":
        return f'"stemline[{extra}]"'
    editable = "--editable " if noted.get("dir_info", {}).get("editable") else ""
    return f'{editable}"{url2pathname(url.path)}[{extra}]"'
