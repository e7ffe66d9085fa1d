"""The second way in: a panel that runs already reaches for Resolve through its own scripting module.

Only Resolve Studio allows it, and only with Preferences > System > General > External scripting on Local. The panel
starts `python -m stemline_resolve.external` and talks to it over its standard streams, as `docs/host-protocol.md` has
it. The module can take the whole process with it when it is loaded, so another process tries it first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemline_link import Gone, Peer, Problem, Refused
from stemline_link.finding import home_dir

from .api import Api
from .host import ResolveHost
from .menu import note_seen, settings_in

_PROBE = """
import DaVinciResolveScript
resolve = DaVinciResolveScript.scriptapp("Resolve")
print("answers" if resolve is not None else "refuses")
"""
_PROBE_S = 60.0
_HELLO_S = 120.0
_LOCAL = "Preferences > System > General > External scripting using: Local"


def main() -> int:
    """Until the panel is gone. What is wrong stands in the last line of standard error; then the answer is 2."""
    incoming, outgoing = _claimed_streams()
    try:
        prepare_environment()
        probe()
        api = Api(connect(), connect)
        host = ResolveHost(api, settings_in(home_dir() / "resolve"))
        capabilities = host.capabilities()
    except Problem as problem:
        sys.stderr.write(f"{problem} {problem.advice}\n")
        return 2
    note_seen(home_dir() / "resolve", capabilities)
    peer = Peer(incoming, outgoing, host.handlers())
    host.listen_to(peer)
    try:
        peer.call("hello", {"protocols": [1], "capabilities": capabilities}, _HELLO_S)
        while True:
            peer.pump(0.25)
    except Gone:
        return 0
    except (Refused, TimeoutError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 2


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
    """Loads the module in a process of its own. Raises Problem with what is wrong and what to do."""
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
        raise Problem(
            "DaVinci Resolve does not answer scripts.", "HOST_TIMEOUT", "Close any dialog in it, then try again."
        ) from None
    said, errors = (part.decode("utf-8", "replace") for part in (tried.stdout, tried.stderr))
    if "answers" in said:
        return
    if "refuses" in said:
        raise Problem(
            "DaVinci Resolve does not let scripts in from outside.",
            "HOST_UNSUPPORTED",
            f"Start Resolve Studio and set {_LOCAL}; or start the panel from Workspace > Scripts > Stemline.",
        )
    if "ImportError" in errors or "ModuleNotFoundError" in errors:
        raise Problem(
            "DaVinci Resolve's scripting module was not found.",
            "HOST_UNSUPPORTED",
            "Install Resolve Studio, or set RESOLVE_SCRIPT_API to its Developer/Scripting folder.",
        )
    raise Problem(
        f"DaVinci Resolve's scripting module crashes Python {sys.version_info[0]}.{sys.version_info[1]} "
        f"(exit code {tried.returncode}).",
        "HOST_UNSUPPORTED",
        "Start the panel from Workspace > Scripts > Stemline instead.",
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


def _claimed_streams() -> tuple[Any, Any]:
    """Standard input and output for messages alone: what Resolve's library prints goes to standard error."""
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows alone has it

        for descriptor in (0, 1):
            msvcrt.setmode(descriptor, os.O_BINARY)
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    return incoming, outgoing


if __name__ == "__main__":
    sys.exit(main())
