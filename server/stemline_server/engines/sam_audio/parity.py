"""Comparison of this engine with recorded inputs and outputs of the original model.

A folder holds `config.json`, `model.safetensors` and the recordings `codec` (encode, decode), `velocity` (single
evaluations with intermediate values) and `solve` (whole separations from waveform to waveforms) with `solve.json` (the
spans).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemline_server.engines.sam_audio.conditioning import aligned_tokens
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.dit import Masks, rotary_table, sinusoids
from stemline_server.engines.sam_audio.recordings import (
    DECODE_LIMIT,
    LATENT_LIMIT,
    SOLVED_LATENT_LIMIT,
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
from stemline_server.engines.sam_audio.solver import Method, Schedule


def compare(folder: Path, device: torch.device, precision: Precision) -> Iterator[Outcome]:
    """Compare all recorded outputs.

    Args:
        folder: Folder with the model and the recordings.
        device: Device to compute on.
        precision: Number formats.

    Yields:
        Outcomes in the order codec, velocity, solve.

    Raises:
        InputError: The folder cannot be used or the device does not exist.
    """
    runner = open_runner(folder, device, precision)
    with torch.inference_mode(), precision.active(device):
        yield from _codec(runner, recording(folder, "codec"))
        yield from _velocities(runner, recording(folder, "velocity"))
        yield from _solves(runner, recording(folder, "solve"), recorded_spans(folder / "solve.json"))


@dataclass(frozen=True, slots=True)
class _Item:
    """Hold the conditions of a recorded evaluation; None leaves a module out."""

    time: Tensor
    tokens: Tensor | None
    pictures: Tensor | None
    frame_mask: Tensor | None


def _codec(runner: Runner, data: Recording) -> Iterator[Outcome]:
    for kind in ("exact", "ragged"):
        expected = data[f"latent_{kind}"]
        yield runner.outcome(f"codec.latent_{kind}", runner.encode(data[f"wav_{kind}"]), expected, LATENT_LIMIT)
    clean = runner.decode(data["decode_in"])
    marked = runner.mark(clean, data["watermark_message"])
    yield runner.outcome("codec.decode_out_nowatermark", clean, data["decode_out_nowatermark"], DECODE_LIMIT)
    yield runner.outcome("codec.decode_out_watermark", marked, data["decode_out_watermark"], DECODE_LIMIT)


def _velocities(runner: Runner, data: Recording) -> Iterator[Outcome]:
    def tokens(kind: str, padded: str = "") -> Tensor:
        return runner.to(aligned_tokens(data[f"{kind}_ids"], data[f"{kind}_alignment{padded}"]))

    time, mixed = runner.to(data["time"]), runner.to(data["time_mixed"])
    null, anchors = tokens("null_anchor"), tokens("anchor")
    pictures, no_pictures = (
        runner.pictures(data["video_features"]),
        runner.model.conditioning.pictures.without_pictures(),
    )
    mask = runner.to(data["audio_pad_mask"]).bool()
    everything = _Item(mixed, tokens("anchor", "_padded"), pictures, mask)
    items = {
        "out_text": _Item(time, None, None, None),
        "out_default_prompt": _Item(time, null, no_pictures, None),
        "out_anchors": _Item(time, anchors, no_pictures, None),
        "out_video": _Item(time, null, pictures, None),
        "out_padded": _Item(time, tokens("null_anchor", "_padded"), no_pictures, mask),
        "out_all": everything,
    }
    for name, item in items.items():
        aligned, memory = _inputs(runner, data, item)
        step = runner.model.dit.prepare(item.time, memory, runner.to(data["text_mask"]).bool())
        velocity = runner.model.dit(aligned, step, item.frame_mask)
        yield runner.outcome(f"velocity.{name}", velocity, data[name], VELOCITY_LIMIT)
    yield from _intermediates(runner, data, everything)


def _inputs(runner: Runner, data: Recording, item: _Item) -> tuple[Tensor, Tensor]:
    """Return the transformer's input and its memory."""
    conditioning = runner.model.conditioning
    latent = runner.to(data["audio_features"])[..., : runner.model.config.audio_codec.codebook_dim]
    aligned = conditioning(runner.to(data["noisy"]), conditioning.context(latent, item.tokens, item.pictures))
    return aligned, conditioning.memory(runner.to(data["text_features"]), item.time)


