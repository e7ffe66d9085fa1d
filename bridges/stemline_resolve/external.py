"""Open the panel from outside Resolve: `python -m stemline_resolve.external`.

Only Resolve Studio allows it, and only with Preferences > System > General > External scripting set to Local. From
21.1 on, the bridge runs in the Python that Resolve brings; before, in the Python that started this module. Loading
Resolve's scripting module can crash a process, so a process of its own tries it first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from stemline_bridge import HostError, clean_environment

from . import locations, menu

_PROBE = """
import json
import DaVinciResolveScript
resolve = DaVinciResolveScript.scriptapp("Resolve")
print()
print(json.dumps(resolve and [str(resolve.GetProductName()), str(resolve.GetVersionString())]))
"""
_SERVE = "import sys; sys.path.append({folder!r}); from stemline_resolve import external; sys.exit(external.serve())"
_PROBE_S = 60.0
_AGAIN = "run `python -m stemline_resolve.external` again"
_MENU = "Workspace > Scripts > Stemline"
_LOCAL = "Preferences > System > General > External scripting using: Local"


class Product(NamedTuple):
    """The Resolve that answers: its product name, which tells the edition, and its version."""

    name: str
    version: str


def main() -> int:
    """Serve the panel until it is closed.

    Returns:
        0 when the panel was closed in order, 1 when it failed, 2 when Resolve cannot be reached. The last line of
        standard error says why.
    """
    python = locations.resolve_python()
    try:
        if python is None:
            prepare_environment()
        probe(python)
    except HostError as error:
        sys.stderr.write(f"{error} {error.advice}\n")
        return 2
    if python is None:
        return serve()
    code = _SERVE.format(folder=str(Path(__file__).resolve().parent.parent))
    environment = clean_environment()
    return subprocess.run([str(python), "-c", code], env=environment, check=False).returncode


def serve() -> int:
    """Serve the panel from this process, which can load Resolve's scripting module."""
    return menu.main(connect(), connect, again=_AGAIN)


def connect() -> Any:
    """Return `resolve`, or None when Resolve refuses. Call it only after `probe`."""
    import DaVinciResolveScript  # type: ignore[import-not-found]  # noqa: PLC0415 - found by then

    return DaVinciResolveScript.scriptapp("Resolve")


def prepare_environment() -> None:
    """Set what Resolve's module needs to find its library and this Python. What the user has set stays."""
    for name, value in locations.scripting_variables().items():
        os.environ.setdefault(name, value)
    modules = str(Path(os.environ["RESOLVE_SCRIPT_API"]) / "Modules")
    if modules not in sys.path:
        sys.path.append(modules)
    if sys.platform == "win32":  # without them its library takes the highest Python of the registry, and crashes
        for name in ("FUSION_PYTHON3_HOME", "PYTHON3HOME", "PYTHONHOME"):
            os.environ.setdefault(name, sys.base_prefix)


def probe(python: Path | None = None, timeout_s: float = _PROBE_S) -> Product:
    """Return the product that answers scripts, asked by a process of its own.

    Args:
        python: The Python that Resolve brings (21.1 and later). None: this one, after `prepare_environment`.
        timeout_s: How long Resolve may take.

    Raises:
        HostError: Resolve does not answer; the sentence says why and the advice what to do.
    """
    environment = clean_environment() if python else {**os.environ, "PYTHONPATH": _module_path()}
    try:
        tried = subprocess.run(
            [str(python or sys.executable), "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostError(
            "DaVinci Resolve does not answer scripts.", "HOST_TIMEOUT", "Close any dialog in it, then try again."
        ) from None
    except OSError as error:
        raise HostError(f"{python} cannot be started ({error}).", "HOST_FAILED", "Reinstall Resolve.") from error
    output, errors = (part.decode("utf-8", "replace") for part in (tried.stdout, tried.stderr))
    try:  # the last line: Resolve's library may print others before, and crash after
        answer = json.loads(output.rstrip().rpartition("\n")[2])
    except ValueError:
        raise _module_error(errors, tried.returncode, python is not None) from None
    if answer is None:
        raise HostError(
            "DaVinci Resolve does not answer scripts from outside: it is not running, it is the free edition, or "
            "External scripting is off.",
            "HOST_UNSUPPORTED",
            f"Start Resolve Studio and set {_LOCAL}; or start the panel from {_MENU}.",
        )
    return Product(*answer)


def _module_path() -> str:
    paths = [os.environ.get("PYTHONPATH", ""), str(Path(os.environ["RESOLVE_SCRIPT_API"]) / "Modules")]
    return os.pathsep.join(path for path in paths if path)


def _module_error(errors: str, exit_code: int, is_resolves_python: bool) -> HostError:
    """Return the error of a process that could not load the scripting module."""
    if "No module named 'imp'" in errors:
        return HostError(
            "This DaVinci Resolve's scripting module needs Python 3.11 or older: it imports `imp`, which Python 3.12 "
            "does not have.",
            "HOST_UNSUPPORTED",
            f"Update Resolve, or start the panel from {_MENU}.",
        )
    if "ImportError" in errors or "ModuleNotFoundError" in errors:
        advice = "Install Resolve Studio, or set RESOLVE_SCRIPT_API to its Developer/Scripting folder."
        return HostError(
            "DaVinci Resolve's scripting module was not found.",
            "HOST_UNSUPPORTED",
            "Reinstall Resolve Studio." if is_resolves_python else advice,
        )
    python = "its own Python" if is_resolves_python else f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    return HostError(
        f"DaVinci Resolve's scripting module crashes {python} (exit code {exit_code}).",
        "HOST_FAILED",
        f"Start the panel from {_MENU} instead.",
    )


if __name__ == "__main__":
    sys.exit(main())
