"""Comparison of this engine with recorded inputs and outputs of the original model.

A folder holds `config.json`, `model.safetensors` and the recordings `codec` (encode, decode), `velocity` (single
evaluations with intermediate values) and `solve` (whole separations from waveform to waveforms) with `solve.json` (the
spans).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline.errors import InputError
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.conditioning import (
    PAD_TOKEN,
    FrameSpan,
    aligned_tokens,
    span_tokens,
)
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.dit import Masks, rotary_table, sinusoids
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.solver import Method, Schedule, solve

VELOCITY_LIMIT = 1e-4
LATENT_LIMIT = 5e-4
DECODE_LIMIT = 5e-4
SOLVED_LATENT_LIMIT = 1e-3
SOLVED_WAVEFORM_LIMIT = 2e-3
"""Largest absolute differences in float32. The original differs from its float64 run by a tenth of these or less."""

_STANDARD = Schedule(Method.MIDPOINT, 16)
Recording = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the largest absolute difference of an output from its recording, and its limit."""

    name: str
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the limit."""
        return self.difference <= self.limit


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
    _check_device(device)
    model = load_model(folder, Placement(device, precision.codec_dtype, precision.dit_dtype))
    runner = _Runner(model, device, precision)
    with torch.inference_mode(), precision.active(device):
        yield from _codec(runner, _recording(folder, "codec"))
        yield from _velocities(runner, _recording(folder, "velocity"))
        yield from _solves(runner, _recording(folder, "solve"), _spans(folder))


def _check_device(device: torch.device) -> None:
    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(f"The device {device} is not available: {why}.", advice="Use --device cpu.") from error


class _Tensors(dict[str, Tensor]):
    """Hold the tensors of a recording by name; raise InputError for missing ones."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(load_file(path))
        except (OSError, SafetensorError) as error:
            raise _unusable(path, str(error)) from error
        self._path = path

    def __missing__(self, name: str) -> Tensor:
        raise _unusable(self._path, f"it does not hold {name}")


def _recording(folder: Path, name: str) -> Recording:
    return _Tensors(folder / f"{name}.safetensors")


def _spans(folder: Path) -> list[list[list[Any]]]:
    """Return the spans [sign, start, end] in seconds of each item."""
    path = folder / "solve.json"
    try:
        spans: list[list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))["anchors_seconds"]
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(path, str(error)) from error
    return spans


def _unusable(path: Path, why: str) -> InputError:
    return InputError(f"The recording {path} cannot be used: {why}.", advice="Use a folder of parity recordings.")


@dataclass(frozen=True, slots=True)
class _Item:
    """Hold the conditions of a recorded evaluation; None leaves a module out."""

    time: Tensor
    tokens: Tensor | None
    pictures: Tensor | None
    frame_mask: Tensor | None


