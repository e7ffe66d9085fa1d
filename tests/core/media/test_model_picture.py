"""Pictures for the vision tower have the bytes of the published preprocessing, which the golden tensors hold."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from stemline.media.pictures.model_picture import model_picture

torch = pytest.importorskip("torch")
DATA = os.environ.get("STEMLINE_TEST_DATA", "")


@pytest.mark.skipif(not DATA, reason="needs the golden tensors of STEMLINE_TEST_DATA")
@pytest.mark.parametrize("name", ["vis_a", "vis_b"])
def test_masked_pictures_have_the_published_bytes(name: str) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(str(Path(DATA) / "parity" / name / "vision.safetensors"))
    items = [key.split(".")[1] for key in tensors if key.startswith("frames.")]
    assert items
    for item in items:
        frames, masks = tensors[f"frames.{item}"].transpose(0, 2, 3, 1), tensors[f"mask.{item}"][:, 0].astype(bool)
        wanted = tensors[f"pixels_u8.{item}"].transpose(0, 2, 3, 1)
        for entry, number in enumerate(tensors[f"index_even.{item}"]):
            made = model_picture(frames[number], masks[number], size=wanted.shape[1])
            assert np.array_equal(made, wanted[entry])


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (135, 240), (336, 100), (37, 336), (1, 1), (336, 336)])
def test_any_size_agrees_with_torch(height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    planes = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    scaled = torch.nn.functional.interpolate(planes, (336, 336), mode="bicubic", antialias=True, align_corners=False)
    wanted = scaled.clamp(0, 255).round().byte()[0].permute(1, 2, 0).numpy()
    assert np.count_nonzero(model_picture(pixels) != wanted) <= 4  # of 338,688: single levels that lie on a half


def test_an_empty_mask_gives_a_black_picture_and_pixels_outside_a_mask_give_nothing() -> None:
    white = np.full((90, 160, 3), 255, np.uint8)
    assert not model_picture(white, np.zeros((90, 160), bool)).any()
    left = np.zeros((90, 160), bool)
    left[:, :80] = True
    made = model_picture(white, left)
    assert made[:, :160].min() == 255
    assert made[:, 176:].max() == 0


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="a mask of"):
        model_picture(np.zeros((9, 16, 3), np.uint8), np.ones((16, 9), bool))
