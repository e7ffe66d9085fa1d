"""Compares this engine with recorded inputs and outputs of the original model.

A folder holds `config.json`, `model.safetensors` and the recordings: `codec` (encode, decode), `velocity` (single
evaluations with their intermediate values), `solve` (whole solves, waveform in to waveforms out) with `solve.json`
(the spans).
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
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

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
"""Largest absolute differences allowed in float32; the original differs from its own float64 run by a tenth of these
or less.
"""

_STANDARD = Schedule(Method.MIDPOINT, 16)
Recording = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One output's distance from its recording."""

    name: str
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.limit


def compare(folder: Path, device: torch.device, precision: Precision) -> Iterator[Outcome]:
    """Every recorded output, in the order codec, velocity, solve. Raises InputError for a folder without recordings or
    a device that is not there.
    """
    _check_device(device)
    model = load_model(folder, Placement(device, precision.codec_dtype, precision.dit_dtype))
    bench = _Bench(model, device, precision)
    with torch.inference_mode(), precision.active(device):
        yield from _codec(bench, _recording(folder, "codec"))
        yield from _velocities(bench, _recording(folder, "velocity"))
        yield from _solves(bench, _recording(folder, "solve"), _spans(folder))


def _check_device(device: torch.device) -> None:
    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError, NotImplementedError) as error:
        why = str(error).partition("\n")[0]
        raise InputError(f"There is no device {device} here: {why}.", advice="Give --device cpu.") from error


class _Tensors(dict[str, Tensor]):
    """The tensors of one recorded file, by name."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(load_file(path))
        except (OSError, SafetensorError) as error:
            raise _unusable(path, str(error)) from error
        self._path = path

    def __missing__(self, name: str) -> Tensor:
        raise _unusable(self._path, f"it holds no {name}")


def _recording(folder: Path, name: str) -> Recording:
    return _Tensors(folder / f"{name}.safetensors")


def _spans(folder: Path) -> list[list[list[Any]]]:
    """The items' spans [sign, start, end] in seconds."""
    path = folder / "solve.json"
    try:
        spans: list[list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))["anchors_seconds"]
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(path, str(error)) from error
    return spans


def _unusable(path: Path, why: str) -> InputError:
    return InputError(f"The recording {path} cannot be used: {why}.", advice="Give a folder of parity recordings.")


@dataclass(frozen=True, slots=True)
class _Item:
    """Conditions of one recorded evaluation; None leaves a module out."""

    time: Tensor
    tokens: Tensor | None
    pictures: Tensor | None
    frame_mask: Tensor | None


@dataclass(frozen=True, slots=True)
class _Bench:
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
        """Features as recorded, [B, dvision, T]."""
        return self.model.conditioning.pictures(self.to(features).transpose(1, 2))  # type: ignore[no-any-return]


def _codec(bench: _Bench, data: Recording) -> Iterator[Outcome]:
    for kind in ("exact", "ragged"):
        expected = data[f"latent_{kind}"]
        yield bench.outcome(f"codec.latent_{kind}", bench.encode(data[f"wav_{kind}"]), expected, LATENT_LIMIT)
    clean = bench.decode(data["decode_in"])
    marked = bench.mark(clean, data["watermark_message"])
    yield bench.outcome("codec.decode_out_nowatermark", clean, data["decode_out_nowatermark"], DECODE_LIMIT)
    yield bench.outcome("codec.decode_out_watermark", marked, data["decode_out_watermark"], DECODE_LIMIT)


