"""`stemline install resolve`, the doctor's checks of it, and the panel opened from outside."""

from __future__ import annotations

import json
import os
import plistlib
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hosts.pythons import NEWEST, python_command
from hosts.resolve.harness import stubs
from hosts.resolve.running import HOST_PYTHON, panel_with_steps
from stemline import extras, paths
from stemline.errors import OutputError
from stemline.hosts.description import Check
from stemline_app.cli.main import main
from stemline_app.doctor import resolve as checks
from stemline_app.doctor.resolve import resolve_checks
from stemline_app.install import resolve as installing
from stemline_resolve import locations
from stemline_resolve.menu import settings_in

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def nothing_shared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All users' folder, which these tests must not touch."""
    shared = folder / "shared scripts"
    monkeypatch.setattr(installing, "shared_scripts_folders", lambda: (shared,))
    return shared


def script() -> Path:
    return installing.scripts_folder() / "Utility" / "Stemline.py"


def found() -> dict[str, Check]:
    return {check.name: check for check in resolve_checks()}


def test_installing_creates_the_folder_and_removes_old_copies(
    nothing_shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = [nothing_shared / "Utility" / "Stemline.py", installing.scripts_folder() / "Edit" / "Stemline.py"]
    for path in old:
        path.parent.mkdir(parents=True)
        path.write_text(installing.script_text())
    foreign = nothing_shared / "Comp" / "Stemline.py"
    foreign.parent.mkdir()
    foreign.write_text("print('of somebody else')")
    assert main(["install", "resolve"]) == 0
    assert script().is_file()
    assert not any(path.exists() for path in old)
    assert foreign.exists()
    assert "Restart DaVinci Resolve" in capsys.readouterr().out
    assert main(["install", "resolve", "--uninstall"]) == 0
    assert not script().exists()
    assert not installing.bridge_copy().exists()
    assert foreign.exists()
    assert main(["install", "resolve", "--uninstall", "--json"]) == 0
    assert "There was no menu script" in json.loads(capsys.readouterr().out.splitlines()[-1])["results"][0]["done"][0]


def test_a_folder_that_cannot_be_created_is_reported_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    blocked = installing.scripts_folder().parent
    blocked.parent.mkdir(parents=True)
    blocked.write_text("a file where a folder should be")
    assert main(["install", "resolve"]) == 1
    assert "cannot be changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "ends"),
    [
        ("darwin", "Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts"),
        ("win32", "Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts"),
        ("linux", ".local/share/DaVinciResolve/Fusion/Scripts"),
    ],
)
def test_the_script_goes_to_the_folder_of_each_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, ends: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert installing.scripts_folder().as_posix().endswith(ends)


def run_script(prelude: str) -> str:
    """What the Console shows when the menu script runs after `prelude`."""
    code = f"{prelude}\nexec(open({str(script())!r}, encoding='utf-8').read())"
    environment = {name: value for name, value in os.environ.items() if name != "STEMLINE_HOME"}
    done = subprocess.run([*HOST_PYTHON, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_the_menu_script_reports_failures_in_one_line() -> None:
    installing.install()
    assert "cannot be reached" in run_script("resolve = None")
    assert "install Python 3.8" in run_script("import sys; sys.version_info = (3, 6, 8)")
    (paths.home_dir() / "installation.json").unlink()
    here = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r})"
    said = run_script(f"{here}\nfrom hosts.resolve.fake_resolve import build\n{_FAKE}")
    assert "stemline install resolve" in said
    installing.uninstall()
    script().parent.mkdir(parents=True, exist_ok=True)
    script().write_text(installing.script_text())
    assert "its bridge cannot be loaded" in run_script("resolve = object()")


_FAKE = f"""
from pathlib import Path
resolve = build(Path({str(stubs())!r}), {{
    "product": "DaVinci Resolve Studio", "version": [21, 0, 0], "project_rate": "25", "media": [],
    "timelines": [{{"name": "Cut", "label": 25, "rate": "25", "zero": 0}}],
}}).resolve()
"""


def test_the_doctor_follows_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(found()) == ["resolve"]
    assert "not found here" in found()["resolve"].message
    installing.install()
    first = found()
    assert first["resolve"].status == "warn"
    assert "Restart Resolve" in first["resolve"].advice
    assert first["resolve script"].status == "ok"
    assert first["resolve companion"].message == "starts and answers"
    assert first["resolve panel"].status == "ok"
    script().write_text(script().read_text() + "# changed\n")
    assert found()["resolve script"].advice.startswith("Run `stemline install resolve`")
    installing.install()
    bridge = installing.bridge_copy() / "stemline_resolve" / "menu.py"
    bridge.write_text(bridge.read_text() + "# old\n")
    assert "another Stemline" in found()["resolve script"].message
    (paths.home_dir() / "installation.json").write_text("{")
    assert found()["resolve companion"].status == "fail"


def test_the_doctor_reports_a_companion_that_cannot_start() -> None:
    installing.install()
    record = {"version": 1, "stemline": "0", "command": [sys.executable, "-c", "raise SystemExit('torch is gone')"]}
    (paths.home_dir() / "installation.json").write_text(json.dumps(record))
    assert (found()["resolve companion"].status, found()["resolve companion"].message) == ("fail", "torch is gone")


