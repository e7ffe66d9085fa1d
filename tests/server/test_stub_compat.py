"""The checked-in stubs load with any protobuf of a host program; `scripts/stub-matrix.sh` tries the older ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_stubs_work_with_the_installed_protobuf_alone() -> None:
    answer = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "stub_check.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "core")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.startswith("stubs work with protobuf")


def test_the_stubs_come_from_the_old_generator() -> None:
    """A newer one would shut out every older protobuf without a test here noticing."""
    folder = ROOT / "core" / "stemline" / "v1"
    stubs = list(folder.glob("*_pb2.py"))
    assert len(stubs) == len(list(folder.glob("*.proto"))) >= 3
    for stub in stubs:
        assert "# Protobuf Python Version: 4.25" in stub.read_text(encoding="utf-8")