def _velocities(bench: _Bench, data: Recording) -> Iterator[Outcome]:
    def tokens(kind: str, padded: str = "") -> Tensor:
        return bench.to(aligned_tokens(data[f"{kind}_ids"], data[f"{kind}_alignment{padded}"]))

    time, mixed = bench.to(data["time"]), bench.to(data["time_mixed"])
    null, anchors = tokens("null_anchor"), tokens("anchor")
    seen, unseen = bench.pictures(data["video_features"]), bench.model.conditioning.pictures.none()
    mask = bench.to(data["audio_pad_mask"]).bool()
    everything = _Item(mixed, tokens("anchor", "_padded"), seen, mask)
    items = {
        "out_text": _Item(time, None, None, None),
        "out_default_prompt": _Item(time, null, unseen, None),
        "out_anchors": _Item(time, anchors, unseen, None),
        "out_video": _Item(time, null, seen, None),
        "out_padded": _Item(time, tokens("null_anchor", "_padded"), unseen, mask),
        "out_all": everything,
    }
    for name, item in items.items():
        aligned, memory = _inputs(bench, data, item)
        step = bench.model.dit.prepare(item.time, memory, bench.to(data["text_mask"]).bool())
        velocity = bench.model.dit(aligned, step, item.frame_mask)
        yield bench.outcome(f"velocity.{name}", velocity, data[name], VELOCITY_LIMIT)
    yield from _intermediates(bench, data, everything)


def _inputs(bench: _Bench, data: Recording, item: _Item) -> tuple[Tensor, Tensor]:
    """The transformer's input and its memory."""
    conditioning = bench.model.conditioning
    latent = bench.to(data["audio_features"])[..., : bench.model.config.audio_codec.codebook_dim]
    aligned = conditioning(bench.to(data["noisy"]), conditioning.context(latent, item.tokens, item.pictures))
    return aligned, conditioning.memory(bench.to(data["text_features"]), item.time)


def _intermediates(bench: _Bench, data: Recording, item: _Item) -> Iterator[Outcome]:
    dit = bench.model.dit
    aligned, memory = _inputs(bench, data, item)
    step = dit.prepare(item.time, memory, bench.to(data["text_mask"]).bool())
    frames = dit.frame_embedder(aligned.to(bench.precision.dit_dtype))
    rotary = rotary_table(dit.config, aligned.shape[1], bench.device)
    words = None if step.text_mask is None else step.text_mask[:, None, None, :]
    keep = None if item.frame_mask is None else item.frame_mask[:, None, None, :]
    got = {
        "aligned_inputs": aligned,
        "sinusoidal_time": sinusoids(item.time, dit.config.dim),
        "t_embedder": dit.embed_time(item.time),
        "y_embedder": dit.word_embedder(memory.to(bench.precision.dit_dtype)),
        "x_embedder": frames,
        "layer0": dit.layers[0](frames, step.layers[0], rotary, Masks(keep, words)),
    }
    for name, tensor in got.items():
        yield bench.outcome(f"velocity.dbg_all_{name}", tensor, data[f"dbg_all_{name}"], VELOCITY_LIMIT)


