"""The entry of the panel among the user's programs, by freedesktop.org's Desktop Entry and Icon Theme specifications.

Docks show the progress of a run only on the icon of a program that has such an entry.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from stemline.errors import Code, OutputError
from stemline.extras import install_command, why_no_panel
from stemline.hosts.description import Installed
from stemline_app.install.files import record_installation
from stemline_bridge import atomic_write

NAME = "stemline-panel"
_OURS = "written by `stemline install panel`"
_ENTRY = """\
# {ours}. Changes to it are lost.
[Desktop Entry]
Type=Application
Name=Stemline
GenericName=Sound separation
Comment=Pull any sound out of an edit by naming it
Exec={command} panel %f
Icon={name}
Terminal=false
Categories=AudioVideo;Audio;AudioVideoEditing;
StartupWMClass=Stemline
"""
_ICON = """\
<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">
  <!-- {ours} -->
  <rect width="64" height="64" rx="14" fill="#1c2430"/>
  <g stroke="#e8eef5" stroke-width="5" stroke-linecap="round">
    <path d="M12 28v8M22 20v24M42 20v24M52 28v8"/>
    <path d="M32 10v44" stroke="#f2a33a"/>
  </g>
</svg>
"""


def install() -> Installed:
    """Write the entry and its icon. Does nothing where programs have no such entries.

    Raises:
        OutputError: A file cannot be written, or another program wrote one of that name.
    """
    if not sys.platform.startswith("linux"):
        return Installed(("The panel needs no entry on this system.",), "Run: stemline panel")
    record_installation()
    texts = (_ENTRY.format(ours=_OURS, command=_quoted_command(), name=NAME), _ICON.format(ours=_OURS))
    for path, text in zip(_places(), texts, strict=True):
        if path.exists() and not _is_own(path):
            raise OutputError(f"{path} is not Stemline's.", code=Code.OUTPUT_EXISTS, advice="Move it away first.")
        try:
            atomic_write(path, text)
        except OSError as error:
            raise _unwritable(path, error) from error
    next_step = "Choose Stemline among your programs, or run: stemline panel"
    if why_no_panel():
        next_step = f"The panel's packages are missing. Run: {install_command('panel')}. {next_step}"
    return Installed(tuple(f"Written: {path}." for path in _places()), next_step)


def uninstall() -> Installed:
    """Remove the entry and its icon, if Stemline wrote them. Raises OutputError."""
    removed = [path for path in _places() if _is_own(path)]
    for path in removed:
        try:
            path.unlink()
        except OSError as error:
            raise _unwritable(path, error) from error
    return Installed(tuple(f"Removed: {path}." for path in removed) or ("There was no entry of the panel.",))


def _places() -> tuple[Path, Path]:
    """Return the paths of the entry and of its icon. A relative XDG_DATA_HOME is ignored, as its specification asks."""
    chosen = Path(os.environ.get("XDG_DATA_HOME") or "")
    data = chosen if chosen.is_absolute() else Path.home() / ".local" / "share"
    return data / "applications" / f"{NAME}.desktop", data / "icons/hicolor/scalable/apps" / f"{NAME}.svg"


def _is_own(path: Path) -> bool:
    return path.is_file() and _OURS in path.read_text(encoding="utf-8", errors="replace")


def _quoted_command() -> str:
    """Return the command of this Stemline, quoted for the key Exec."""
    quoted = re.sub(r'(["`$\\])', r"\\\1", sys.executable).replace("\\", "\\\\").replace("%", "%%")
    return f'"{quoted}" -m stemline'


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror}).", advice="Set XDG_DATA_HOME to another folder.")
