"""Standard-library kit for code that runs inside host programs, and the rules that the core shares with it.

Python 3.8 and later. It imports nothing else from this repository, and every bridge carries a copy of this folder.

    companion = CompanionProcess.start(find_installation(preference, "resolve"), handlers, log)
    companion.peer.ask("hello", {...}, on_answer)
    companion.peer.pump()          # often, on the thread that may touch the host's document

The names below are loaded on first use, so that importing one module of the kit costs no more than that module.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .constants import METADATA_KEY, PROTOCOLS
    from .files import atomic_path, atomic_write, read_json_object
    from .jsonrpc import Call, ConnectionClosed, HostError, RemoteError
    from .peers import Deferred, HostPeer
    from .process import CompanionProcess, Installation, NotInstalled, clean_environment, find_installation
    from .stem_names import RESIDUAL, StemNameError, clean_stem_name, numbered, stem_name_from_text
    from .timeline import from_exact, to_exact

_MODULES = {
    "files": ("atomic_path", "atomic_write", "read_json_object"),
    "constants": ("METADATA_KEY", "PROTOCOLS"),
    "jsonrpc": ("Call", "ConnectionClosed", "HostError", "RemoteError"),
    "peers": ("Deferred", "HostPeer"),
    "process": ("CompanionProcess", "Installation", "NotInstalled", "clean_environment", "find_installation"),
    "stem_names": ("RESIDUAL", "StemNameError", "clean_stem_name", "numbered", "stem_name_from_text"),
    "timeline": ("from_exact", "to_exact"),
}

__all__ = [
    "METADATA_KEY",
    "PROTOCOLS",
    "RESIDUAL",
    "Call",
    "CompanionProcess",
    "ConnectionClosed",
    "Deferred",
    "HostError",
    "HostPeer",
    "Installation",
    "NotInstalled",
    "RemoteError",
    "StemNameError",
    "atomic_path",
    "atomic_write",
    "clean_environment",
    "clean_stem_name",
    "find_installation",
    "from_exact",
    "numbered",
    "read_json_object",
    "stem_name_from_text",
    "to_exact",
]


def __getattr__(name: str) -> Any:
    """Load the module that defines `name`."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
