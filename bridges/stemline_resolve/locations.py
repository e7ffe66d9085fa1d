"""Where DaVinci Resolve and its scripting parts are on each system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_MAC_APP = "/Applications/DaVinci Resolve/DaVinci Resolve.app"
_WINDOWS_FOLDER = r"Blackmagic Design\DaVinci Resolve"


def program() -> Path | None:
    """Return the installed program, or None."""
    if sys.platform == "darwin":
        places = [Path(_MAC_APP)]
    elif sys.platform == "win32":
        places = [_windows_programs() / "Resolve.exe"]
    else:
        places = [Path("/opt/resolve/bin/resolve"), Path("/home/resolve/bin/resolve")]
    return next((place for place in places if place.exists()), None)


def resolve_python() -> Path | None:
    """Return the Python that Resolve brings, or None. Resolve has one from 21.1 on, so it also tells the version."""
    if sys.platform == "darwin":
        places = [Path(_MAC_APP) / "Contents" / "Applications" / "ResolvePython"]
    elif sys.platform == "win32":
        places = [_windows_programs() / "ResolvePython" / "ResolvePython.exe"]
    else:
        places = [Path("/opt/resolve/bin/ResolvePython"), Path("/home/resolve/bin/ResolvePython")]
    return next((place for place in places if place.is_file()), None)


def scripting_variables() -> dict[str, str]:
    """Return the variables by which a Python of the user's finds Resolve's scripting module, up to Resolve 21.0."""
    if sys.platform == "darwin":
        shared = "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Developer/Scripting"
        library = f"{_MAC_APP}/Contents/Libraries/Fusion/fusionscript.so"
    elif sys.platform == "win32":
        data = os.environ.get("PROGRAMDATA", r"C:\ProgramData")
        shared = rf"{data}\{_WINDOWS_FOLDER}\Support\Developer\Scripting"
        library = str(_windows_programs() / "fusionscript.dll")
    else:
        shared, library = "/opt/resolve/Developer/Scripting", "/opt/resolve/libs/Fusion/fusionscript.so"
    return {"RESOLVE_SCRIPT_API": shared, "RESOLVE_SCRIPT_LIB": library}


def _windows_programs() -> Path:
    return Path(os.environ.get("PROGRAMFILES") or r"C:\Program Files") / "Blackmagic Design" / "DaVinci Resolve"
