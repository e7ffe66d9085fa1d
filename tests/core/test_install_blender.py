"""`stemline install blender` on a machine without Blender: what is found, copied and printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from stemline._version import __version__
from stemline.errors import OutputError
from stemline_app.install import blender, blender_package
from stemline_app.install.blender_package import build_zip, validate_zip

pytestmark = pytest.mark.smoke

STEMLINE = str(Path(sys.executable).with_name("stemline"))


@pytest.fixture
def computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any Blender."""
    for name in ("BLENDER_USER_RESOURCES", "BLENDER_USER_SCRIPTS", "BLENDER_USER_EXTENSIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(blender, "_programs", lambda: sorted((tmp_path / "bin").glob("blender*")))
    (tmp_path / "bin").mkdir()
    return tmp_path


def started(computer: Path, version: str) -> Path:
    """The folder that a Blender leaves with a user who has started it."""
    folder = computer / "config" / "blender" / version
    folder.mkdir(parents=True)
    return folder


def program(computer: Path, version: str, tool: str = "exit 0") -> None:
    """A program that says it is Blender; `tool` is what its extension tool does."""
    path = computer / "bin" / f"blender{version}"
    path.write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo "Blender {version}.1";; --command) {tool};; *) exit 0;; esac\n'
    )
    path.chmod(0o755)


def test_the_extension_has_the_version_of_the_library(tmp_path: Path) -> None:
    """It is written down twice more, for Blender from 4.2 on and before."""
    with zipfile.ZipFile(build_zip(tmp_path)) as package:
        manifest = tomllib.loads(package.read("blender_manifest.toml").decode())
        module = package.read("__init__.py").decode()
    assert manifest["version"] == __version__
    before = re.search(r'"version": \((\d+), (\d+), (\d+)\)', module)
    assert before is not None
    assert ".".join(before.groups()) == __version__


def test_every_blender_gets_the_extension_in_its_own_folder(computer: Path) -> None:
    old, new, ancient = (started(computer, version) for version in ("3.4", "4.5", "2.93"))
    program(computer, "5.0")
    outcome = blender.install()
    addon, extension = old / "scripts/addons/stemline_blender", new / "extensions/user_default/stemline"
    for folder in (addon, extension, computer / "config/blender/5.0/extensions/user_default/stemline"):
        assert (folder / "__init__.py").is_file()
        assert (folder / "link" / "peers.py").is_file()
        assert not (folder / "link.py").exists(), "the folder `link` replaces it"
    assert not list(ancient.iterdir())
    said = " ".join(outcome.done)
    assert "2.93 is too old" in said
    assert "finds the extension valid" in said
    assert "Blender 5.0: installed" in said
    assert "Enable Stemline in Preferences > Add-ons of Blender 3.4, Blender 4.5." in outcome.next_step
    (addon / "left over.py").touch()
    blender.install()
    assert not (addon / "left over.py").exists(), "installing again replaces"
    removed = blender.uninstall()
    assert len(removed.done) == 3
    assert not addon.exists()
    assert not extension.exists()
    assert blender.uninstall().done == ("Stemline is in no Blender.",)


def test_without_a_blender_the_zip_is_printed(computer: Path) -> None:
    outcome = blender.install()
    assert "No Blender was found" in outcome.next_step
    assert ".zip" in outcome.next_step
    assert "did not check" in " ".join(outcome.done)


def test_a_zip_that_blender_refuses_is_not_installed(computer: Path) -> None:
    program(computer, "4.5", "echo 'Error: no licence'; exit 1")
    with pytest.raises(OutputError, match="no licence"):
        blender.install()
    assert not (computer / "config").exists()


def test_the_zip_is_reproducible_and_imports_only_its_own_modules(tmp_path: Path) -> None:
    one, other = build_zip(tmp_path / "a"), build_zip(tmp_path / "b")
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as packed:
        names = packed.namelist()
        texts = {name: packed.read(name).decode() for name in names}
    assert {"blender_manifest.toml", "__init__.py", "LICENSE", "link/__init__.py"} <= set(names)
    assert not any("stemline_bridge import" in text for text in texts.values())
    assert validate_zip(one, []).endswith(".")


def test_the_command_answers_in_json(computer: Path) -> None:
    said = subprocess.run(
        [STEMLINE, "install", "blender", "--json"],
        env=os.environ | {"PATH": str(computer / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    (result,) = json.loads(said.stdout)["results"]
    assert result["target"] == "blender"
    assert result["done"]


def test_the_add_on_does_not_take_the_name_of_the_library(computer: Path) -> None:
    """Debian's Blender imports from the system's Python: an add-on `stemline` hides the library there, or is hidden."""
    addons = started(computer, "3.4") / "scripts" / "addons"
    blender_package.put_files(addons / "stemline")
    outcome = blender.install()
    assert [path.name for path in addons.iterdir()] == ["stemline_blender"]
    assert any("removed the earlier add-on" in line for line in outcome.done)
    assert not any("earlier add-on" in line for line in blender.install().done)


def test_another_add_on_with_the_old_name_is_not_removed(computer: Path) -> None:
    other = started(computer, "3.4") / "scripts" / "addons" / "stemline"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("bl_info = {}")
    blender.install()
    blender.uninstall()
    assert (other / "__init__.py").is_file()


def test_uninstalling_removes_the_earlier_add_on_too(computer: Path) -> None:
    addons = started(computer, "3.4") / "scripts" / "addons"
    blender_package.put_files(addons / "stemline")
    assert len(blender.uninstall().done) == 1
    assert list(addons.iterdir()) == []