def _solves(bench: _Bench, data: Recording, spans_s: list[list[list[Any]]]) -> Iterator[Outcome]:
    sizes = [int(size) for size in data["feature_sizes"]]
    frames = data["audio_pad_mask"].shape[1]
    hop, rate = bench.model.config.audio_codec.hop_samples, bench.model.config.audio_codec.sample_rate
    found = [-(-int(size) // hop) for size in data["wav_sizes"]]
    yield Outcome("solve.feature_sizes", float(sum(a != b for a, b in zip(found, sizes, strict=True))), 0)
    latent = bench.encode(data["waveforms"]).transpose(1, 2)
    twice = torch.cat((latent, latent), dim=-1)
    yield bench.outcome("solve.audio_features", twice, data["audio_features"], LATENT_LIMIT)
    spans = [[_frame_span(span, hop, rate) for span in item] for item in spans_s]
    tokens = {
        "noanchors": _batch_tokens([[] for _ in sizes], sizes, frames),
        "anchors": _batch_tokens(spans, sizes, frames),
    }
    for kind, got in tokens.items():
        expected = aligned_tokens(data[f"{kind}.anchor_ids"], data[f"{kind}.anchor_alignment"])
        yield bench.outcome(f"solve.{kind}", got, expected, 0)
    unseen = bench.model.conditioning.pictures.none()
    keep = data["audio_pad_mask"].bool()
    for case, kind, pictures in (
        ("batch_text", "noanchors", unseen),
        ("batch_anchors", "anchors", unseen),
        ("batch_video_anchors", "anchors", bench.pictures(data["video_features"])),
    ):
        flow = _Flow(latent, tokens[kind], pictures, data["text_features"], data["text_mask"], keep)
        solved = flow.solve(bench, data["noise"], _STANDARD)
        yield from _solved(bench, data, case, solved, sizes)
    yield from _alone(bench, data, sizes[1])


def _alone(bench: _Bench, data: Recording, size: int) -> Iterator[Outcome]:
    """Item 1 by itself, by three schedules."""
    hop = bench.model.config.audio_codec.hop_samples
    own = data["waveforms"][1:, :, : int(data["wav_sizes"][1])]
    flow = _Flow(
        bench.encode(own).transpose(1, 2)[:, : -(-own.shape[-1] // hop)],
        _batch_tokens([[]], [size], size),
        bench.model.conditioning.pictures.none(),
        data["text_features"][1:],
        data["text_mask"][1:],
        None,
    )
    noise = data["noise"][1:, :size]
    yield from _solved(bench, data, "single_item1", flow.solve(bench, noise, _STANDARD), [size])
    for case, schedule in (("midpoint4", Schedule(Method.MIDPOINT, 4)), ("euler16", Schedule(Method.EULER, 16))):
        name = f"single_item1_{case}.latent_out"
        solved = flow.solve(bench, noise, schedule).transpose(1, 2)
        yield bench.outcome(f"solve.{name}", solved, data[name], SOLVED_LATENT_LIMIT)


@dataclass(frozen=True, slots=True)
class _Flow:
    """Everything but the noise of a recorded solve."""

    latent: Tensor
    tokens: Tensor
    pictures: Tensor
    text: Tensor
    text_mask: Tensor
    frame_mask: Tensor | None

    def solve(self, bench: _Bench, noise: Tensor, schedule: Schedule) -> Tensor:
        model = bench.model
        context = model.conditioning.context(self.latent, bench.to(self.tokens), self.pictures)
        words, heard = bench.to(self.text_mask).bool(), None if self.frame_mask is None else bench.to(self.frame_mask)
        text = bench.to(self.text)

        def velocity(time: float, state: Tensor) -> Tensor:
            at = torch.tensor([time], device=bench.device)
            step = model.dit.prepare(at, model.conditioning.memory(text, at), words)
            change: Tensor = model.dit(model.conditioning(state, context), step, heard)
            return change.float()

        return solve(schedule, bench.to(noise), velocity)


def _solved(bench: _Bench, data: Recording, case: str, state: Tensor, sizes: list[int]) -> Iterator[Outcome]:
    """A solved state's latent and waveforms; with watermark where messages were recorded for the case."""
    hop = bench.model.config.audio_codec.hop_samples
    latent = state.transpose(1, 2)
    yield bench.outcome(f"solve.{case}.latent_out", latent, data[f"{case}.latent_out"], SOLVED_LATENT_LIMIT)
    rows = latent.reshape(2 * len(latent), -1, latent.shape[-1])
    clean = bench.decode(rows)
    outputs = {"target": clean[::2], "residual": clean[1::2]}
    if f"{case}.watermarked_target.0" in data:
        outputs["watermarked_target"] = bench.mark(clean, data["watermark_messages"])[::2]
    for kind, waveforms in outputs.items():
        for i, size in enumerate(sizes):
            name = f"{case}.{kind}.{i}"
            yield bench.outcome(f"solve.{name}", waveforms[i, 0, : size * hop], data[name], SOLVED_WAVEFORM_LIMIT)


def _frame_span(span: list[Any], hop: int, rate: int) -> FrameSpan:
    sign, start, end = span
    # As recorded: seconds are floats there, and it is their floating-point quotient that is rounded up.
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
