"""Why a server died: a fatal signal counts against jobs, a kill from outside does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
