"""The command that adds one of Stemline's extras to this very installation."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from urllib.parse import urlsplit
from urllib.request import url2pathname


def install_command(extra: str) -> str:
    """What to run in a terminal: this Python's pip, and the place that this Stemline was installed from."""
    return f"{sys.executable} -m pip install {_source(extra)}"


def _source(extra: str) -> str:
    """Pip notes the folder of what was installed from one (PEP 610); what came from an index has its name alone."""
    try:
        noted = json.loads(metadata.distribution("stemline").read_text("direct_url.json") or "{}")
        url = urlsplit(noted.get("url", ""))
    except (metadata.PackageNotFoundError, ValueError):
        return f'"stemline[{extra}]"'
    if url.scheme != "file":
        return f'"stemline[{extra}]"'
    editable = "--editable " if noted.get("dir_info", {}).get("editable") else ""
    return f'{editable}"{url2pathname(url.path)}[{extra}]"'
