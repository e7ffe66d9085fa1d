"""Comparison of visual prompts with recorded inputs and outputs of the original model.

A folder holds `config.json`, `model.safetensors` with the vision tower, its sizes in `tower.json` and the recordings
`vision` (from pictures and masks to features), `velocity` (single evaluations) and `solve` (whole separations) with
`request.json` (the spans).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemline_server.engines.sam_audio.checkpoint import Placement, load_tower
from stemline_server.engines.sam_audio.conditioning import FrameSpan, aligned_tokens
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.pictures import PictureEncoder, Pixels, pictures_of_frames, resized
from stemline_server.engines.sam_audio.prompts import even_places
from stemline_server.engines.sam_audio.recordings import (
    LATENT_LIMIT,
    STANDARD,
    VELOCITY_LIMIT,
    Outcome,
    RecordedSolve,
    Recording,
    Runner,
    batch_tokens,
    frame_span,
    open_runner,
    recorded_spans,
    recording,
    solved_outcomes,
)
from stemline_server.engines.sam_audio.vision_tower import VisionTower

FEATURE_LIMIT = 1e-5
SHARE_LIMIT = 1e-4
TOKEN_LIMIT = 1e-4
"""Largest absolute differences in float32; a wrong way to prepare pictures changes features by 0.01 or more."""


def holds_pictures(folder: Path) -> bool:
    """Return whether a folder holds recordings of visual prompts."""
    return (folder / "vision.safetensors").is_file()


def compare_pictures(folder: Path, device: torch.device, precision: Precision) -> Iterator[Outcome]:
    """Compare all recorded outputs of visual prompts.

    Args:
        folder: Folder with the model and the recordings.
        device: Device to compute on.
        precision: Number formats.

    Yields:
        Outcomes in the order pictures, tower, features, velocity, solve.

    Raises:
        InputError: The folder cannot be used or the device does not exist.
    """
    runner = open_runner(folder, device, precision)
    vision, velocity = recording(folder, "vision"), recording(folder, "velocity")
    placement = Placement(device, precision.codec_dtype, precision.dit_dtype)
    tower = load_tower(folder, placement)
    encoder = PictureEncoder(folder, placement, runner.model.config.vision_encoder.dim)
    items = _items(runner, vision)
    with torch.inference_mode(), precision.active(device):
        yield from _prepared(runner, items, vision, tower.sizes.image_size)
        yield from _tokens(runner, tower, vision)
        yield from _features(runner, encoder, items, vision)
        yield from _velocities(runner, vision, velocity)
        yield from _solves(runner, folder, vision, velocity)


@dataclass(frozen=True, slots=True)
class _Item:
    """Hold one item's masked pictures [N, H, W, 3] at their times, as a `PictureSource` without equal pictures."""

    shown: Tensor
    times: tuple[Fraction, ...]
    frames: int

    @property
    def size(self) -> int:
        return int(self.shown.shape[1])

    @property
    def pictures(self) -> int:
        return len(self.shown)

    @property
    def picture_of(self) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        return np.arange(len(self.shown), dtype=np.uint32)

    def entry_at(self, time: Fraction) -> int:
        return min(range(len(self.times)), key=lambda entry: (abs(self.times[entry] - time), entry))

    def read(self, picture: int) -> Pixels:
        pixels: Pixels = self.shown[picture].numpy()
        return pixels


def masked(frames: Tensor, mask: Tensor) -> Tensor:
    """Return pictures [N, H, W, 3] that show only the object for frames [N, 3, H, W] and masks with object = 1."""
    return (frames * mask).permute(0, 2, 3, 1).contiguous()


def _items(runner: Runner, data: Recording) -> list[_Item]:
    items = []
    for number, frames in enumerate(data["feature_sizes"].tolist()):
        shown = masked(data[f"frames.{number}"], data[f"mask.{number}"])
        times = tuple(Fraction(time) for time in data[f"pts.{number}"].tolist())
        items.append(_Item(shown, times, frames))
    return items


def _prepared(runner: Runner, items: list[_Item], data: Recording, size: int) -> Iterator[Outcome]:
    """Compare the choice of pictures and their pixels, which may differ by one level on other devices than a CPU."""
    level = 0 if runner.device.type == "cpu" else 1
    codec = runner.model.config.audio_codec
    for number, item in enumerate(items):
        even = torch.from_numpy(even_places(item.pictures, item.frames))
        near = torch.from_numpy(pictures_of_frames(item, item.frames, Fraction(codec.hop_samples, codec.sample_rate)))
        yield runner.outcome(f"vision.index_even.{number}", even, data[f"index_even.{number}"], 0)
        yield runner.outcome(f"vision.index_pts.{number}", near, data[f"index_pts.{number}"], 0)
        pixels = resized(runner.to(item.shown[even]), size).permute(0, 3, 1, 2)
        yield runner.outcome(f"vision.pixels_u8.{number}", pixels, data[f"pixels_u8.{number}"], level)
    if "resize_in" in data:
        expected = data["resize_out"]
        pixels = resized(runner.to(data["resize_in"]).permute(0, 2, 3, 1), expected.shape[-1]).permute(0, 3, 1, 2)
        yield runner.outcome("vision.resize_out", pixels, expected, level)


