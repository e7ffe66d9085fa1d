"""The menu script in DaVinci Resolve, and the bridge that it loads.

Resolve lists the files in `Fusion/Scripts/Utility` at its start, and runs them with a Python of its own choice. The
script is a few lines; the bridge is in a folder of Stemline's, with nothing beside it that Resolve's Python could
import by mistake.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from stemline import paths
from stemline.errors import OutputError
from stemline.extras import install_command, why_no_panel
from stemline.hosts.description import Installed
from stemline_app.install.files import bridge_folder, fresh_folder, record_installation
from stemline_bridge import atomic_write

SCRIPT_NAME = "Stemline.py"
_PACKAGES = ("stemline_bridge", "stemline_resolve")
_PAGES = ("Utility", "Edit", "Color", "Deliver", "Comp", "Tool")
_OURS = "Stemline's menu script for DaVinci Resolve"
_SCRIPT = '''\
# {ours}, written by `stemline install resolve`. Changes to it are lost.
import os
import sys

BRIDGE = {bridge!r}
HOME = {home!r}


def connect():
    """Return a fresh connection to the Resolve that runs this script."""
    if "bmd" in globals():
        return bmd.scriptapp("Resolve")
    if globals().get("resolve") is not None:
        return resolve
    try:
        import DaVinciResolveScript
    except ImportError:
        return None
    return DaVinciResolveScript.scriptapp("Resolve")


if sys.version_info < (3, 8):
    print("Stemline: Resolve runs Python %d.%d; install Python 3.8 or later." % tuple(sys.version_info[:2]))
else:
    os.environ.setdefault("STEMLINE_HOME", HOME)
    sys.path.insert(0, BRIDGE)
    try:
        from stemline_resolve import main
    except ImportError as error:
        print("Stemline: its bridge cannot be loaded (%s). In a terminal, run: stemline install resolve" % error)
    else:
        main(globals().get("resolve") or connect(), connect)
'''


def install() -> Installed:
    """Install the menu script and the bridge. Raises OutputError."""
    record_installation()
    script = scripts_folder() / "Utility" / SCRIPT_NAME
    try:
        _copy_bridge()
        atomic_write(script, script_text())
        removed = _remove(path for path in copies() if path != script)
    except OSError as error:
        raise _unwritable(error) from error
    done = [f"The menu script is {script}.", *(f"An old copy was removed: {path}." for path in removed)]
    next_step = "Restart DaVinci Resolve, then choose Workspace > Scripts > Stemline."
    if why_no_panel():
        next_step = f"The panel's packages are missing. Run: {install_command('panel')}. {next_step}"
    return Installed(tuple(done), next_step)


def uninstall() -> Installed:
    """Remove the menu script and the bridge. Raises OutputError."""
    try:
        removed = _remove(copies())
        shutil.rmtree(bridge_copy(), ignore_errors=True)
    except OSError as error:
        raise _unwritable(error) from error
    if not removed:
        return Installed(("There was no menu script of Stemline's in DaVinci Resolve.",))
    return Installed(tuple(f"Removed: {path}." for path in removed), "Restart DaVinci Resolve.")


def scripts_folder() -> Path:
    """Return the user's own `Fusion/Scripts`."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts"
    if sys.platform == "win32":
        data = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming")
        return data / "Blackmagic Design" / "DaVinci Resolve" / "Support" / "Fusion" / "Scripts"
    return home / ".local/share/DaVinciResolve/Fusion/Scripts"


def shared_scripts_folders() -> tuple[Path, ...]:
    """Return `Fusion/Scripts` of all users, where an administrator may have put a copy."""
    if sys.platform == "darwin":
        return (Path("/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts"),)
    if sys.platform == "win32":
        data = Path(os.environ.get("PROGRAMDATA") or r"C:\ProgramData")
        return (data / "Blackmagic Design" / "DaVinci Resolve" / "Fusion" / "Scripts",)
    return (Path("/opt/resolve/Fusion/Scripts"), Path("/home/resolve/Fusion/Scripts"))


def copies() -> Iterator[Path]:
    """Yield every menu script of Stemline's that Resolve would list, in any place."""
    for folder in (scripts_folder(), *shared_scripts_folders()):
        for page in _PAGES:
            script = folder / page / SCRIPT_NAME
            if script.is_file() and _OURS in script.read_text(encoding="utf-8", errors="replace"):
                yield script


def script_text() -> str:
    """Return the menu script as this Stemline writes it."""
    return _SCRIPT.format(ours=_OURS, bridge=str(bridge_copy()), home=str(paths.home_dir()))


def bridge_copy() -> Path:
    """Return the folder of the installed bridge."""
    return paths.home_dir() / "resolve" / "bridge"


def bridge_is_current() -> bool:
    """Return whether the installed bridge is that of this Stemline."""
    return all(_sources(bridge_copy() / name) == _sources(bridge_folder(name)) for name in _PACKAGES)


def _sources(package: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in package.glob("*.py")}


def _copy_bridge() -> None:
    with fresh_folder(bridge_copy()) as fresh:
        for name in _PACKAGES:
            shutil.copytree(bridge_folder(name), fresh / name, ignore=shutil.ignore_patterns("__pycache__"))


def _remove(scripts: Iterator[Path]) -> list[Path]:
    removed = list(scripts)
    for script in removed:
        script.unlink()
    return removed


def _unwritable(error: OSError) -> OutputError:
    where = error.filename or "A folder of DaVinci Resolve's"
    return OutputError(f"{where} cannot be changed ({error.strerror}).", advice="Change its permissions, or delete it.")
