"""Workspace > Scripts > Stemline: start the panel and answer it until it is closed.

Resolve's Console shows what is printed: one line says what is wrong and what to do.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stemline_bridge import (
    CompanionProcess,
    ConnectionClosed,
    HostError,
    NotInstalled,
    RemoteError,
    atomic_write,
    find_installation,
    read_json_object,
)
from stemline_bridge.constants import PROTOCOLS
from stemline_bridge.process import home_dir

from .api import Api
from .host import BridgeSettings, ResolveHost

_PANEL = ("panel", "--host")
_HELLO_S = 120.0
_PUMP_S = 0.25
_STOPPED = (-2, -9, -15)  # on purpose; any other signal is a crash, of which Qt prints the reason


def main(
    resolve: Any,
    reconnect: Callable[[], Any] | None = None,
    arguments: Sequence[str] = _PANEL,
    say: Callable[[str], None] = print,
    again: str = "choose Workspace > Scripts > Stemline again",
) -> int:
    """Start the panel and answer it until it is closed.

    Args:
        resolve: Resolve's live object.
        reconnect: Returns a new `resolve` after a call that never returned.
        arguments: The arguments of Stemline's command line that start the companion.
        say: Shows a line to the user.
        again: What the user does to start the panel again.

    Returns:
        0 when the panel was closed in order, else 1.
    """
    folder = home_dir() / "resolve"
    try:
        api = Api(resolve, reconnect)
        host = ResolveHost(api, settings_in(folder))
        capabilities = host.capabilities()
        note_seen(folder, capabilities)
        companion = _started(host, folder, arguments)
    except NotInstalled as missing:
        say(f"Stemline: {missing} In a terminal, run: {missing.command}")
        return 1
    except HostError as problem:
        say(f"Stemline: {problem} {problem.advice}".rstrip())
        return 1
    except OSError as failure:
        say(f"Stemline: the panel cannot be started ({failure}). In a terminal, run: stemline doctor")
        return 1
    if _serve(companion, capabilities, say):
        return 0
    code = companion.process.returncode
    why = "it was stopped" if code in _STOPPED else companion.last_words() or f"exit code {code}"
    say(
        f"Stemline: the panel ended ({why}). Finished stems are still there; {again}. If it ends again, run in a "
        "terminal: stemline doctor"
    )
    return 1


def settings_in(folder: Path) -> BridgeSettings:
    """Return the settings of `settings.json` in the bridge's folder, else the defaults."""
    held = read_json_object(folder / "settings.json") or {}
    return BridgeSettings(folder, bool(held.get("duplicate_timeline", False)))


def note_seen(folder: Path, capabilities: dict[str, Any]) -> None:
    """Record which Resolve and which Python this is, for `stemline doctor`."""
    seen = {
        "product": capabilities["name"],
        "version": capabilities["version"],
        "python": platform.python_version(),
        "at": int(time.time()),
    }
    try:
        atomic_write(folder / "seen.json", json.dumps(seen))
    except OSError as failure:
        print(f"Stemline: {folder} cannot be written ({failure.strerror}).")


def _started(host: ResolveHost, folder: Path, arguments: Sequence[str]) -> CompanionProcess:
    installation = find_installation("", "resolve")
    companion = CompanionProcess.start(installation, host.handlers(), folder / "panel.log", tuple(arguments))
    host.listen_to(companion.peer)
    return companion


def _serve(companion: CompanionProcess, capabilities: dict[str, Any], say: Callable[[str], None]) -> bool:
    """Answer the panel until it ends. Returns whether it ended in order."""
    try:
        companion.peer.call("hello", {"protocols": list(PROTOCOLS), "capabilities": capabilities}, _HELLO_S)
        while True:
            companion.peer.pump(_PUMP_S)
    except ConnectionClosed:
        pass
    except (RemoteError, TimeoutError) as failure:
        say(f"Stemline: {failure}")
    finally:
        companion.stop()
    return companion.process.returncode == 0
