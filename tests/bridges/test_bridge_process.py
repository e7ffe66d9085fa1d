"""The kit that every bridge carries: how it finds and starts the real companion."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import stemline_bridge
from hosts.pythons import NEWEST, OLDEST, python_command
from stemline import paths
from stemline_app.install import record_installation
from stemline_bridge import (
    CompanionProcess,
    ConnectionClosed,
    NotInstalled,
    find_installation,
    process,
)

BRIDGES = Path(stemline_bridge.__file__).parent.parent


def test_the_recorded_installation_is_found_and_starts(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled) as missing:
        find_installation("", "blender")
    assert missing.value.command.endswith("stemline install blender")
    record = record_installation()
    installation = find_installation("", "blender")
    assert installation.version
    companion = CompanionProcess.start(installation, {}, tmp_path / "logs" / "companion.log")
    try:
        hello = companion.peer.call("hello", {"protocols": [1], "capabilities": {"name": "test", "version": "1"}}, 60.0)
        assert hello["version"] == installation.version
    finally:
        companion.stop()
    assert companion.process.returncode == 0
    record.write_text("{")
    with pytest.raises(NotInstalled, match="cannot be read"):
        find_installation("", "blender")
    record.write_text(json.dumps({"version": 1, "stemline": "0", "command": [str(tmp_path / "gone"), "-m", "x"]}))
    with pytest.raises(NotInstalled, match="is gone"):
        find_installation("", "blender")


def test_a_preference_is_used_or_reported_as_missing(tmp_path: Path) -> None:
    assert find_installation(sys.executable, "blender").command == (sys.executable,)
    with pytest.raises(NotInstalled, match="no program"):
        find_installation(str(tmp_path / "nowhere"), "blender")


def test_a_companion_that_cannot_run_says_why(tmp_path: Path) -> None:
    program = tmp_path / "stemline"
    program.write_text("#!/bin/sh\necho 'No module named torch' >&2\nexit 2\n")
    program.chmod(0o755)
    companion = CompanionProcess.start(find_installation(str(program), "blender"), {}, tmp_path / "log")
    with pytest.raises(ConnectionClosed):
        companion.peer.call("hello", {}, 60.0)
    companion.stop()
    assert companion.last_words() == "No module named torch"


def test_a_companion_that_reads_nothing_does_not_block_the_host(tmp_path: Path) -> None:
    program = tmp_path / "stemline"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    companion = CompanionProcess.start(find_installation(str(program), "blender"), {}, tmp_path / "log")
    for _ in range(4):
        companion.peer.ask("separate", {"tag": "x" * 100_000})
    companion.peer.pump(0.5)
    companion.stop(0.1)
    assert companion.process.returncode == -9
    with pytest.raises(ConnectionClosed):
        companion.peer.pump(10.0)


def test_the_hosts_python_does_not_leak_into_the_companion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    assert not {"PYTHONHOME", "LD_LIBRARY_PATH"} & set(stemline_bridge.clean_environment())


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("package", ["stemline_bridge", "stemline_resolve"])
def test_every_module_loads_without_a_warning_in_a_hosts_python(package: str, version: str) -> None:
    """A newer syntax, a deprecated call, or a package that hosts do not have would end the bridge there."""
    code = (
        f"import importlib, pkgutil, sys; sys.path.insert(0, {str(BRIDGES)!r}); import {package} as package\n"
        "for one in pkgutil.iter_modules(package.__path__): importlib.import_module(f'{package.__name__}.{one.name}')\n"
        "print(sorted(sys.modules))"
    )
    command = [*python_command(version), "-W", "error", "-B", "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert loaded.returncode == 0, loaded.stderr
    assert not {"numpy", "grpc", "stemline"} & set(ast.literal_eval(loaded.stdout))


@pytest.mark.parametrize("named", [True, False])
def test_the_bridge_looks_for_the_installation_where_stemline_records_it(
    named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not named:
        monkeypatch.delenv("STEMLINE_HOME", raising=False)
    assert process.home_dir() == paths.home_dir()
