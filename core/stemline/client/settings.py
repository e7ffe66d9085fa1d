"""What the user has set for the private server, kept in `$STEMLINE_CACHE/settings.json`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from stemline import paths
from stemline.errors import Code, OutputError


def store_limit_bytes() -> int | None:
    """How large the store of stems may grow; None: the server's own default. A damaged file counts as nothing set."""
    try:
        value = json.loads(_file().read_text(encoding="utf-8"))["store_limit_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) and value > 0 else None


def set_store_limit_bytes(limit_bytes: int) -> None:
    """Keeps the limit for every private server started from now on. Raises OutputError when it cannot be written."""
    file = _file()
    new = file.with_suffix(f".{os.getpid()}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new.write_text(json.dumps({"store_limit_bytes": limit_bytes}), encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise OutputError(
            f"{file} cannot be written ({error.strerror}).",
            code=Code.OUTPUT_UNWRITABLE,
            advice="Set STEMLINE_CACHE to a folder that can.",
        ) from error


def _file() -> Path:
    return paths.cache_dir() / "settings.json"
