"""SAM Audio and its vision tower on a GPU, in one run of at most ten minutes without a network.

Parity with the recordings in `STEMLINE_TEST_DATA`, load time, seconds for a clip of 10 s, peak memory and the share of
the device's matrix rate, at the published sizes with generated weights. The published loop runs beside it. Without a
CUDA device the same stages run on the CPU at toy sizes, which only shows that the script works. The results are written
as `gpu.json` and `gpu.md` to the folder `STEMLINE_BENCH_GPU_OUT`, by default `stemline-gpu` in the folder for temporary
files.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.benchmarks import sam_audio_plain as plain
from tests.benchmarks.bench_sam_audio import SIZES, FixedText
from tests.benchmarks.gpu_models import (
    counted,
    evaluation_of,
    generated_state,
    generated_tower,
    graphed,
    matrix_rate,
    model_of_state,
    seconds_of,
)
from tests.server.sam_audio.generated import TINY, TOWER, ArraySource, Recorder, sounds, write_checkpoint

from stemline_server.engines.base import EnginePrompt, EngineRequest
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.config import parse_config
from stemline_server.engines.sam_audio.device import Precision, is_out_of_memory, release_memory
from stemline_server.engines.sam_audio.loading import LoadedModel
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.parity import compare
from stemline_server.engines.sam_audio.picture_parity import compare_pictures, holds_pictures
from stemline_server.engines.sam_audio.separation import Separation
from stemline_server.engines.sam_audio.tower_sizes import TOWERS, TowerSizes

LONGEST_S = 600.0
BUDGETS_GB = (4, 8, 16)
LOOSER = {Precision.FLOAT32: 1.0, Precision.TF32: 100.0, Precision.BF16: 2000.0}
"""How many times the float32 limit a single evaluation may differ in each number format."""


@dataclass(frozen=True)
class Scale:
    """What is measured: published sizes on a GPU, toy sizes on a CPU."""

    sizes: dict[str, dict[str, Any]]
    tower: TowerSizes
    precisions: tuple[Precision, ...]
    batches: tuple[int, ...]
    seconds: float
    quality: str
    square: int
    pictures: int


PUBLISHED = Scale(
    {name: {"transformer": transformer} for name, transformer in SIZES.items()},
    TOWERS["PE-Core-L14-336"],
    (Precision.TF32, Precision.BF16),
    (1, 4, 16),
    10.0,
    "standard",
    8192,
    32,
)
TOY = Scale({"toy": TINY}, TowerSizes(**TOWER), (Precision.FLOAT32, Precision.BF16), (1, 2), 0.5, "fast", 256, 2)


@dataclass
class Results:
    """Rows of the tables, printed as they are measured."""

    device: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        return LONGEST_S - (time.monotonic() - self.started)

    def add(self, stage: str, what: str, value: float, unit: str, wanted: str = "") -> None:
        self.rows.append({"stage": stage, "what": what, "value": value, "unit": unit, "wanted": wanted})
        print(f"  {stage}: {what}: {value:.4g} {unit}" + (f" (wanted: {wanted})" if wanted else ""), flush=True)

    def skip(self, stage: str, what: str, why: str) -> None:
        self.rows.append({"stage": stage, "what": what, "value": None, "unit": "", "wanted": "", "why": why})
        print(f"  {stage}: {what}: not measured, {why}", flush=True)

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        facts = {"device": self.device, "torch": torch.__version__, "python": platform.python_version()}
        (folder / "gpu.json").write_text(json.dumps({**facts, "rows": self.rows}, indent=1), encoding="utf-8")
        head = f"Measured on {self.device} with PyTorch {torch.__version__} by `python -m tests.benchmarks gpu`.\n\n"
        lines = ["| stage | measured | value | wanted |", "|---|---|---|---|"]
        for row in self.rows:
            value = "not measured: " + row["why"] if row["value"] is None else f"{row['value']:.4g} {row['unit']}"
            lines.append(f"| {row['stage']} | {row['what']} | {value} | {row['wanted']} |")
        (folder / "gpu.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
        print(f"  written to {folder}", flush=True)


def main() -> None:
    """All stages, in the order of their worth if time runs out."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    if not on_gpu:
        torch.set_num_threads(1)  # threads that wait for each other take longer than toy sizes
    scale = PUBLISHED if on_gpu else TOY
    results = Results(torch.cuda.get_device_name(device) if on_gpu else "a CPU, at toy sizes")
    parity(results, scale, device)
    loading(results, scale, device)
    rates = {precision: rate_of(scale, precision, device) for precision in scale.precisions}
    for precision, rate in rates.items():
        results.add("matrix rate", str(precision), rate / 1e12, "T/s")
    vision_tower(results, scale, rates, device)
    for size, document in scale.sizes.items():
        with enough_memory(results, "speed", size):
            one_size(results, scale, (size, document), rates, device)
        release_memory(device)
    default = Path(tempfile.gettempdir()) / "stemline-gpu"
    results.write(Path(os.environ.get("STEMLINE_BENCH_GPU_OUT") or default))


