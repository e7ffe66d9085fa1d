"""Installed files: the record of this Stemline that hosts read, and folders that are replaced as a whole."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemline import paths
from stemline._version import __version__
from stemline.errors import Code, OutputError
from stemline_bridge import atomic_write
from stemline_bridge.constants import INSTALLATION_FILE


def record_installation() -> Path:
    """Write the record and return its path. Raises OutputError."""
    record = paths.home_dir() / INSTALLATION_FILE
    held = {"version": 1, "stemline": __version__, "command": [sys.executable, "-m", "stemline"]}
    try:
        atomic_write(record, json.dumps(held) + "\n", durable=True)
    except OSError as error:
        advice = "Set STEMLINE_HOME to a folder that can be written."
        raise OutputError(f"{record} cannot be written ({error.strerror}).", advice=advice) from error
    return record


def bridge_folder(package: str) -> Path:
    """Return the folder of a bridge's package. The package is not imported: it may need its host's modules."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"This Stemline comes without {package}."
        raise OutputError(message, code=Code.OUTPUT_UNWRITABLE, advice="Reinstall stemline.")
    return Path(spec.submodule_search_locations[0])


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Give the block an empty folder, which replaces `target` at the end of the block. Raises OSError.

    The old folder stays complete until the new one is: Windows refuses to move a folder while a file in it is in use.
    """
    fresh, old = (target.with_name(f".{target.name}.{kind}") for kind in ("part", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