@pytest.mark.parametrize(
    ("product", "version", "status"),
    [
        ("DaVinci Resolve", "21.0.3.7", "ok"),
        ("DaVinci Resolve", "21.1.0.7", "warn"),
        ("DaVinci Resolve Studio", "21.1.0.7", "ok"),
    ],
)
def test_the_doctor_sends_the_free_edition_of_21_1_to_the_round_trip(product: str, version: str, status: str) -> None:
    installing.install()
    seen = paths.home_dir() / "resolve" / "seen.json"
    seen.write_text(json.dumps({"product": product, "version": version, "python": "3.10.11"}))
    check = found()["resolve"]
    assert check.status == status
    assert ("--for resolve" in check.advice) == (status == "warn")


def test_the_doctor_sees_on_disk_that_an_update_removed_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script last ran in 21.0; the program on disk is 21.1 by now."""
    contents = folder / "DaVinci Resolve.app" / "Contents"
    contents.mkdir(parents=True)
    (contents / "Info.plist").write_bytes(plistlib.dumps({"CFBundleShortVersionString": "21.1.0"}))
    monkeypatch.setattr(locations, "program", lambda: contents.parent)
    seen = paths.home_dir() / "resolve" / "seen.json"
    seen.parent.mkdir(parents=True)
    seen.write_text(json.dumps({"product": "DaVinci Resolve", "version": "21.0.3"}))
    assert "no Python scripts from 21.1" in found()["resolve"].message


@pytest.mark.parametrize(("ran_s_after", "status"), [(60, "ok"), (-60, "warn")])
def test_a_run_before_an_update_does_not_count_as_working(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ran_s_after: int, status: str
) -> None:
    installing.install()
    program = folder / "resolve"
    program.write_bytes(b"")
    monkeypatch.setattr(locations, "program", lambda: program)
    seen = paths.home_dir() / "resolve" / "seen.json"
    at = program.stat().st_ctime + ran_s_after
    seen.write_text(json.dumps({"product": "DaVinci Resolve", "version": "21.0.3", "python": "3.10.11", "at": at}))
    check = found()["resolve"]
    assert check.status == status
    assert ("has not run the script since it was updated" in check.message) == (status == "warn")


def test_missing_packages_of_the_panel_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (installing, checks):
        monkeypatch.setattr(module, "why_no_panel", lambda: "No module named 'PyQt5'")
    next_step = installing.install().next_step
    assert "The panel's packages are missing. Run: " in next_step
    assert "[panel]" in next_step
    check = found()["resolve panel"]
    assert check.status == "warn"
    assert "No module named 'PyQt5'" in check.message
    assert "[panel]" in check.advice


@pytest.mark.parametrize(
    ("code", "why"),
    [("", ""), ("raise ImportError('no Qt')", "ImportError: no Qt"), ("import os; os.abort()", "exit code -6")],
)
def test_a_crash_of_the_panels_packages_does_not_end_the_doctor(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    package = folder / "stemline_panel"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert extras.why_no_panel() == why


def test_an_installed_bridge_in_use_stays_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows refuses to move a folder while a file in it is open."""
    installing.install()
    target, rename = installing.bridge_copy(), Path.rename

    def refuse(self: Path, other: Path) -> Path:
        if self == target:
            raise PermissionError(13, "Access is denied", str(self))
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="cannot be changed"):
        installing.install()
    assert installing.bridge_is_current()
    monkeypatch.undo()
    assert not target.with_name(".bridge.old").exists()


@pytest.mark.parametrize(
    ("text", "expected"), [('{"duplicate_timeline": true}', True), ("{}", False), ("[]", False), ("not JSON", False)]
)
def test_the_setting_for_a_copy_before_writing_is_read(folder: Path, text: str, expected: bool) -> None:
    (folder / "settings.json").write_text(text)
    assert settings_in(folder).duplicate_first is expected


MODULE = """
import os, sys
from pathlib import Path
{crash}
sys.path.insert(0, {tests!r})
from hosts.resolve.fake_resolve import build
fake = build(Path({stubs!r}), {film!r})
def scriptapp(name):
    print("Resolve's library prints what it likes")
    return {answer}
"""


def write_module(folder: Path, cut: dict[str, Any], crash: str = "", answer: str = "fake.resolve()") -> None:
    modules = folder / "scripting" / "Modules"
    modules.mkdir(parents=True, exist_ok=True)
    text = MODULE.format(crash=crash, tests=str(ROOT / "tests"), stubs=str(stubs()), film=cut, answer=answer)
    (modules / "DaVinciResolveScript.py").write_text(text, encoding="utf-8")