class enough_memory:  # noqa: N801  # a context manager, named as it reads
    """Notes that a measurement did not fit, and goes on."""

    def __init__(self, results: Results, stage: str, what: str) -> None:
        self._results, self._stage, self._what = results, stage, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is None or not is_out_of_memory(error):
            return False
        self._results.skip(self._stage, self._what, "too little memory")
        return True


def rate_of(scale: Scale, precision: Precision, device: torch.device) -> float:
    with precision.active(device):
        rate: float = matrix_rate(scale.square, precision.dit_dtype, device)
    return rate


def parity(results: Results, scale: Scale, device: torch.device) -> None:
    """Every golden set in every number format; whole solves only in float32, since random weights amplify errors."""
    folder = Path(os.environ.get("STEMLINE_TEST_DATA") or ".") / "parity"
    sets = sorted(path.parent for path in folder.glob("*/velocity.safetensors")) if folder.is_dir() else []
    if not sets:
        results.skip("parity", "golden sets", "set STEMLINE_TEST_DATA to the folder that holds `parity`")
    for precision in dict.fromkeys((Precision.FLOAT32, *scale.precisions)):
        for golden in sets:
            outcomes = (compare_pictures if holds_pictures(golden) else compare)(golden, device, precision)
            worst = 0.0
            for outcome in outcomes:
                if outcome.name.startswith("solve.") and precision is not Precision.FLOAT32:
                    break
                if outcome.limit:
                    worst = max(worst, outcome.difference / outcome.limit / LOOSER[precision])
            results.add("parity", f"{golden.name}, {precision}: worst difference", worst, "of its limit", "<= 1")


def loading(results: Results, scale: Scale, device: torch.device) -> None:
    """From a checkpoint on disk to the device, the smallest size."""
    size, document = next(iter(scale.sizes.items()))
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        checkpoint = write_checkpoint(Path(folder) / "m", document, kind="model.safetensors")
        started = time.perf_counter()
        model = load_model(checkpoint, Placement(device))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
    weights = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    results.add("load", f"{size}, float32, {weights / 1e9:.2f} GB", seconds, "s")


def vision_tower(results: Results, scale: Scale, rates: dict[Precision, float], device: torch.device) -> None:
    """Pictures per second and the share of the matrix rate."""
    side = scale.tower.image_size
    pictures = torch.zeros((scale.pictures, side, side, 3), dtype=torch.uint8, device=device)
    for precision, rate in rates.items():
        reset_peak(device)
        tower = generated_tower(scale.tower, precision.dit_dtype, device)
        with torch.inference_mode(), precision.active(device):
            seconds = seconds_of(partial(tower, pictures), device)
        operations = counted(partial(tower, pictures))
        what = f"{precision}, {scale.pictures} at once"
        results.add("vision tower", f"{what}: pictures per second", scale.pictures / seconds, "")
        results.add("vision tower", f"{what}: share of the matrix rate", operations / seconds / rate, "")
        report_peak(results, "vision tower", str(precision), device)
        del tower
        release_memory(device)


def one_size(
    results: Results,
    scale: Scale,
    named: tuple[str, dict[str, Any]],
    rates: dict[Precision, float],
    device: torch.device,
) -> None:
    """The published loop first, then this engine in every number format, on the same generated weights."""
    size, document = named
    config = parse_config(document)
    published_s = None
    for number, precision in enumerate(scale.precisions):
        if results.left_s < LONGEST_S / 10:
            results.skip("speed", f"{size}, {precision}", "the ten minutes are over")
            continue
        state = generated_state(config, device)
        if number == 0:
            published_s = published(results, scale, size, state, device)
        reset_peak(device)
        model = model_of_state(state, config, precision)
        what = f"{size}, {precision}"
        with torch.inference_mode(), precision.active(device):
            for way, seconds, operations in evaluations(model, scale, device):
                share = operations / seconds / rates[precision]
                results.add("evaluation", f"{what}, {way}: share of the matrix rate", share, "", ">= 0.33")
        loaded = loaded_of(model, precision, device)
        for batch in clip_batches(results, scale, what):
            reset_peak(device)
            seconds = seconds_of(partial(separated, loaded, batch, scale), device, runs=1 if batch > 1 else 2)
            results.add(
                "clip", f"{what}, {batch} windows at once", seconds / batch, f"s for {scale.seconds:g} s of sound"
            )
            if published_s:
                wanted = ">= 5" if batch > 1 else ""
                results.add(
                    "clip",
                    f"{what}, {batch} at once: faster than published",
                    published_s * batch / seconds,
                    "times",
                    wanted,
                )
            report_peak(results, "clip", f"{what}, {batch} windows at once", device)
        del model, loaded
        release_memory(device)