@dataclass(frozen=True, slots=True)
class _Runner:
    """Run parts of the model and compare their outputs."""

    model: SamAudioModel
    device: torch.device
    precision: Precision

    def to(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def outcome(self, name: str, got: Tensor, expected: Tensor, limit: float) -> Outcome:
        if got.shape != expected.shape:
            return Outcome(f"{name} (shape {list(got.shape)}, not {list(expected.shape)})", math.inf, limit)
        difference = (got.double().cpu() - expected.double()).abs().max().item()
        return Outcome(name, difference if math.isfinite(difference) else math.inf, limit)

    def encode(self, waveform: Tensor) -> Tensor:
        hop = self.model.config.audio_codec.hop_samples
        missing = -waveform.shape[-1] % hop
        if missing:
            waveform = F.pad(waveform, (0, missing), mode="reflect")
        return self.model.encoder(self.to(waveform).to(self.precision.codec_dtype)).float()  # type: ignore[no-any-return]

    def decode(self, latent: Tensor) -> Tensor:
        return self.model.decoder(self.to(latent).to(self.precision.codec_dtype)).float()  # type: ignore[no-any-return]

    def mark(self, clean: Tensor, message: Tensor) -> Tensor:
        return self.model.watermark(clean, self.to(message))  # type: ignore[no-any-return]

    def pictures(self, features: Tensor) -> Tensor:
        """Return the transformer's input for features as recorded, [B, dvision, T]."""
        return self.model.conditioning.pictures(self.to(features).transpose(1, 2))  # type: ignore[no-any-return]


def _codec(runner: _Runner, data: Recording) -> Iterator[Outcome]:
    for kind in ("exact", "ragged"):
        expected = data[f"latent_{kind}"]
        yield runner.outcome(f"codec.latent_{kind}", runner.encode(data[f"wav_{kind}"]), expected, LATENT_LIMIT)
    clean = runner.decode(data["decode_in"])
    marked = runner.mark(clean, data["watermark_message"])
    yield runner.outcome("codec.decode_out_nowatermark", clean, data["decode_out_nowatermark"], DECODE_LIMIT)
    yield runner.outcome("codec.decode_out_watermark", marked, data["decode_out_watermark"], DECODE_LIMIT)


def _velocities(runner: _Runner, data: Recording) -> Iterator[Outcome]:
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


def _inputs(runner: _Runner, data: Recording, item: _Item) -> tuple[Tensor, Tensor]:
    """Return the transformer's input and its memory."""
    conditioning = runner.model.conditioning
    latent = runner.to(data["audio_features"])[..., : runner.model.config.audio_codec.codebook_dim]
    aligned = conditioning(runner.to(data["noisy"]), conditioning.context(latent, item.tokens, item.pictures))
    return aligned, conditioning.memory(runner.to(data["text_features"]), item.time)


def _intermediates(runner: _Runner, data: Recording, item: _Item) -> Iterator[Outcome]:
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


def _solves(runner: _Runner, data: Recording, spans_s: list[list[list[Any]]]) -> Iterator[Outcome]:
    sizes = [int(size) for size in data["feature_sizes"]]
    frames = data["audio_pad_mask"].shape[1]
    hop, rate = runner.model.config.audio_codec.hop_samples, runner.model.config.audio_codec.sample_rate
    found = [-(-int(size) // hop) for size in data["wav_sizes"]]
    yield Outcome("solve.feature_sizes", float(sum(a != b for a, b in zip(found, sizes, strict=True))), 0)
    latent = runner.encode(data["waveforms"]).transpose(1, 2)
    twice = torch.cat((latent, latent), dim=-1)
    yield runner.outcome("solve.audio_features", twice, data["audio_features"], LATENT_LIMIT)
    spans = [[_frame_span(span, hop, rate) for span in item] for item in spans_s]
    tokens = {
        "noanchors": _batch_tokens([[] for _ in sizes], sizes, frames),
        "anchors": _batch_tokens(spans, sizes, frames),
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
        flow = _RecordedSolve(latent, tokens[kind], pictures, data["text_features"], data["text_mask"], keep)
        solved = flow.solve(runner, data["noise"], _STANDARD)
        yield from _solved(runner, data, case, solved, sizes)
    yield from _single_item(runner, data, sizes[1])


def _single_item(runner: _Runner, data: Recording, size: int) -> Iterator[Outcome]:
    """Compare item 1 alone with three schedules."""
    hop = runner.model.config.audio_codec.hop_samples
    own = data["waveforms"][1:, :, : int(data["wav_sizes"][1])]
    flow = _RecordedSolve(
        runner.encode(own).transpose(1, 2)[:, : -(-own.shape[-1] // hop)],
        _batch_tokens([[]], [size], size),
        runner.model.conditioning.pictures.without_pictures(),
        data["text_features"][1:],
        data["text_mask"][1:],
        None,
    )
    noise = data["noise"][1:, :size]
    yield from _solved(runner, data, "single_item1", flow.solve(runner, noise, _STANDARD), [size])
    for case, schedule in (("midpoint4", Schedule(Method.MIDPOINT, 4)), ("euler16", Schedule(Method.EULER, 16))):
        name = f"single_item1_{case}.latent_out"
        solved = flow.solve(runner, noise, schedule).transpose(1, 2)
        yield runner.outcome(f"solve.{name}", solved, data[name], SOLVED_LATENT_LIMIT)


@dataclass(frozen=True, slots=True)
class _RecordedSolve:
    """Hold all inputs of a recorded solve except its noise."""

    latent: Tensor
    tokens: Tensor
    pictures: Tensor
    text: Tensor
    text_mask: Tensor
    frame_mask: Tensor | None

    def solve(self, runner: _Runner, noise: Tensor, schedule: Schedule) -> Tensor:
        model = runner.model
        context = model.conditioning.context(self.latent, runner.to(self.tokens), self.pictures)
        text_mask, frame_mask = (
            runner.to(self.text_mask).bool(),
            None if self.frame_mask is None else runner.to(self.frame_mask),
        )
        text = runner.to(self.text)

        def velocity(time: float, state: Tensor) -> Tensor:
            at = torch.tensor([time], device=runner.device)
            step = model.dit.prepare(at, model.conditioning.memory(text, at), text_mask)
            change: Tensor = model.dit(model.conditioning(state, context), step, frame_mask)
            return change.float()

        return solve(schedule, runner.to(noise), velocity)


def _solved(runner: _Runner, data: Recording, case: str, state: Tensor, sizes: list[int]) -> Iterator[Outcome]:
    """Compare a solved state's latent and waveforms; with watermark if messages were recorded for the case."""
    hop = runner.model.config.audio_codec.hop_samples
    latent = state.transpose(1, 2)
    yield runner.outcome(f"solve.{case}.latent_out", latent, data[f"{case}.latent_out"], SOLVED_LATENT_LIMIT)
    rows = latent.reshape(2 * len(latent), -1, latent.shape[-1])
    clean = runner.decode(rows)
    outputs = {"target": clean[::2], "residual": clean[1::2]}
    if f"{case}.watermarked_target.0" in data:
        outputs["watermarked_target"] = runner.mark(clean, data["watermark_messages"])[::2]
    for kind, waveforms in outputs.items():
        for i, size in enumerate(sizes):
            name = f"{case}.{kind}.{i}"
            yield runner.outcome(f"solve.{name}", waveforms[i, 0, : size * hop], data[name], SOLVED_WAVEFORM_LIMIT)


def _frame_span(span: list[Any], hop: int, rate: int) -> FrameSpan:
    sign, start, end = span
    # The original rounds up the floating-point quotient of seconds.
    edges = [math.ceil(second * rate / hop) for second in (start, end)]
    return FrameSpan(sign == "+", *edges)


def _batch_tokens(spans: list[list[FrameSpan]], sizes: list[int], frames: int) -> Tensor:
    rows = []
    for item, size in zip(spans, sizes, strict=True):
        row = span_tokens(item, frames)
        padding = span_tokens([], frames)
        padding[size:] = PAD_TOKEN
        rows.append(torch.where((row == 0) & (padding == PAD_TOKEN), padding, row))
    return torch.stack(rows)