def run_external(folder: Path, cut: dict[str, Any], crash: str = "", answer: str = "fake.resolve()") -> Any:
    write_module(folder, cut, crash, answer)
    return subprocess.run(
        [sys.executable, "-m", "stemline_resolve.external"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "RESOLVE_SCRIPT_API": str(folder / "scripting"), "PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize("exit_code", [0, 3])
def test_the_panel_reaches_resolve_from_outside(
    folder: Path, cut: dict[str, Any], monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    """It is started, brings stems in, removes them, and ends."""
    copy = {"do": "copy", "output_dir": str(folder / "stems")}
    results = panel_with_steps(folder, [copy, {"do": "remove", "result": "last"}], exit_code=exit_code)
    monkeypatch.setenv("STEMLINE_TEST_STEPS", str(folder / "steps.json"))
    ended = run_external(folder, cut)
    assert ended.stderr == ""
    capabilities, written, removed = json.loads(results.read_text())
    assert capabilities["name"] == "DaVinci Resolve Studio"
    assert written["tracks"] == ["speech A1", "speech A2"]
    assert removed == {"notes": []}
    assert ended.returncode == min(exit_code, 1)
    assert ("`python -m stemline_resolve.external` again" in ended.stdout) == bool(exit_code)
    assert json.loads((paths.home_dir() / "resolve" / "seen.json").read_text())["version"] == "21.0.0.7"


def resolve_python(folder: Path, cut: dict[str, Any], answer: str = "fake.resolve()") -> Path:
    """A program as Resolve 21.1 brings it: a Python that finds Resolve's module by itself."""
    write_module(folder, cut, answer=answer)
    program = folder / "ResolvePython"
    modules = shlex.quote(str(folder / "scripting" / "Modules"))
    command = shlex.join(newest_python())
    program.write_text(f'#!/bin/sh\nPYTHONPATH={modules} exec {command} "$@"\n')
    program.chmod(0o755)
    return program


def newest_python() -> tuple[str, ...]:
    """Resolve 21.1's version where there is one here, without installed packages."""
    try:
        return (python_command(NEWEST)[0], "-S", "-B")
    except pytest.skip.Exception:
        return (HOST_PYTHON[0], "-S", "-B")


def test_from_21_1_the_panel_uses_the_python_that_resolve_brings(
    folder: Path, cut: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any variable, and though the user's Python has variables that no other can live with."""
    results = panel_with_steps(folder, [{"do": "copy", "output_dir": str(folder / "stems")}])
    monkeypatch.setenv("STEMLINE_TEST_STEPS", str(folder / "steps.json"))
    monkeypatch.delenv("RESOLVE_SCRIPT_API", raising=False)
    program = resolve_python(folder, cut)
    code = (
        "import os, sys, pathlib; from stemline_resolve import external, locations\n"
        f"locations.resolve_python = lambda: pathlib.Path({str(program)!r})\n"
        "os.environ['PYTHONHOME'] = '/nowhere'\n"
        "sys.exit(external.main())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(results.read_text())[1]["tracks"] == ["speech A1", "speech A2"]
    version = subprocess.check_output([program, "-c", "import platform; print(platform.python_version())"], text=True)
    assert json.loads((paths.home_dir() / "resolve" / "seen.json").read_text())["python"] == version.strip()


@pytest.mark.parametrize(
    "case",
    [
        ("DaVinci Resolve Studio", "fake.resolve()", "ok", "DaVinci Resolve Studio 21.1.0.7 answers its own Python"),
        ("DaVinci Resolve", "fake.resolve()", "warn", "the free edition runs no Python scripts from 21.1 on"),
        ("DaVinci Resolve Studio", "None", "warn", "version 21.1 or later; it has not run the script yet"),
    ],
)
def test_the_doctor_knows_21_1_by_its_python_and_asks_it_for_the_edition(
    folder: Path, cut: dict[str, Any], monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str, str]
) -> None:
    product, answer, status, message = case
    installing.install()
    program = resolve_python(folder, {**cut, "product": product, "version": [21, 1, 0]}, answer)
    monkeypatch.setattr(locations, "resolve_python", lambda: program)
    check = found()["resolve"]
    assert (check.status, message in check.message) == (status, True), check
    assert ("--for resolve" in check.advice) == (status == "warn")


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("darwin", "DaVinci Resolve.app/Contents/Applications/ResolvePython"),
        ("win32", "DaVinci Resolve/ResolvePython/ResolvePython.exe"),
        ("linux", "opt/resolve/bin/ResolvePython"),
    ],
)
def test_each_system_has_its_place_for_resolves_python(
    monkeypatch: pytest.MonkeyPatch, platform: str, place: str
) -> None:
    looked_at: list[str] = []
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "is_file", lambda path: looked_at.append(path.as_posix()))
    assert locations.resolve_python() is None
    assert looked_at[0].endswith(place)


@pytest.mark.parametrize(
    ("crash", "answer", "said"),
    [
        ("os._exit(139)", "None", "crashes Python"),
        ("", "None", "External scripting using: Local"),
        ("raise ImportError('no such module')", "None", "was not found"),
        ("raise ModuleNotFoundError(\"No module named 'imp'\")", "None", "imports `imp`, which Python 3.12"),
    ],
)
def test_a_refusal_from_outside_is_explained_in_one_line(
    folder: Path, cut: dict[str, Any], crash: str, answer: str, said: str
) -> None:
    ended = run_external(folder, cut, crash, answer)
    assert ended.returncode == 2
    assert said in ended.stderr.splitlines()[-1]
