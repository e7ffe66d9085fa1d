"""Risks: results that differ from the original model, a difference that the command does not report."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline_server.engines.sam_audio import picture_parity, pictures
from stemline_server.engines.sam_audio.__main__ import main
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.vision_tower import VisionTower


@pytest.mark.parametrize("variant", ["tiny_a", "tiny_b"])
def test_every_recorded_output_is_within_its_limit(
    shared_data: Path, variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parity", str(shared_data / "parity" / variant)]) == 0
    assert "42 of 42 outputs within their limits" in capsys.readouterr().out


@pytest.mark.parametrize(("variant", "outputs"), [("vis_a", 27), ("vis_b", 29)])
def test_every_recorded_output_of_visual_prompts_is_within_its_limit(
    shared_data: Path, variant: str, outputs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["parity", str(shared_data / "parity" / variant)]) == 0
    assert f"{outputs} of {outputs} outputs within their limits" in capsys.readouterr().out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("variant", ["tiny_a", "tiny_b", "vis_a", "vis_b"])
def test_every_recorded_output_is_within_its_limit_on_a_gpu(shared_data: Path, variant: str) -> None:
    assert main(["parity", str(shared_data / "parity" / variant), "--device", "cuda"]) == 0


def hide_object(frames: Tensor, mask: Tensor) -> Tensor:
    return MASKED(frames, 1 - mask)


def scaled(pictures: Tensor, size: int, *, antialias: bool, whole: bool) -> Tensor:
    planes = pictures.permute(0, 3, 1, 2).float()
    resized = F.interpolate(planes, (size, size), mode="bicubic", antialias=antialias).clamp(0, 255)
    levels = resized.round() if whole else resized
    return levels.permute(0, 2, 3, 1)


def rotary_from_zero(tower: VisionTower, device: torch.device) -> tuple[Tensor, Tensor]:
    cos, sin = ROTARY_TABLE(replace_class_token(tower), device)
    return torch.cat((torch.ones(1, cos.shape[1]), cos)), torch.cat((torch.zeros(1, sin.shape[1]), sin))


def replace_class_token(tower: VisionTower) -> VisionTower:
    other = copy.copy(tower)
    other.sizes = replace(tower.sizes, use_cls_token=False)
    return other


MASKED, ROTARY_TABLE = picture_parity.masked, VisionTower.rotary_table
WRONG = {
    "the mask hides the object": (picture_parity, "masked", hide_object),
    "levels are not rounded": (pictures, "resized", partial(scaled, antialias=True, whole=False)),
    "no antialiasing": (pictures, "resized", partial(scaled, antialias=False, whole=True)),
    "patches count from 0": (VisionTower, "rotary_table", rotary_from_zero),
}


@pytest.mark.parametrize("variant", ["vis_a", "vis_b"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_way_to_prepare_pictures_is_reported(
    shared_data: Path, variant: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*WRONG[wrong])
    folder = shared_data / "parity" / variant
    outcomes = picture_parity.compare_pictures(folder, torch.device("cpu"), Precision.FLOAT32)
    assert not next(outcome for outcome in outcomes if outcome.name == "vision.video_features").passed


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
