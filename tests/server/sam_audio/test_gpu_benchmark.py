"""Risk: a benchmark that fails on the one day that a GPU is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]
STAGES = {"parity", "load", "matrix rate", "vision tower", "published loop", "evaluation", "clip"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="takes ten minutes with a GPU: run it by hand")
def test_every_stage_of_the_gpu_benchmark_runs_at_toy_sizes(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "parity").mkdir()
    (tmp_path / "parity" / "vis_a").symlink_to(shared_data / "parity" / "vis_a")
    environment = {**os.environ, "STEMLINE_TEST_DATA": str(tmp_path), "STEMLINE_BENCH_GPU_OUT": str(tmp_path / "out")}
    command = [sys.executable, "-m", "tests.benchmarks", "gpu"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    written = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert {row["stage"] for row in written["rows"]} == STAGES
    assert all(row["value"] is not None for row in written["rows"])
    assert all(row["value"] <= 1 for row in written["rows"] if row["stage"] == "parity")
    table = (tmp_path / "out" / "gpu.md").read_text()
    assert table.count("\n|") == len(written["rows"]) + 2
