"""`stemline install blender`: the extension for every Blender that is found (an add-on for those before 4.2)."""

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
from stemline_app.install.blender_package import EXTENSION_ID, build_zip, put_files, validate_zip
from stemline_app.install.record import record_installation

_FIRST_WITH_EXTENSIONS = (4, 2)
_OLDEST = (3, 4)
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Blender:
    """One version of Blender as this user has it. `program` is None where only its folder was found."""

    version: tuple[int, int]
    resources: Path
    program: Path | None = None

    @property
    def name(self) -> str:
        return f"Blender {self.version[0]}.{self.version[1]}"

    @property
    def folder(self) -> Path:
        """Where the bridge goes."""
        if self.version >= _FIRST_WITH_EXTENSIONS:
            extensions = os.environ.get("BLENDER_USER_EXTENSIONS")
            base = Path(extensions) if extensions else self.resources / "extensions"
            return base / "user_default" / EXTENSION_ID
        scripts = os.environ.get("BLENDER_USER_SCRIPTS")
        return (Path(scripts) if scripts else self.resources / "scripts") / "addons" / EXTENSION_ID

    @property
    def module(self) -> str:
        """The add-on's name to Blender."""
        return f"bl_ext.user_default.{EXTENSION_ID}" if self.version >= _FIRST_WITH_EXTENSIONS else EXTENSION_ID


def install() -> Installed:
    """Builds and checks the zip, and puts the bridge into every Blender found. Raises StemlineError."""
    found = find_blenders()
    usable = [blender for blender in found if blender.version >= _OLDEST]
    zip_path = build_zip(paths.home_dir() / "blender")
    modern = [b.program for b in usable if b.program is not None and b.version >= _FIRST_WITH_EXTENSIONS]
    done = [f"Built {zip_path}.", validate_zip(zip_path, modern)]
    record = record_installation()
    done.append(f"{record} says where this Stemline is.")
    by_hand = []
    for blender in usable:
        put_files(blender.folder)
        enabled = _run_in(blender, "enable")
        done.append(f"{blender.name}: installed in {blender.folder}{' and enabled' if enabled else ''}.")
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
    """Takes the bridge out of every Blender found. The record of this Stemline stays: other hosts may use it."""
    done = []
    for blender in find_blenders():
        if blender.folder.is_dir():
            _run_in(blender, "disable")
            try:
                shutil.rmtree(blender.folder)
            except OSError as error:
                message = f"{blender.folder} cannot be removed ({error.strerror})."
                raise OutputError(
                    message, code=Code.OUTPUT_UNWRITABLE, advice="Close Blender, then try again."
                ) from error
            done.append(f"{blender.name}: removed {blender.folder}.")
    shutil.rmtree(paths.home_dir() / "blender", ignore_errors=True)
    return Installed(tuple(done) or ("Stemline is in no Blender.",))


def find_blenders() -> list[Blender]:
    """Every version this user has started, or has a program of, oldest first."""
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
    """Blender's folder of this user; below it one for each version."""
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Blender Foundation" / "Blender"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Blender"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "blender"


def _programs() -> list[Path]:
    """Blender programs in the usual places; the first on the path counts most."""
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


def _run_in(blender: Blender, action: str) -> bool:
    """Enables or disables the add-on in the user's own preferences. False where there is no program to do it with."""
    if blender.program is None:
        return False
    script = (
        f"import bpy, sys; bpy.ops.preferences.addon_{action}(module={blender.module!r}); "
        f"bpy.ops.wm.save_userpref(); "
        f"sys.exit({blender.module!r} not in bpy.context.preferences.addons)"
    )
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
