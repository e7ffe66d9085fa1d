"""Risks: results that differ from the original model, a difference that the command does not report."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stemline_server.engines.sam_audio.__main__ import main


@pytest.mark.parametrize("variant", ["tiny_a", "tiny_b"])
def test_every_recorded_output_is_within_its_limit(
    shared_data: Path, variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parity", str(shared_data / "parity" / variant)]) == 0
    assert "42 of 42 outputs within their limits" in capsys.readouterr().out


def test_a_changed_weight_is_reported(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(shared_data / "parity" / "tiny_a", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    weights = load_file(folder / "model.safetensors")
    weights["transformer.layers.1.attention.q_norm.weight"] *= 1.05
    save_file(weights, folder / "model.safetensors")
    assert main(["parity", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert any("velocity.out_text" in line and "OVER" in line for line in printed.splitlines())
    assert any("codec.latent_exact" in line and "ok" in line for line in printed.splitlines())


def test_an_unusable_folder_is_reported_without_a_traceback(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "stemline_server.engines.sam_audio", "parity", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "config.json" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_missing_recording_or_device_is_reported(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(shared_data / "parity" / "tiny_a" / name, tmp_path / name)
    save_file({"wav_exact": torch.zeros(1, 1, 320)}, tmp_path / "codec.safetensors")
    assert main(["parity", str(tmp_path)]) == 2
    assert "does not hold latent_exact" in capsys.readouterr().err
    (tmp_path / "codec.safetensors").unlink()
    assert main(["parity", str(tmp_path)]) == 2
    assert "codec.safetensors" in capsys.readouterr().err
    assert main(["parity", str(tmp_path), "--device", "cuda:77"]) == 2
    assert "cuda:77 is not available" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["parity", str(tmp_path), "--device", "abacus"])
