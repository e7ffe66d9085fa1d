"""The panel among the programs of a Linux desktop: installed, started from its entry, and removed without traces."""

from __future__ import annotations

import configparser
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stemline_app.cli.main import main
from stemline_app.install import panel


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("STEMLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "data"


def entry_of(data: Path) -> Path:
    return data / "applications" / "stemline-panel.desktop"


def test_the_entry_has_an_icon_and_a_command_that_starts_this_stemline(data: Path) -> None:
    assert main(["install", "panel"]) == 0
    parsed = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parsed.read(entry_of(data), "utf-8")
    entry = parsed["Desktop Entry"]
    assert (data / "icons" / "hicolor" / "scalable" / "apps" / f"{entry['Icon']}.svg").read_bytes().startswith(b"<svg")
    command = shlex.split(entry["Exec"])
    assert command[-2:] == ["panel", "%f"]
    shown = subprocess.run([*command[:-1], "--help"], capture_output=True, text=True, check=True)
    assert "FILE|EDIT" in shown.stdout
    if shutil.which("desktop-file-validate"):
        subprocess.run(["desktop-file-validate", entry_of(data)], check=True)


def test_a_python_in_a_folder_with_special_characters_is_quoted(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel, "why_no_panel", lambda: "")  # it runs that Python
    monkeypatch.setattr(sys, "executable", '/opt/a "b" $c 100%/python')
    panel.install()
    assert r'Exec="/opt/a \\"b\\" \\$c 100%%/python" -m stemline panel %f' in entry_of(data).read_text()


def test_removal_leaves_nothing_and_touches_no_entry_of_another_program(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "panel"]) == 0
    assert main(["install", "panel", "--uninstall"]) == 0
    assert not [path for path in data.rglob("*") if path.is_file()]
    entry_of(data).write_text("[Desktop Entry]\nName=Mine\n")
    assert main(["install", "panel"]) != 0
    assert "is not Stemline's" in capsys.readouterr().err
    assert main(["install", "panel", "--uninstall"]) == 0
    assert entry_of(data).read_text() == "[Desktop Entry]\nName=Mine\n"


def test_other_systems_are_told_that_no_entry_is_needed(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["install", "panel"]) == 0
    assert "needs no entry on this system" in capsys.readouterr().out
    assert not data.exists()