def clip_batches(results: Results, scale: Scale, what: str) -> Iterator[int]:
    """Numbers of windows as long as the next one is expected to end in time."""
    longest = 0.0
    for batch in scale.batches:
        if longest * batch > results.left_s:
            results.skip("clip", f"{what}, {batch} windows at once", "it would take too long")
            continue
        started = time.monotonic()
        yield batch
        longest = max(longest, (time.monotonic() - started) / batch)


def published(results: Results, scale: Scale, size: str, state: plain.State, device: torch.device) -> float:
    """Seconds of the published loop for one clip in eager float32."""
    config = parse_config(scale.sizes[size])
    codec = config.audio_codec
    frames = round(scale.seconds * codec.sample_rate / codec.hop_samples)
    given = plain.Given(
        torch.randn(1, 1, frames * codec.hop_samples, device=device),
        torch.randn(1, frames, config.transformer.out_channels, device=device),
        torch.randn(1, 4, config.text_encoder.dim, device=device),
        torch.zeros(2, 16, device=device),
    )
    reset_peak(device)
    steps = 16 if scale.quality == "standard" else 6
    with Precision.FLOAT32.active(device):
        seconds: float = seconds_of(lambda: plain.separate(given, state, config, steps), device)
    results.add("published loop", f"{size}, float32, eager", seconds, f"s for {scale.seconds:g} s of sound")
    report_peak(results, "published loop", f"{size}, float32", device)
    return seconds


def evaluations(model: SamAudioModel, scale: Scale, device: torch.device) -> Iterator[tuple[str, float, int]]:
    """One evaluation of the transformer eagerly, as a CUDA graph and compiled: way, seconds, operations."""
    frames = round(scale.seconds * 25)
    for batch in scale.batches[:2]:
        evaluate = evaluation_of(model, batch, frames, device)
        operations = counted(evaluate)
        yield f"{batch} at once, eager", seconds_of(evaluate, device, runs=3), operations
        if device.type != "cuda":
            continue
        yield f"{batch} at once, CUDA graph", seconds_of(graphed(evaluate, device), device, runs=3), operations
        try:
            compiled = evaluation_of(model, batch, frames, device, compiled=True)
            yield f"{batch} at once, compiled", seconds_of(compiled, device, runs=3), operations
        except RuntimeError as error:  # no compiler for the device on this machine
            print(f"  compiling failed: {str(error).partition(chr(10))[0]}", flush=True)


def loaded_of(model: SamAudioModel, precision: Precision, device: torch.device) -> LoadedModel:
    text: Any = FixedText(model.config.text_encoder.dim, device)
    return LoadedModel(model, text, device, precision, "bench", chunk_frames=250 if device.type == "cuda" else 25)


def separated(loaded: LoadedModel, batch: int, scale: Scale) -> None:
    """A whole separation of `batch` prompts of one clip, one window each, through the engine."""
    prompts = tuple(EnginePrompt(f"{'a' * number} dog") for number in range(batch))
    request = EngineRequest(ArraySource(sounds(scale.seconds)), prompts, quality=scale.quality)
    blocks = list(Separation(replace(loaded, batch=batch), request, Recorder()).blocks())
    assert np.isfinite(blocks[-1]).all()


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def report_peak(results: Results, stage: str, what: str, device: torch.device) -> None:
    if device.type != "cuda":
        return
    peak_gb = torch.cuda.max_memory_allocated(device) / 1e9
    fitting = next((f"fits {budget} GB" for budget in BUDGETS_GB if peak_gb <= 0.95 * budget), "needs more than 16 GB")
    results.add(stage, f"{what}: peak memory, {fitting}", peak_gb, "GB", "<= 4" if what.startswith("small") else "")


if __name__ == "__main__":
    main()
