"""The Python interpreters that host programs bring, where this computer has them."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

OLDEST, NEWEST = "3.8", "3.14"
"""The oldest Python that a bridge must run under, and that of DaVinci Resolve 21.1."""


@functools.cache
def _interpreter(version: str) -> str | None:
    """The path of a Python of this version: `STEMLINE_PYTHON_3_8`, pyenv's, or one on PATH."""
    named = os.environ.get(f"STEMLINE_PYTHON_{version.replace('.', '_')}")
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    code = f"import sys; sys.exit('.'.join(map(str, sys.version_info[:2])) != {version!r})"
    for candidate in (named, *map(str, pyenv), shutil.which(f"python{version}")):
        if candidate and Path(candidate).exists():
            tried = subprocess.run([candidate, "-S", "-E", "-c", code], check=False, capture_output=True)
            if tried.returncode == 0:
                return candidate
    return None


for _version in (OLDEST, NEWEST):
    _interpreter(_version)  # now: a test may give itself another home folder


def python_command(version: str) -> tuple[str, ...]:
    """A Python of this version without any installed package. Skips the test where there is none."""
    interpreter = _interpreter(version)
    if interpreter is None:
        variable = f"STEMLINE_PYTHON_{version.replace('.', '_')}"
        pytest.skip(f"no Python {version} here (install it with pyenv, or set {variable})")
    return interpreter, "-S", "-E"


def host_python() -> tuple[str, ...]:
    """The oldest Python that a bridge must run under, else that of the tests."""
    return _interpreter(OLDEST) or sys.executable, "-S", "-E"
