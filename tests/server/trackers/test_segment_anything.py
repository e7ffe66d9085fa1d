"""Risks of trackers with weights: masks in the wrong place, memory that grows, and code in their files that runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from server.trackers.tiny_weights import SIDE, write_tiny_weights
from stemline.errors import Code, UsageError
from stemline.media.pictures.picture_track import Picture
from stemline.media.pictures.trackers import create_tracker, find_tracker, list_trackers
from stemline.media.pictures.tracking import Marks
from stemline_server.trackers.segment_anything import SegmentAnythingTracker

NAME = "sam2-tiny"
HEIGHT, WIDTH = 90, 160
BOX = (30, 20, 50, 40)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_weights(tmp_path_factory.mktemp("weights") / NAME)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STEMLINE_MODELS", str(tmp_path))
    return tmp_path


@pytest.fixture
def held(weights: Path, models: Path) -> Path:
    """The weights in the models folder, as files that a test may damage."""
    folder = models / NAME
    folder.mkdir()
    for file in weights.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def film(count: int) -> list[Picture]:
    """Pictures of one shot: a bright box that moves over noise."""
    random = np.random.default_rng(0)
    ground = random.integers(40, 90, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pictures = []
    for number in range(count):
        picture = ground.copy()
        picture[20:60, 30 + number : 80 + number] = random.integers(150, 250, (40, 50, 3), dtype=np.uint8)
        pictures.append(picture)
    return pictures


def whole_film_at_once(folder: Path, pictures: list[Picture], points: list[tuple[int, int, int]]) -> list[Any]:
    """Masks of the same model by the library's own way through a film that it holds as a whole."""
    from transformers import Sam2VideoModel
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    model = Sam2VideoModel.from_pretrained(folder).eval()
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    scaled = torch.nn.functional.interpolate(stacked, (SIDE, SIDE), mode="bilinear", antialias=True)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    video = (scaled - mean.reshape(1, 3, 1, 1)) / deviation.reshape(1, 3, 1, 1)
    session = Sam2VideoInferenceSession(video=video, video_height=HEIGHT, video_width=WIDTH, dtype=torch.float32)
    places = torch.tensor([[x * SIDE / WIDTH, y * SIDE / HEIGHT] for x, y, _ in points])
    labels = torch.tensor([label for _, _, label in points], dtype=torch.int32)
    session.obj_id_to_idx(1)
    session.add_point_inputs(0, 0, {"point_coords": places[None, None], "point_labels": labels[None, None]})
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        found = [model(session, frame_idx=number).pred_masks for number in range(len(pictures))]
    return [torch.nn.functional.interpolate(m, (HEIGHT, WIDTH), mode="bilinear")[0, 0].numpy() > 0 for m in found]


def test_a_box_and_points_give_the_masks_of_the_library_over_a_whole_film(held: Path) -> None:
    pictures = film(9)
    x, y, width, height = BOX
    tracker = create_tracker(NAME)
    marks = Marks(box=BOX, plus=((50, 40),), minus=((10, 10),))
    masks = [tracker.start(pictures[0], marks), *(tracker.step(picture).mask for picture in pictures[1:])]
    points = [(x, y, 2), (x + width, y + height, 3), (50, 40, 1), (10, 10, 0)]
    expected = whole_film_at_once(held, pictures, points)
    differing = [np.count_nonzero(one != other) / one.size for one, other in zip(masks, expected, strict=True)]
    assert max(differing) < 0.002, differing
    assert any(mask.any() and not mask.all() for mask in masks)


def test_a_drawn_mask_starts_the_tracker_as_it_is_drawn(held: Path) -> None:
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    drawn[20:60, 30:80] = True
    tracker = create_tracker(NAME)
    assert np.array_equal(tracker.start(film(1)[0], Marks(mask=drawn)), drawn)
    step = tracker.step(film(2)[1])
    assert step.mask.shape == (HEIGHT, WIDTH)
    assert 0 <= step.confidence <= 1


def test_at_a_cut_the_mask_ends(held: Path) -> None:
    tracker = create_tracker(NAME)
    tracker.start(film(1)[0], Marks(box=BOX))
    step = tracker.step(np.full((HEIGHT, WIDTH, 3), 250, np.uint8))
    assert step.is_cut
    assert not step.mask.any()


def test_memory_does_not_grow_with_the_film(held: Path) -> None:
    tracker = create_tracker(NAME)
    assert isinstance(tracker, SegmentAnythingTracker)
    pictures = film(24)
    tracker.start(pictures[0], Marks(box=BOX))
    sizes = []
    for picture in pictures[1:]:
        tracker.step(picture)
        sizes.append(_bytes_of(vars(tracker._session)))
    assert sizes[-1] == sizes[len(sizes) // 2]


def _bytes_of(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    return sum(map(_bytes_of, value)) if isinstance(value, list | tuple) else 0


@pytest.mark.parametrize("marks", [Marks(), Marks(box=(5, 5, 0, 0)), Marks(mask=np.zeros((HEIGHT, WIDTH), bool))])
def test_marks_that_show_nothing_are_refused(held: Path, marks: Marks) -> None:
    with pytest.raises(UsageError, match="show no object"):
        create_tracker(NAME).start(film(1)[0], marks)


def _without_a_tensor(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    del tensors["no_memory_embedding"]
    save_file(tensors, file, {"format": "pt"})


def _cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def _other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["memory_fuser_intermediate_dim"] = 48
    (folder / "config.json").write_text(json.dumps(config))


def _nonsense_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] = {"model_type": "nonsense"}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("damage", [_without_a_tensor, _cut_short, _other_sizes, _nonsense_sizes])
def test_damaged_weights_are_refused_in_one_sentence_and_never_replaced_by_random_ones(held: Path, damage: Any) -> None:
    damage(held)
    with pytest.raises(UsageError, match="cannot be used") as refused:
        create_tracker(NAME)
    assert refused.value.code is Code.MODEL_UNAVAILABLE
    assert "\n" not in str(refused.value)


def test_a_folder_with_a_pickle_or_another_model_is_no_tracker(models: Path) -> None:
    for name, kind, file in (("pickled", "sam2_video", "pytorch_model.bin"), ("other", "t5", "model.safetensors")):
        (models / name).mkdir()
        (models / name / "config.json").write_text(json.dumps({"model_type": kind}))
        (models / name / file).write_bytes(b"")
    (models / "broken").mkdir()
    (models / "broken" / "config.json").write_text("[" * 100_000)
    (models / "broken" / "model.safetensors").write_bytes(b"")
    assert [info.id for info in list_trackers()] == ["corners", "sam2"]
    with pytest.raises(UsageError, match="sam2 cannot run here") as refused:
        find_tracker("sam2")
    assert str(models) in refused.value.advice


def test_other_weights_have_another_revision(held: Path) -> None:
    before = find_tracker(NAME).revision
    tensors = load_file(held / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, held / "model.safetensors", {"format": "pt"})
    assert find_tracker(NAME).revision != before
