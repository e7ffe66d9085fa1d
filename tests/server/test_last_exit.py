"""Why a server died: a fatal signal and a lack of memory count against jobs, a kill from outside does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stemline_server.jobs import last_exit
from stemline_server.jobs.last_exit import ExitRecord

PROCESS = """
import os, signal, sys
from pathlib import Path
from stemline_server.jobs.last_exit import ExitRecord
with ExitRecord(Path(sys.argv[1])).recording():
    if sys.argv[2] != "none":
        os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("number", "crashed"),
    [("SIGSEGV", True), ("SIGABRT", True), ("SIGBUS", True), ("SIGKILL", False), ("SIGTERM", False), ("none", False)],
)
def test_only_fatal_signals_of_the_process_are_crashes(tmp_path: Path, number: str, crashed: bool) -> None:
    process = subprocess.run([sys.executable, "-c", PROCESS, str(tmp_path), number], check=False)
    assert (process.returncode == 0) == (number == "none")
    assert ExitRecord(tmp_path).crashed() is crashed


def test_a_crash_counts_once(tmp_path: Path) -> None:
    (tmp_path / "crash.txt").write_text("Fatal Python error: Segmentation fault", encoding="utf-8")
    assert ExitRecord(tmp_path).crashed()
    with ExitRecord(tmp_path).recording():
        pass
    assert not ExitRecord(tmp_path).crashed()


@pytest.mark.parametrize(("oom_kills", "boot", "crashed"), [(3, "a", False), (4, "a", True), (4, "b", False)])
def test_a_process_killed_for_its_memory_crashed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, oom_kills: int, boot: str, crashed: bool
) -> None:
    vmstat, boot_id = tmp_path / "vmstat", tmp_path / "boot_id"
    monkeypatch.setattr(last_exit, "_VMSTAT", vmstat)
    monkeypatch.setattr(last_exit, "_BOOT_ID", boot_id)
    vmstat.write_text("pgfault 12\noom_kill 3\n", encoding="ascii")
    boot_id.write_text("a\n", encoding="ascii")
    with ExitRecord(tmp_path).recording():
        pass
    vmstat.write_text(f"pgfault 99\noom_kill {oom_kills}\n", encoding="ascii")
    boot_id.write_text(f"{boot}\n", encoding="ascii")
    assert ExitRecord(tmp_path).crashed() is crashed


@pytest.mark.parametrize("text", ["", "no json", "[]", json.dumps({"boot": "a"})])
def test_a_record_that_cannot_be_read_blames_no_job(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text, encoding="ascii")
    assert not ExitRecord(tmp_path).crashed()
