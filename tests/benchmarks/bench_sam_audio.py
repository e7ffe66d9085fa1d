"""SAM Audio at its published small size with generated weights, against the published loop run eagerly in float32.

`STEMLINE_BENCH_SAM_AUDIO_S` sets the clip's seconds (default 4), `STEMLINE_BENCH_SAM_AUDIO_COMPILE=1` adds the
compiled transformer, `STEMLINE_BENCH_SAM_AUDIO_HOUR=1` the memory of an hour through a tiny model. `bench_gpu.py`
measures a GPU.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.benchmarks import sam_audio_plain as plain
from tests.benchmarks.measure import report
from tests.server.sam_audio.generated import (
    TINY,
    ArraySource,
    Recorder,
    sounds,
    write_checkpoint,
    write_text_encoder,
)
from tests.server.sam_audio.peak import peak_bytes
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from stemline_server.engines.base import EnginePrompt, EngineRequest, Waveform
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.config import SamAudioConfig
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.loading import LoadedModel
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.noise import frame_noise
from stemline_server.engines.sam_audio.prompts import watermark_message
from stemline_server.engines.sam_audio.separation import Separation

SIZES: dict[str, dict[str, Any]] = {
    "small": {"dim": 1536, "n_heads": 12, "n_layers": 12, "context_dim": 1536},
    "base": {"dim": 2048, "n_heads": 16, "n_layers": 16, "context_dim": 2048},
    "large": {"dim": 2816, "n_heads": 22, "n_layers": 22, "context_dim": 2816},
}
SECONDS = float(os.environ.get("STEMLINE_BENCH_SAM_AUDIO_S", "4"))
HOUR = os.environ.get("STEMLINE_BENCH_SAM_AUDIO_HOUR") == "1"
COMPILE = os.environ.get("STEMLINE_BENCH_SAM_AUDIO_COMPILE") == "1"
WORDS = ("dog barking", "man speaking", "rain", "thunder")
CPU = torch.device("cpu")
_PRODUCTS = (
    "aten::mm",
    "aten::addmm",
    "aten::bmm",
    "aten::baddbmm",
    "linear_pointwise",
    "scaled_dot_product",
    "convolution",
    "matmul",
)


def main() -> None:
    """Everything in one run, side by side."""
    with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
        checkpoint = write_checkpoint(Path(folder) / "small", {"transformer": SIZES["small"]})
        loaded = timed_load(checkpoint)
        on_cpu(checkpoint, loaded)
        share_of_products(loaded)
        if HOUR:
            memory_of_an_hour(Path(folder))


class FixedText:
    """Text features without a text encoder: the same for the same words."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.width, self.device = width, device

    def encode_all(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor | None]:
        """[P, 4, width]; all words count."""
        rows = [torch.randn(4, self.width, generator=torch.Generator().manual_seed(len(text))) for text in texts]
        return torch.stack(rows).to(self.device), None


@dataclass(frozen=True)
class Run:
    """One way of doing the work: wall and processor seconds, and what came out."""

    wall_s: float
    cpu_s: float
    result: Any


def timed(work: Callable[[], Any]) -> Run:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Run(time.perf_counter() - wall, time.process_time() - cpu, result)


