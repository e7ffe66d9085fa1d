"""The extension as a package: Blender's own tool accepts it, and it works without Stemline's packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import stemline as stemline_package
from hosts.blender.blenders import ENVIRONMENTS, INSIDE, Runner
from stemline_app.install.blender_package import build_zip, put_files

pytestmark = pytest.mark.host
STEMLINE = str(Path(sys.executable).with_name("stemline"))


def site_packages(version: str) -> Path:
    return next((ENVIRONMENTS / f"bpy-{version}").glob("lib/python*/site-packages"))


def only_modules(blender: Runner, version: str) -> None:
    if version == "3.4":
        pytest.skip("Blender 3.4 has no extensions")
    assert blender.folder.is_dir()


def test_blenders_own_tool_validates_and_builds_the_extension(blender: Runner, version: str) -> None:
    only_modules(blender, version)
    python = blender.blender.command[0]
    tool = next(site_packages(version).glob("bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"))
    zip_path = build_zip(blender.folder)
    said = subprocess.run([python, str(tool), "validate", str(zip_path)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    unpacked = blender.folder / "unpacked"
    with zipfile.ZipFile(zip_path) as packed:
        packed.extractall(unpacked)
    build = ["build", "--source-dir", str(unpacked), "--output-dir", str(blender.folder / "built")]
    (blender.folder / "built").mkdir()
    said = subprocess.run([python, str(tool), *build], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    (built,) = (blender.folder / "built").glob("*.zip")
    with zipfile.ZipFile(built) as theirs, zipfile.ZipFile(zip_path) as ours:
        assert sorted(theirs.namelist()) == sorted(ours.namelist()), "nothing is left out by the manifest"


def test_the_extension_works_without_site_packages(blender: Runner, version: str) -> None:
    only_modules(blender, version)
    bare = blender.folder / "bare"
    bare.mkdir()
    for name in ("bpy", "numpy", "numpy.libs"):
        if (site_packages(version) / name).exists():
            (bare / name).symlink_to(site_packages(version) / name)
    report = blender.folder / "report.json"
    environment = {"PATH": os.environ["PATH"], "HOME": str(blender.folder), "PYTHONPATH": str(bare)}
    environment["BLENDER_USER_RESOURCES"] = str(blender.folder / "user")
    python = str(Path(blender.blender.command[0]).resolve())
    command = [python, "-S", str(INSIDE / "package.py"), str(build_zip(blender.folder)), str(report)]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert report.exists(), said.stdout + said.stderr
    saw = json.loads(report.read_text(encoding="utf-8"))
    assert saw["enabled"]
    assert saw["panel"]
    assert saw["disabled"]
    assert "separate" in saw["operators"]
    assert saw["folder"] == str(blender.folder / "user" / "extensions" / "user_default" / "stemline")
    assert saw["link"] == "bl_ext.user_default.stemline.link"
    assert saw["foreign"] == []
    assert "Traceback" not in said.stdout + said.stderr


def test_stemline_install_puts_it_into_debians_blender(blender: Runner, version: str) -> None:
    if version != "3.4":
        pytest.skip("this is about the program")
    environment = os.environ | {"XDG_CONFIG_HOME": str(blender.folder / "config"), "HOME": str(blender.folder)}
    said = subprocess.run(
        [STEMLINE, "install", "blender"], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "Blender 3.4: installed in" in said.stdout
    assert "and enabled" in said.stdout
    assert enabled(environment)
    library = str(Path(stemline_package.__file__).parent.parent)
    assert enabled(environment | {"PYTHONPATH": library}), "with Stemline in Blender's own Python"
    said = subprocess.run(
        [STEMLINE, "install", "blender", "--uninstall"], env=environment, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert "removed" in said.stdout
    assert not enabled(environment)
    assert not list((blender.folder / "config").rglob("stemline*"))


def test_the_add_on_of_an_earlier_stemline_is_replaced_with_its_preferences(blender: Runner, version: str) -> None:
    if version != "3.4":
        pytest.skip("this is about the program")
    environment = os.environ | {"XDG_CONFIG_HOME": str(blender.folder / "config"), "HOME": str(blender.folder)}
    former = blender.folder / "config" / "blender" / "3.4" / "scripts" / "addons" / "stemline"
    put_files(former)
    told = in_blender(
        environment,
        "bpy.ops.preferences.addon_enable(module='stemline')",
        "bpy.context.preferences.addons['stemline'].preferences.server = 'https://films:7861'",
        "bpy.ops.wm.save_userpref()",
    )
    assert "Traceback" not in told
    assert "removed the earlier add-on" in stemline("install", "blender", environment=environment)
    assert not former.exists()
    told = in_blender(
        environment,
        "addons = bpy.context.preferences.addons",
        "print('kept:', addons['stemline_blender'].preferences.server, 'stemline' in addons)",
    )
    assert "kept: https://films:7861 False" in told


def stemline(*arguments: str, environment: dict[str, str]) -> str:
    ran = subprocess.run([STEMLINE, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def enabled(environment: dict[str, str]) -> bool:
    """Whether a Blender that starts as the user starts it has the add-on."""
    looks = "'stemline_blender' in bpy.context.preferences.addons, hasattr(bpy.types.Scene, 'stemline')"
    said = in_blender(environment, f"print('enabled:', {looks})")
    assert "enabled:" in said, said
    return "enabled: True True" in said


def in_blender(environment: dict[str, str], *lines: str) -> str:
    """What Blender prints while it runs these lines of Python with the user's preferences."""
    script = "\n".join(("import bpy", *lines))
    command = [shutil.which("blender") or "", "--background", "--python-use-system-env", "--python-expr", script]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    return ran.stdout + ran.stderr
