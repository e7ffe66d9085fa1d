"""The Blender extension as a package: the bridge with the kit inside, as a zip or as an installed folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from stemline._version import __version__
from stemline.errors import Code, OutputError
from stemline_app.install.files import bridge_folder, fresh_folder
from stemline_bridge import atomic_path

EXTENSION_ID = "stemline"
_LEFT_OUT = {"link.py"}  # the source tree has it instead of the folder `link`
_WANTED = {".py", ".toml", ""}
_ZIP_TIME = (2026, 1, 1, 0, 0, 0)  # the same files give the same zip


def package_files() -> Iterator[tuple[str, Path]]:
    """Yield (path inside the package, file) of every file."""
    for folder, inside in ((bridge_folder("stemline_blender"), ""), (bridge_folder("stemline_bridge"), "link/")):
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.suffix in _WANTED and path.name not in (_LEFT_OUT if not inside else ()):
                yield f"{inside}{path.name}", path


def build_zip(folder: Path) -> Path:
    """Write `folder`/stemline-<version>.zip for Blender's "Install from Disk". Raises OutputError."""
    target = folder / f"{EXTENSION_ID}-{__version__}.zip"
    try:
        with atomic_path(target) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for inside, path in package_files():
                entry = zipfile.ZipInfo(inside, _ZIP_TIME)
                entry.external_attr = 0o644 << 16
                packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise OutputError(f"{target} cannot be written ({error.strerror}).", code=Code.OUTPUT_UNWRITABLE) from error
    return target


def is_package(folder: Path) -> bool:
    """Return whether a folder is an installed bridge of Stemline's, and not another add-on of the same name."""
    try:
        return f'id = "{EXTENSION_ID}"' in (folder / "blender_manifest.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def put_files(folder: Path) -> None:
    """Install the package as `folder`, replacing what is there. Raises OutputError."""
    try:
        with fresh_folder(folder) as fresh:
            for inside, path in package_files():
                target = fresh / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error.strerror}).",
            code=Code.OUTPUT_UNWRITABLE,
            advice="Close Blender, then try again.",
        ) from error


def validate_zip(zip_path: Path, programs: list[Path]) -> str:
    """Return one sentence on what Blender's own tool says of the zip. Raises OutputError when it refuses.

    `programs` are Blenders from 4.2 on. Without any, the tool of the `bpy` module of this environment is used.
    """
    command = _validator(programs)
    if not command:
        return "No Blender from 4.2 on is at hand, so its own tool did not check the extension."
    try:
        ran = subprocess.run(
            [*command, "validate", str(zip_path)], capture_output=True, text=True, check=False, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired):
        return "Blender's own tool did not answer, so it did not check the extension."
    if ran.returncode != 0:
        words = (ran.stdout + ran.stderr).strip().splitlines()
        raise OutputError(
            f"Blender's own tool refuses the extension: {words[-1] if words else 'it said nothing'}",
            code=Code.INTERNAL,
            advice="Reinstall stemline.",
        )
    return "Blender's own tool finds the extension valid."


def _validator(programs: list[Path]) -> list[str]:
    if programs:
        return [str(programs[0]), "--command", "extension"]
    spec = importlib.util.find_spec("bpy")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for tool in Path(place).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py"):
            return [sys.executable, str(tool)]
    return []
