"""Checks of the panel: its packages, Qt on this display, and the sound device."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from stemline.errors import UsageError
from stemline.extras import install_command, why_no_panel
from stemline.hosts.description import Check, Status


def panel_checks() -> Iterator[Check]:
    """Check what `stemline panel` needs. Without its packages there is only one finding."""
    why = why_no_panel()
    if why:
        message = f"its packages do not load ({why})"
        yield Check("panel", Status.WARN, message, f"To use the panel, run: {install_command('panel')}")
        return
    yield Check("panel", Status.OK, "its packages load")
    yield _qt()
    yield _sound_device()


def _qt() -> Check:
    """Check that Qt starts on this display, in another process where it may abort."""
    try:
        importlib.import_module("stemline_panel.system_check").check_system()
        version = importlib.import_module("PyQt5.QtCore").PYQT_VERSION_STR
    except UsageError as error:
        return Check("qt", Status.WARN, error.message, error.advice)
    return Check("qt", Status.OK, f"PyQt {version} starts on this display")


def _sound_device() -> Check:
    sink = importlib.import_module("stemline_panel.sound.sink")
    problem = sink.device_problem()
    if problem:
        return Check("sound device", Status.WARN, problem, "Without one, the panel works and plays nothing.")
    names = sink.device_names()
    return Check("sound device", Status.OK, f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0])
