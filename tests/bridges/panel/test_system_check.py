"""Missing system libraries are one sentence with the command that installs them, never a core dump."""

from __future__ import annotations

import ctypes
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stemline.errors import UsageError
from stemline_panel import system_check


@pytest.fixture(autouse=True)
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/apt-get")


def panel_command(environment: dict[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    """Run `stemline panel` without a display unless `environment` has one."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    clean = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [sys.executable, "-m", "stemline", "panel", *options],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="X11 and Wayland are for Linux")
@pytest.mark.parametrize(
    "display",
    [
        {},
        {"DISPLAY": ":99999"},
        {"WAYLAND_DISPLAY": "wayland-99"},
        {"WAYLAND_DISPLAY": "wayland-99", "QT_QPA_PLATFORM": "wayland"},
        {"QT_QPA_PLATFORM": "nonsense"},
    ],
)
def test_a_missing_display_is_one_sentence(display: dict[str, str]) -> None:
    ended = panel_command(display)
    assert ended.returncode == 2, ended.stderr
    assert "display" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_missing_qt_library_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    load = importlib.import_module

    def broken(name: str) -> Any:
        if name == "PyQt5.QtWidgets":
            raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(UsageError) as caught:
        system_check.check_system()
    assert str(caught.value) == "Qt cannot start: libGL.so.1 is missing. Run: sudo apt-get install libgl1"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the xcb plugin is for Linux")
def test_a_missing_library_of_the_xcb_plugin_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qt aborts the process for it, after the window system has been chosen."""

    def load(path: str) -> None:
        if "qxcb" in path:
            raise OSError("libxcb-icccm.so.4: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", load)
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    monkeypatch.setenv("DISPLAY", ":0")
    with pytest.raises(UsageError) as caught:
        system_check.check_system()
    assert str(caught.value) == "Qt cannot start: libxcb-icccm.so.4 is missing. Run: sudo apt-get install libxcb-icccm4"


def test_missing_python_packages_are_left_to_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    system_check.check_system()


def test_other_systems_get_the_name_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert "libportaudio2" in system_check.install_advice("libportaudio2")
    assert "apt-get" not in system_check.install_advice("libportaudio2")


def test_every_package_of_the_manual_is_one_that_the_check_names() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "panel.md").read_text(encoding="utf-8")
    for package in system_check.QT_PACKAGES.split():
        assert package in manual