def _intermediates(runner: Runner, data: Recording, item: _Item) -> Iterator[Outcome]:
    dit = runner.model.dit
    aligned, memory = _inputs(runner, data, item)
    step = dit.prepare(item.time, memory, runner.to(data["text_mask"]).bool())
    frames = dit.frame_embedder(aligned.to(runner.precision.dit_dtype))
    rotary = rotary_table(dit.config, aligned.shape[1], runner.device)
    text_mask = None if step.text_mask is None else step.text_mask[:, None, None, :]
    keep = None if item.frame_mask is None else item.frame_mask[:, None, None, :]
    got = {
        "aligned_inputs": aligned,
        "sinusoidal_time": sinusoids(item.time, dit.config.dim),
        "t_embedder": dit.embed_time(item.time),
        "y_embedder": dit.word_embedder(memory.to(runner.precision.dit_dtype)),
        "x_embedder": frames,
        "layer0": dit.layers[0](frames, step.layers[0], rotary, Masks(keep, text_mask)),
    }
    for name, tensor in got.items():
        yield runner.outcome(f"velocity.dbg_all_{name}", tensor, data[f"dbg_all_{name}"], VELOCITY_LIMIT)


def _solves(runner: Runner, data: Recording, spans_s: list[list[list[Any]]]) -> Iterator[Outcome]:
    sizes = [int(size) for size in data["feature_sizes"]]
    frames = data["audio_pad_mask"].shape[1]
    hop, rate = runner.model.config.audio_codec.hop_samples, runner.model.config.audio_codec.sample_rate
    found = [-(-int(size) // hop) for size in data["wav_sizes"]]
    yield Outcome("solve.feature_sizes", float(sum(a != b for a, b in zip(found, sizes, strict=True))), 0)
    latent = runner.encode(data["waveforms"]).transpose(1, 2)
    twice = torch.cat((latent, latent), dim=-1)
    yield runner.outcome("solve.audio_features", twice, data["audio_features"], LATENT_LIMIT)
    spans = [[frame_span(span, hop, rate) for span in item] for item in spans_s]
    tokens = {
        "noanchors": batch_tokens([[] for _ in sizes], sizes, frames),
        "anchors": batch_tokens(spans, sizes, frames),
    }
    for kind, got in tokens.items():
        expected = aligned_tokens(data[f"{kind}.anchor_ids"], data[f"{kind}.anchor_alignment"])
        yield runner.outcome(f"solve.{kind}", got, expected, 0)
    no_pictures = runner.model.conditioning.pictures.without_pictures()
    keep = data["audio_pad_mask"].bool()
    for case, kind, pictures in (
        ("batch_text", "noanchors", no_pictures),
        ("batch_anchors", "anchors", no_pictures),
        ("batch_video_anchors", "anchors", runner.pictures(data["video_features"])),
    ):
        flow = RecordedSolve(latent, tokens[kind], pictures, data["text_features"], data["text_mask"], keep)
        solved = flow.solve(runner, data["noise"], STANDARD)
        yield from solved_outcomes(runner, data, case, solved, sizes)
    yield from _single_item(runner, data, sizes[1])


def _single_item(runner: Runner, data: Recording, size: int) -> Iterator[Outcome]:
    """Compare item 1 alone with three schedules."""
    hop = runner.model.config.audio_codec.hop_samples
    own = data["waveforms"][1:, :, : int(data["wav_sizes"][1])]
    flow = RecordedSolve(
        runner.encode(own).transpose(1, 2)[:, : -(-own.shape[-1] // hop)],
        batch_tokens([[]], [size], size),
        runner.model.conditioning.pictures.without_pictures(),
        data["text_features"][1:],
        data["text_mask"][1:],
        None,
    )
    noise = data["noise"][1:, :size]
    yield from solved_outcomes(runner, data, "single_item1", flow.solve(runner, noise, STANDARD), [size])
    for case, schedule in (("midpoint4", Schedule(Method.MIDPOINT, 4)), ("euler16", Schedule(Method.EULER, 16))):
        name = f"single_item1_{case}.latent_out"
        solved = flow.solve(runner, noise, schedule).transpose(1, 2)
        yield runner.outcome(f"solve.{name}", solved, data[name], SOLVED_LATENT_LIMIT)
