"""The second way in: `python -m stemline_resolve.external` reaches for Resolve through its own scripting module, and
starts the panel as the menu script does.

Only Resolve Studio allows it, and only with Preferences > System > General > External scripting on Local. The module
can take the whole process with it when it is loaded, so another process tries it first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemline_bridge import HostError

from . import menu

_PROBE = """
import DaVinciResolveScript
resolve = DaVinciResolveScript.scriptapp("Resolve")
print("answers" if resolve is not None else "refuses")
"""
_PROBE_S = 60.0
_AGAIN = "run `python -m stemline_resolve.external` again"
_MENU = "Workspace > Scripts > Stemline"
_LOCAL = "Preferences > System > General > External scripting using: Local"


def main() -> int:
    """Until the panel is closed. 2 where Resolve cannot be reached: why stands in the last line of standard error."""
    try:
        prepare_environment()
        probe()
    except HostError as problem:
        sys.stderr.write(f"{problem} {problem.advice}\n")
        return 2
    return menu.main(connect(), connect, again=_AGAIN)


def connect() -> Any:
    """`resolve`, or None when Resolve refuses. Only after `probe`."""
    import DaVinciResolveScript  # type: ignore[import-not-found]  # noqa: PLC0415 - Resolve's own, found by then

    return DaVinciResolveScript.scriptapp("Resolve")


def prepare_environment() -> None:
    """Sets what Resolve's module needs to find its library and this Python. What the user has set stays."""
    for name, value in _places().items():
        os.environ.setdefault(name, value)
    modules = str(Path(os.environ["RESOLVE_SCRIPT_API"]) / "Modules")
    if modules not in sys.path:
        sys.path.append(modules)
    if sys.platform == "win32":  # else its library takes the highest Python of the registry, and crashes
        for name in ("FUSION_PYTHON3_HOME", "PYTHON3HOME", "PYTHONHOME"):
            os.environ.setdefault(name, sys.base_prefix)


def probe() -> None:
    """Loads the module in a process of its own. Raises HostError with what is wrong and what to do."""
    paths = [os.environ.get("PYTHONPATH", ""), str(Path(os.environ["RESOLVE_SCRIPT_API"]) / "Modules")]
    environment: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=_PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            "DaVinci Resolve does not answer scripts.", "HOST_TIMEOUT", "Close any dialog in it, then try again."
        ) from None
    said, errors = (part.decode("utf-8", "replace") for part in (tried.stdout, tried.stderr))
    if "answers" not in said:
        sentence, advice = _what_is_wrong(said, errors, tried.returncode)
        raise HostError(sentence, "HOST_UNSUPPORTED", advice)


def _what_is_wrong(said: str, errors: str, exit_code: int) -> tuple[str, str]:
    """A sentence and what to do, from what the other process printed."""
    if "refuses" in said:
        return (
            "DaVinci Resolve does not let scripts in from outside.",
            f"Start Resolve Studio and set {_LOCAL}; or start the panel from {_MENU}.",
        )
    if "No module named 'imp'" in errors:
        return (
            "This DaVinci Resolve's scripting module needs Python 3.11 or older: it imports `imp`, which Python 3.12 "
            "does not have.",
            f"Update Resolve, or start the panel from {_MENU}.",
        )
    if "ImportError" in errors or "ModuleNotFoundError" in errors:
        return (
            "DaVinci Resolve's scripting module was not found.",
            "Install Resolve Studio, or set RESOLVE_SCRIPT_API to its Developer/Scripting folder.",
        )
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (
        f"DaVinci Resolve's scripting module crashes Python {python} (exit code {exit_code}).",
        f"Start the panel from {_MENU} instead.",
    )


def _places() -> dict[str, str]:
    if sys.platform == "darwin":
        shared = "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting"
        program = "/Applications/DaVinci Resolve/DaVinci Resolve.app/Contents/Libraries/Fusion/fusionscript.so"
    elif sys.platform == "win32":
        data = os.environ.get("PROGRAMDATA", r"C:\ProgramData")
        shared = data + r"\Blackmagic Design\DaVinci Resolve\Support\Developer\Scripting"
        program = r"C:\Program Files\Blackmagic Design\DaVinci Resolve\fusionscript.dll"
    else:
        shared, program = "/opt/resolve/Developer/Scripting", "/opt/resolve/libs/Fusion/fusionscript.so"
    return {"RESOLVE_SCRIPT_API": shared, "RESOLVE_SCRIPT_LIB": program}


if __name__ == "__main__":
    sys.exit(main())