def timed_load(checkpoint: Path) -> LoadedModel:
    """The loaded model; prints seconds and peak memory against the weights kept."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = timed(lambda: load_model(checkpoint, Placement(CPU)))
    kept = sum(weight.numel() * weight.element_size() for weight in run.result.parameters())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  load: {run.wall_s:.1f} s; {kept / 1e9:.2f} GB kept, peak of this process {peak * 1024 / 1e9:.2f} GB")
    print(f"  (peak before, from making the checkpoint: {before * 1024 / 1e9:.2f} GB)")
    text: Any = FixedText(768, CPU)
    return LoadedModel(run.result, text, CPU, Precision.FLOAT32, "bench")


def ours(loaded: LoadedModel, audio: Waveform, prompts: int) -> Waveform:
    request = EngineRequest(ArraySource(audio), tuple(EnginePrompt(words) for words in WORDS[:prompts]))
    return np.concatenate(list(Separation(loaded, request, Recorder()).blocks()), axis=2)


def theirs(checkpoint: Path, config: SamAudioConfig, audio: Waveform, text: Tensor) -> Callable[[], Tensor]:
    """The published loop on the same weights, noise, words and watermark."""
    state = torch.load(checkpoint / "checkpoint.pt", weights_only=True)
    frames = -(-audio.shape[1] // config.audio_codec.hop_samples)
    noise = torch.from_numpy(frame_noise(0, 0, frames, config.transformer.out_channels))[None]
    message = watermark_message("bench", EnginePrompt(WORDS[0]), 0, 0)
    messages = torch.tensor([message, message[::-1]])
    given = plain.Given(torch.from_numpy(audio)[None], noise, text, messages)
    return lambda: plain.separate(given, state, config)


def memory_of_an_hour(folder: Path) -> None:
    """Peak memory of an hour of sound against that of a minute, each in a process of its own."""
    checkpoint = write_checkpoint(folder / "tiny", TINY)
    text_encoder = write_text_encoder(folder / "t5", TINY["text_encoder"]["dim"])
    minute, hour = (peak_bytes(checkpoint, text_encoder, seconds) / 1e6 for seconds in (60, 3600))
    print(f"  a minute peaks at {minute:.0f} MB, an hour at {hour:.0f} MB", flush=True)
    report("an hour needs more", hour - minute, "<= 300 MB beyond latents and state (9 MB)", "a minute, tiny model")


def on_cpu(checkpoint: Path, loaded: LoadedModel) -> None:
    """The published loop first, then ours; each is printed as soon as it is done."""
    print(f"  {torch.get_num_threads()} threads, {SECONDS:g} s clip, 16 midpoint steps", flush=True)
    audio = sounds(SECONDS)
    text = loaded.text.encode_all(WORDS[:1])[0]
    published = theirs(checkpoint, loaded.model.config, audio, text)
    baseline = timed(lambda: published()[0].numpy()[:, : audio.shape[1]])
    floor(loaded, baseline)
    unmarked = replace(loaded, watermark=False)
    show("one prompt, watermark on", timed(lambda: ours(loaded, audio, 1)[0]), baseline)
    show("one prompt, watermark off", timed(lambda: ours(unmarked, audio, 1)[0]), baseline)
    show("four prompts, watermark on", timed(lambda: ours(loaded, audio, 4)[0]), baseline, prompts=4)
    if COMPILE:
        compiled = replace(loaded, model=load_model(checkpoint, Placement(CPU, packed=False)))
        compiled.model.dit.compile()
        print(f"  compiling: {timed(lambda: ours(compiled, audio, 1)).wall_s:.0f} s with the first run", flush=True)
        show("compiled, watermark on", timed(lambda: ours(compiled, audio, 1)[0]), baseline)
        unmarked = replace(compiled, watermark=False)
        show("compiled, watermark off", timed(lambda: ours(unmarked, audio, 1)[0]), baseline)


def show(name: str, run: Run, baseline: Run, prompts: int = 1) -> None:
    apart = np.abs(run.result - baseline.result).max()
    print(f"  {name}: {run.wall_s:.1f} s wall, {run.cpu_s:.1f} s of processors, {apart:.1e} from the published target")
    wanted = {1: ">= 1.5 with the watermark, 1.8 without", 4: ">= 1.8 per prompt"}[prompts]
    report(f"{name}, wall", prompts * baseline.wall_s / run.wall_s, wanted, "the published loop")
    report(f"{name}, processors", prompts * baseline.cpu_s / run.cpu_s, wanted, "the published loop")


def floor(loaded: LoadedModel, baseline: Run) -> None:
    """How fast one prompt could be: its operations over the rate at which a processor multiplies matrices."""
    a, b = torch.randn(1024, 1536), torch.randn(1536, 4096)
    rate = 2 * 1024 * 1536 * 4096 / min(timed(lambda: a @ b).cpu_s for _ in range(10))
    operations = counted_operations(loaded.model.config, int(SECONDS * 25))
    print(
        f"  {operations / 1e12:.2f} T operations, floor {operations / rate:.1f} s at {rate / 1e9:.0f} G/s",
        flush=True,
    )
    print(f"  published loop: {baseline.wall_s:.1f} s wall, {baseline.cpu_s:.1f} s of processors", flush=True)
    report("the published loop", baseline.cpu_s / (operations / rate), "", "that floor, processor time")


@torch.inference_mode()
def counted_operations(config: SamAudioConfig, frames: int) -> int:
    """Of encoding, 32 evaluations and decoding one target, by shapes alone."""
    with torch.device("meta"):
        model = SamAudioModel(config)
        with FlopCounterMode(display=False) as once:
            model.encoder(torch.empty(1, 1, frames * config.audio_codec.hop_samples))
            model.decoder(torch.empty(1, config.audio_codec.codebook_dim, frames))
        with FlopCounterMode(display=False) as each:
            memory = model.conditioning.memory(torch.empty(1, 4, config.text_encoder.dim), torch.empty(1))
            step = model.dit.prepare(torch.empty(1), memory, None)
            model.dit(torch.empty(1, frames, config.transformer.dim), step)
    return int(once.get_total_flops() + 32 * each.get_total_flops())


@torch.inference_mode()
def share_of_products(loaded: LoadedModel) -> None:
    """How much of one evaluation of the transformer is matrix products and attention (10 s clip)."""
    model, at = loaded.model, torch.tensor([0.3])
    text = loaded.text.encode_all(WORDS[:1])[0]
    context = model.conditioning.context(torch.randn(1, 250, 128), torch.zeros(1, 250, dtype=torch.long), None)
    noisy = torch.randn(1, 250, 256)

    def evaluate() -> Tensor:
        step = model.dit.prepare(at, model.conditioning.memory(text, at), None)
        velocity: Tensor = model.dit(model.conditioning(noisy, context), step)
        return velocity

    evaluate()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        evaluate()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    products = sum(e.self_cpu_time_total for e in events if any(name in e.key for name in _PRODUCTS))
    report("share of matrix products and attention in an evaluation", products / total, "", "profiler, self time")


if __name__ == "__main__":
    main()
