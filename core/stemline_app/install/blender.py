"""`stemline install blender`: the extension for every Blender found (an add-on for those before 4.2)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from stemline import paths
from stemline.errors import Code, OutputError
from stemline.hosts.description import Installed
from stemline_app.install.blender_package import EXTENSION_ID, build_zip, is_package, put_files, validate_zip
from stemline_app.install.files import record_installation

_ADDON = "stemline_blender"
"""The add-on's module before Blender 4.2: not the name of the library, which Blender's Python may have too."""
_FORMER_ADDON = "stemline"
_PREFERENCES = ("program", "folder", "server")
_FIRST_WITH_EXTENSIONS = (4, 2)
_OLDEST = (3, 4)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Blender:
    """One version of Blender of this user. `program` is None where only its folder was found."""

    version: tuple[int, int]
    resources: Path
    program: Path | None = None

    @property
    def name(self) -> str:
        """The name for people."""
        return f"Blender {self.version[0]}.{self.version[1]}"

    @property
    def folder(self) -> Path:
        """The folder that the bridge is installed as."""
        if self.has_extensions:
            extensions = os.environ.get("BLENDER_USER_EXTENSIONS")
            base = Path(extensions) if extensions else self.resources / "extensions"
            return base / "user_default" / EXTENSION_ID
        return self._addons / _ADDON

    @property
    def former_folder(self) -> Path | None:
        """The folder of an add-on that an earlier Stemline installed under the library's name, if it is there."""
        folder = self._addons / _FORMER_ADDON
        return folder if not self.has_extensions and is_package(folder) else None

    @property
    def module(self) -> str:
        """The add-on's name in Blender."""
        return f"bl_ext.user_default.{EXTENSION_ID}" if self.has_extensions else _ADDON

    @property
    def has_extensions(self) -> bool:
        """Whether this version has extensions, which replaced add-ons in 4.2."""
        return self.version >= _FIRST_WITH_EXTENSIONS

    @property
    def _addons(self) -> Path:
        scripts = os.environ.get("BLENDER_USER_SCRIPTS")
        return (Path(scripts) if scripts else self.resources / "scripts") / "addons"


def install() -> Installed:
    """Build and check the zip, and install the bridge into every Blender found. Raises StemlineError."""
    found = find_blenders()
    usable = [blender for blender in found if blender.version >= _OLDEST]
    zip_path = build_zip(paths.home_dir() / "blender")
    modern = [b.program for b in usable if b.program is not None and b.has_extensions]
    done = [f"Built {zip_path}.", validate_zip(zip_path, modern)]
    record = record_installation()
    done.append(f"{record} says where this Stemline is.")
    by_hand = []
    for blender in usable:
        put_files(blender.folder)
        enabled = _run_in(blender, _enable_script(blender))
        done.append(f"{blender.name}: installed in {blender.folder}{' and enabled' if enabled else ''}.")
        if blender.former_folder is not None:
            done.append(f"{blender.name}: removed the earlier add-on {blender.former_folder}.")
            _remove(blender.former_folder)
        if not enabled:
            by_hand.append(blender.name)
    done += [f"{b.name} is too old: Stemline needs 3.4 or later." for b in found if b.version < _OLDEST]
    if not usable:
        return Installed(
            tuple(done), f"No Blender was found. In Blender: Preferences > Add-ons > Install from Disk, {zip_path}."
        )
    if by_hand:
        return Installed(tuple(done), f"Enable Stemline in Preferences > Add-ons of {', '.join(by_hand)}.")
    return Installed(tuple(done), "In Blender's Video Sequencer press N and choose the Stemline tab.")


def uninstall() -> Installed:
    """Remove the bridge from every Blender found. The record of this Stemline stays for other hosts."""
    done = []
    for blender in find_blenders():
        for folder, module in ((blender.folder, blender.module), (blender.former_folder, _FORMER_ADDON)):
            if folder is not None and folder.is_dir():
                _run_in(blender, _disable_script(module))
                _remove(folder)
                done.append(f"{blender.name}: removed {folder}.")
    shutil.rmtree(paths.home_dir() / "blender", ignore_errors=True)
    return Installed(tuple(done) or ("Stemline is in no Blender.",))


def find_blenders() -> list[Blender]:
    """Return every version that this user has started or has a program of, oldest first."""
    found: dict[tuple[int, int], Blender] = {}
    own = os.environ.get("BLENDER_USER_RESOURCES")
    for folder in sorted(_user_folder().glob("*.*")) if not own else ():
        match = _VERSION.fullmatch(folder.name)
        if match and folder.is_dir():
            version = int(match[1]), int(match[2])
            found[version] = Blender(version, folder)
    for program in _programs():
        version_found = _version_of(program)
        if version_found is not None:
            resources = Path(own) if own else _user_folder() / f"{version_found[0]}.{version_found[1]}"
            found[version_found] = Blender(version_found, resources, program)
    return [found[version] for version in sorted(found)]


def _user_folder() -> Path:
    """Return Blender's folder of this user; it has a folder for each version."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Blender Foundation" / "Blender"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Blender"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "blender"


def _programs() -> list[Path]:
    """Return the Blender programs in the usual places. The first on the path takes precedence."""
    places: list[Path] = []
    if sys.platform == "win32":
        base = Path(os.environ.get("PROGRAMFILES") or "C:/Program Files") / "Blender Foundation"
        places += sorted(base.glob("Blender */blender.exe"))
    elif sys.platform == "darwin":
        places += sorted(Path("/Applications").glob("Blender*.app/Contents/MacOS/Blender"))
    else:
        for base in (Path("/opt"), Path.home()):
            places += sorted(base.glob("blender*/blender"))
    on_path = shutil.which("blender")
    return [*places, *([Path(on_path)] if on_path else [])]


def _version_of(program: Path) -> tuple[int, int] | None:
    try:
        ran = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, errors="replace", check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"^Blender (\d+)\.(\d+)", ran.stdout, re.MULTILINE)
    return (int(match[1]), int(match[2])) if match else None


def _remove(folder: Path) -> None:
    """Delete an installed folder. Raises OutputError."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        message = f"{folder} cannot be removed ({error.strerror})."
        raise OutputError(message, code=Code.OUTPUT_UNWRITABLE, advice="Close Blender, then try again.") from error


def _enable_script(blender: Blender) -> str:
    """Return Python for Blender that enables the add-on, with the preferences of the earlier one."""
    former = _FORMER_ADDON if blender.former_folder is not None else ""
    return f"""
import bpy, sys
addons, kept = bpy.context.preferences.addons, {{}}
former = addons.get({former!r})
if former is not None:
    kept = {{name: getattr(former.preferences, name) for name in {_PREFERENCES!r} if hasattr(former.preferences, name)}}
    bpy.ops.preferences.addon_disable(module={former!r})
bpy.ops.preferences.addon_enable(module={blender.module!r})
enabled = addons.get({blender.module!r})
for name, value in kept.items() if enabled is not None else ():
    setattr(enabled.preferences, name, value)
bpy.ops.wm.save_userpref()
sys.exit(enabled is None)
"""


def _disable_script(module: str) -> str:
    """Return Python for Blender that disables the add-on."""
    return f"import bpy; bpy.ops.preferences.addon_disable(module={module!r}); bpy.ops.wm.save_userpref()"


def _run_in(blender: Blender, script: str) -> bool:
    """Run Python in Blender with the user's own preferences. Returns False where there is no program, or it fails."""
    if blender.program is None:
        return False
    try:
        ran = subprocess.run(
            [str(blender.program), "--background", "--python-exit-code", "3", "--python-expr", script],
            capture_output=True,
            check=False,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0
