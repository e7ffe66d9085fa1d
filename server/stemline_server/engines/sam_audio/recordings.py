"""Recordings of the original model, and what is common to all comparisons with them."""

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
from stemline_server.engines.sam_audio.conditioning import PAD_TOKEN, FrameSpan, span_tokens
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.solver import Method, Schedule, solve

VELOCITY_LIMIT = 1e-4
LATENT_LIMIT = 5e-4
DECODE_LIMIT = 5e-4
SOLVED_LATENT_LIMIT = 1e-3
SOLVED_WAVEFORM_LIMIT = 2e-3
"""Largest absolute differences in float32. The original differs from its float64 run by a tenth of these or less."""

STANDARD = Schedule(Method.MIDPOINT, 16)
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


def open_runner(folder: Path, device: torch.device, precision: Precision) -> Runner:
    """Load the model of a folder of recordings.

    Args:
        folder: The folder.
        device: Device to compute on.
        precision: Number formats.

    Raises:
        InputError: The folder cannot be used or the device does not exist.
    """
    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(f"The device {device} is not available: {why}.", advice="Use --device cpu.") from error
    return Runner(load_model(folder, Placement(device, precision.codec_dtype, precision.dit_dtype)), device, precision)


class _Tensors(dict[str, Tensor]):
    """Hold the tensors of a recording by name; raise InputError for missing ones."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(load_file(path))
        except (OSError, SafetensorError) as error:
            raise unusable(path, str(error)) from error
        self._path = path

    def __missing__(self, name: str) -> Tensor:
        raise unusable(self._path, f"it does not hold {name}")


def recording(folder: Path, name: str) -> Recording:
    """Return the tensors of a recording. Raises InputError; so does the lookup of a tensor that is missing."""
    return _Tensors(folder / f"{name}.safetensors")


def unusable(path: Path, why: str) -> InputError:
    """Return the error for a recording that cannot be used."""
    return InputError(f"The recording {path} cannot be used: {why}.", advice="Use a folder of parity recordings.")


def recorded_spans(path: Path) -> list[list[list[Any]]]:
    """Return the spans [sign, start, end] in seconds of each item from a JSON file. Raises InputError."""
    try:
        spans: list[list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))["anchors_seconds"]
    except (OSError, ValueError, KeyError) as error:
        raise unusable(path, str(error)) from error
    return spans


@dataclass(frozen=True, slots=True)
class Runner:
    """Run parts of the model and compare their outputs."""

    model: SamAudioModel
    device: torch.device
    precision: Precision

    def to(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device."""
        return tensor.to(self.device)

    def outcome(self, name: str, got: Tensor, expected: Tensor, limit: float) -> Outcome:
        """Compare an output with its recording."""
        if got.shape != expected.shape:
            return Outcome(f"{name} (shape {list(got.shape)}, not {list(expected.shape)})", math.inf, limit)
        difference = (got.double().cpu() - expected.double()).abs().max().item()
        return Outcome(name, difference if math.isfinite(difference) else math.inf, limit)

    def encode(self, waveform: Tensor) -> Tensor:
        """Return the latent [B, C, T] of waveforms [B, 1, n]."""
        hop = self.model.config.audio_codec.hop_samples
        missing = -waveform.shape[-1] % hop
        if missing:
            waveform = F.pad(waveform, (0, missing), mode="reflect")
        return self.model.encoder(self.to(waveform).to(self.precision.codec_dtype)).float()  # type: ignore[no-any-return]

    def decode(self, latent: Tensor) -> Tensor:
        """Return the waveforms [B, 1, n] of latents [B, C, T], without watermark."""
        return self.model.decoder(self.to(latent).to(self.precision.codec_dtype)).float()  # type: ignore[no-any-return]

    def mark(self, clean: Tensor, message: Tensor) -> Tensor:
        """Add the watermark to waveforms."""
        return self.model.watermark(clean, self.to(message))  # type: ignore[no-any-return]

    def pictures(self, features: Tensor) -> Tensor:
        """Return the transformer's input for features as recorded, [B, dvision, T]."""
        return self.model.conditioning.pictures(self.to(features).transpose(1, 2))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class RecordedSolve:
    """Hold all inputs of a recorded solve except its noise."""

    latent: Tensor
    tokens: Tensor
    pictures: Tensor
    text: Tensor
    text_mask: Tensor
    frame_mask: Tensor | None

    def solve(self, runner: Runner, noise: Tensor, schedule: Schedule) -> Tensor:
        """Return the solved state [B, T, 2C]."""
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


def solved_outcomes(runner: Runner, data: Recording, case: str, state: Tensor, sizes: list[int]) -> Iterator[Outcome]:
    """Compare a solved state's latent and waveforms; with watermark if messages were recorded for the case."""
    hop = runner.model.config.audio_codec.hop_samples
    latent = state.transpose(1, 2)
    yield runner.outcome(f"solve.{case}.latent_out", latent, data[f"{case}.latent_out"], SOLVED_LATENT_LIMIT)
    rows = latent.reshape(2 * len(latent), -1, latent.shape[-1])
    clean = runner.decode(rows)
    outputs = {"target": clean[::2]}
    if f"{case}.residual.0" in data:
        outputs["residual"] = clean[1::2]
    if f"{case}.watermarked_target.0" in data:
        outputs["watermarked_target"] = runner.mark(clean, data["watermark_messages"])[::2]
    for kind, waveforms in outputs.items():
        for i, size in enumerate(sizes):
            name = f"{case}.{kind}.{i}"
            yield runner.outcome(f"solve.{name}", waveforms[i, 0, : size * hop], data[name], SOLVED_WAVEFORM_LIMIT)


def frame_span(span: list[Any], hop: int, rate: int) -> FrameSpan:
    """Return a span [sign, start, end] in seconds in frames of `hop` samples at `rate` Hz."""
    sign, start, end = span
    # The original rounds up the floating-point quotient of seconds.
    edges = [math.ceil(second * rate / hop) for second in (start, end)]
    return FrameSpan(sign == "+", *edges)


def batch_tokens(spans: list[list[FrameSpan]], sizes: list[int], frames: int) -> Tensor:
    """Return the span tokens [B, frames] of items of the lengths `sizes`, with padding after each."""
    rows = []
    for item, size in zip(spans, sizes, strict=True):
        row = span_tokens(item, frames)
        padding = span_tokens([], frames)
        padding[size:] = PAD_TOKEN
        rows.append(torch.where((row == 0) & (padding == PAD_TOKEN), padding, row))
    return torch.stack(rows)
