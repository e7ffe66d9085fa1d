# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks for the system libraries of the panel, before Qt is used: Qt aborts the process if one is missing."""

from __future__ import annotations

import ctypes
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from stemline.errors import UsageError

_LIBRARY = re.compile(r"(lib[\w+.-]+\.so[.\d]*)")
_DEBIAN_PACKAGES = {
    "libGL.so.1": "libgl1", "libEGL.so.1": "libegl1", "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0", "libdbus-1.so.3": "libdbus-1-3", "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6", "libX11.so.6": "libx11-6", "libX11-xcb.so.1": "libx11-xcb1",
    "libxkbcommon.so.0": "libxkbcommon0", "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb.so.1": "libxcb1", "libxcb-icccm.so.4": "libxcb-icccm4", "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1", "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0", "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0", "libxcb-shm.so.0": "libxcb-shm0", "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-util.so.1": "libxcb-util1", "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0", "libxcb-xkb.so.1": "libxcb-xkb1",
}  # fmt: skip
QT_PACKAGES = " ".join(
    (
        "libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-icccm4 libxcb-image0",
        "libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xinerama0 libxcb-xkb1",
    )
)
_ALWAYS_WORKING = ("offscreen", "minimal")
_DISPLAY_PLATFORMS = ("", "xcb", "wayland", "wayland-egl")
_START_S = 20.0
_START_QT = (
    "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
    " from PyQt5.QtGui import QGuiApplication; QGuiApplication([])"
)


def check_system() -> None:
    """Raise UsageError, with the command that mends it, if Qt cannot start here.

    A missing Python package isn't checked here; importing it raises ImportError.
    """
    try:
        importlib.import_module("PyQt5.QtWidgets")
    except ImportError as error:
        if _LIBRARY.search(str(error)):
            raise _missing_library(str(error)) from error
        return
    if sys.platform.startswith("linux"):
        _check_linux_platform(os.environ.get("QT_QPA_PLATFORM", "").partition(":")[0])


def install_advice(packages: str) -> str:
    """Return one sentence with the command that installs Debian `packages`, or what they are called elsewhere."""
    if shutil.which("apt-get"):
        return f"Run: sudo apt-get install {packages}"
    return f"Install it with your system's package manager (Debian calls it {packages})."


def _check_linux_platform(platform: str) -> None:
    """Check the platform that QT_QPA_PLATFORM names, or Qt's default for an empty name."""
    if platform in _ALWAYS_WORKING:
        return
    x11 = os.environ.get("DISPLAY")
    if platform in _DISPLAY_PLATFORMS and not x11 and not os.environ.get("WAYLAND_DISPLAY"):
        raise UsageError(
            "The panel needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set.",
            advice="Start it from a desktop session, or use `stemline separate` without a window.",
        )
    if platform not in ("", "xcb") or not x11:
        _try_platform()
        return
    plugin = _platform_plugin("libqxcb.so")
    if plugin is not None:
        try:
            ctypes.CDLL(str(plugin))
        except OSError as error:
            raise _missing_library(str(error)) from error
    if not _connects_to_x11():
        raise UsageError(
            f"The panel cannot connect to the display {x11}.",
            advice="Start it from a desktop session, or set DISPLAY to one that runs.",
        )


def _try_platform() -> None:
    """Start Qt in another process, which Qt may abort. Raises UsageError with Qt's reason."""
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _START_QT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_START_S,
        )
    except subprocess.TimeoutExpired:
        return
    if tried.returncode != 0:
        reasons = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
        raise UsageError(
            f"Qt cannot start on this display ({reasons[0].rstrip('.') if reasons else 'no reason given'}).",
            advice="Set DISPLAY for X11, or WAYLAND_DISPLAY and QT_QPA_PLATFORM=wayland for Wayland.",
        )


def _connects_to_x11() -> bool:
    """Return whether the X server of DISPLAY answers; True if libxcb cannot be asked."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    failed = xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return not failed


def _platform_plugin(name: str) -> Path | None:
    """Return the path of a platform plugin of Qt, or None if it isn't where PyQt5's wheels have it."""
    core = importlib.import_module("PyQt5.QtCore")
    plugin = Path(core.QLibraryInfo.location(core.QLibraryInfo.PluginsPath)) / "platforms" / name
    return plugin if plugin.is_file() else None


def _missing_library(reason: str) -> UsageError:
    found = _LIBRARY.search(reason)
    library = found.group(1) if found else ""
    packages = _DEBIAN_PACKAGES.get(library, QT_PACKAGES)
    return UsageError(f"Qt cannot start: {library or reason} is missing.", advice=install_advice(packages))
