"""SAM Audio on CUDA: ten 10-second clips against the published loop, real-time factor and memory of every size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.benchmarks import sam_audio_plain as plain
from tests.benchmarks.measure import report
from tests.server.sam_audio.generated import write_checkpoint
from torch import Tensor

from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.flow import Flow, RequestConditions
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.solver import Method, Schedule, solve
from stemline_server.engines.sam_audio.windows import WindowSize, plan_windows

CLIPS, FRAMES = 10, 250
_SCHEDULE = Schedule(Method.MIDPOINT, 16)


def on_cuda(sizes: dict[str, dict[str, Any]], device: torch.device) -> None:
    """Prints ratio, real-time factor and peak memory."""
    for size, transformer in sizes.items():
        with tempfile.TemporaryDirectory(prefix="stemline-bench-") as folder:
            checkpoint = write_checkpoint(Path(folder) / size, {"transformer": transformer})
            baseline_s = published_s(checkpoint, device) if size == "small" else 0.0
            for precision in (Precision.TF32, Precision.BF16, Precision.BF16_FP16):
                measure(checkpoint, size, precision, device, baseline_s)


def measure(checkpoint: Path, size: str, precision: Precision, device: torch.device, baseline_s: float) -> None:
    """One size in one number format: all clips in one batch, one prompt each, watermark on."""
    torch.cuda.reset_peak_memory_stats(device)
    model = load_model(checkpoint, Placement(device, precision.codec_dtype, precision.dit_dtype))
    with precision.active(device):
        seconds = timed(lambda: batch_of_clips(model, precision, device), device)
    peak = torch.cuda.max_memory_allocated(device)
    print(f"  {size}, {precision}: {seconds / CLIPS / 10:.4f} of real time, peak {peak / 1e9:.2f} GB on the device")
    if baseline_s:
        report(
            f"{size}, {precision}", CLIPS * baseline_s / seconds, ">= 5", "the published loop in float32, clip by clip"
        )


@torch.inference_mode()
def batch_of_clips(model: SamAudioModel, precision: Precision, device: torch.device) -> Tensor:
    """Ten clips end to end are ten windows without overlap: encoded, solved in one batch, decoded."""
    hop, width = model.config.audio_codec.hop_samples, model.config.text_encoder.dim
    waveforms = torch.randn(CLIPS, 1, FRAMES * hop, device=device, dtype=precision.codec_dtype)
    mixture = model.encoder(waveforms).float().transpose(1, 2).flatten(0, 1)
    tokens = torch.zeros(1, CLIPS * FRAMES, dtype=torch.long, device=device)
    given = RequestConditions(mixture, tokens, torch.randn(1, 6, width, device=device), None)
    flow = Flow(model, given, plan_windows(CLIPS * FRAMES, WindowSize(FRAMES, 0)), lambda count: None)
    flow.batch = CLIPS
    noise = torch.randn(1, CLIPS * FRAMES, model.config.transformer.out_channels, device=device)
    latent = solve(_SCHEDULE, noise, flow)[0, :, : mixture.shape[1]]
    rows = latent.view(CLIPS, FRAMES, -1).transpose(1, 2).to(precision.codec_dtype)
    marked: Tensor = model.watermark(model.decoder(rows).float(), torch.zeros(CLIPS, 16, device=device))
    return marked


def published_s(checkpoint: Path, device: torch.device) -> float:
    """Seconds of the published loop for one clip."""
    config = load_model(checkpoint, Placement(torch.device("cpu"))).config
    state = torch.load(checkpoint / "checkpoint.pt", weights_only=True, map_location=device)
    waveform = torch.randn(1, 1, FRAMES * config.audio_codec.hop_samples, device=device)
    noise = torch.randn(1, FRAMES, config.transformer.out_channels, device=device)
    text = torch.randn(1, 6, config.text_encoder.dim, device=device)
    messages = torch.zeros(2, 16, device=device)
    with Precision.FLOAT32.active(device):
        return timed(lambda: plain.separate(plain.Given(waveform, noise, text, messages), state, config), device)


def timed(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the second run."""
    seconds = 0.0
    for _ in range(2):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
    return seconds