def _tokens(runner: Runner, tower: VisionTower, data: Recording) -> Iterator[Outcome]:
    """Compare the tower's tokens of the first two pictures."""
    x = tower.embed(runner.to(data["pixels_u8.0"][:2]).permute(0, 2, 3, 1).contiguous())
    yield runner.outcome("vision.dbg_ln_pre", x, data["dbg_ln_pre"], TOKEN_LIMIT)
    table = tower.rotary_table(runner.device)
    for number, block in enumerate(tower.blocks):
        x = block(x, table)
        if number == 0:
            yield runner.outcome("vision.dbg_block0", x, data["dbg_block0"], TOKEN_LIMIT)
    yield runner.outcome("vision.dbg_blocks", x, data["dbg_blocks"], TOKEN_LIMIT)
    x = tower.norm_out(x)
    yield runner.outcome("vision.dbg_ln_post", x, data["dbg_ln_post"], TOKEN_LIMIT)
    x = tower.pooling(x)
    yield runner.outcome("vision.dbg_pool", x, data["dbg_pool"], TOKEN_LIMIT)
    yield runner.outcome("vision.dbg_projected", tower.output(x)[:, 0], data["dbg_projected"], TOKEN_LIMIT)


def _features(runner: Runner, encoder: PictureEncoder, items: list[_Item], data: Recording) -> Iterator[Outcome]:
    """Compare the features of all pictures, and what they add to the transformer's input."""
    black = _Item(torch.zeros_like(items[0].shown[:1]), (Fraction(0),), 1)
    wanted = [(item, range(item.pictures)) for item in (*items, black)]
    encoded = [torch.from_numpy(np.stack([of[i] for i in sorted(of)])) for of in encoder.encode(wanted, lambda: None)]
    yield runner.outcome("vision.black_feature", encoded.pop()[0], data["black_feature"], FEATURE_LIMIT)
    for name, index in (("video_features", "index_even"), ("video_features_pts", "index_pts")):
        features = torch.zeros_like(data[name])
        for number, item in enumerate(items):
            features[number, :, : item.frames] = encoded[number][data[f"{index}.{number}"]].t()
        yield runner.outcome(f"vision.{name}", features, data[name], FEATURE_LIMIT)
    share = runner.pictures(data["video_features"])
    yield runner.outcome("vision.share", share, data["share"], SHARE_LIMIT)
    none = runner.model.conditioning.pictures.without_pictures()
    yield runner.outcome("vision.share_none", none, data["share_none"], SHARE_LIMIT)


def _velocities(runner: Runner, vision: Recording, data: Recording) -> Iterator[Outcome]:
    conditioning, dit = runner.model.conditioning, runner.model.dit
    time, keep = runner.to(data["time"]), runner.to(vision["audio_pad_mask"]).bool()
    latent = runner.to(data["audio_features"])[..., : runner.model.config.audio_codec.codebook_dim]
    features = vision["video_features"]
    for name, text, anchors, pictures in (
        ("out_visual", "empty_text", "null_anchor", runner.pictures(features)),
        ("out_visual_text", "text", "null_anchor", runner.pictures(features)),
        ("out_visual_text_spans", "text", "anchor", runner.pictures(features)),
        ("out_no_visual", "empty_text", "null_anchor", conditioning.pictures.without_pictures()),
    ):
        tokens = runner.to(aligned_tokens(data[f"{anchors}_ids"], data[f"{anchors}_alignment"]))
        aligned = conditioning(runner.to(data["noisy"]), conditioning.context(latent, tokens, pictures))
        if name == "out_visual":
            yield runner.outcome("velocity.dbg_aligned_inputs", aligned, data["dbg_aligned_inputs"], VELOCITY_LIMIT)
        memory = conditioning.memory(runner.to(data[f"{text}_features"]), time)
        step = dit.prepare(time, memory, runner.to(data[f"{text}_mask"]).bool())
        yield runner.outcome(f"velocity.{name}", dit(aligned, step, keep), data[name], VELOCITY_LIMIT)


def _solves(runner: Runner, folder: Path, vision: Recording, velocity: Recording) -> Iterator[Outcome]:
    data = recording(folder, "solve")
    sizes, frames = vision["feature_sizes"].tolist(), vision["audio_pad_mask"].shape[1]
    codec = runner.model.config.audio_codec
    latent = runner.encode(vision["waveforms"]).transpose(1, 2)
    twice = torch.cat((latent, latent), dim=-1)
    yield runner.outcome("solve.audio_features", twice, velocity["audio_features"], LATENT_LIMIT)
    spans = [
        [frame_span(span, codec.hop_samples, codec.sample_rate) for span in item]
        for item in recorded_spans(folder / "request.json")
    ]
    unmarked: list[list[FrameSpan]] = [[] for _ in sizes]
    for case, text, marked in (("visual", "empty_text", unmarked), ("visual_text_spans", "text", spans)):
        flow = RecordedSolve(
            latent,
            batch_tokens(marked, sizes, frames),
            runner.pictures(vision["video_features"]),
            velocity[f"{text}_features"],
            velocity[f"{text}_mask"],
            vision["audio_pad_mask"].bool(),
        )
        yield from solved_outcomes(runner, data, case, flow.solve(runner, data["noise"], STANDARD), sizes)
