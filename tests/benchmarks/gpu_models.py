"""Models with generated weights on a device, and the timing of their work, for `bench_gpu.py`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from tests.server.sam_audio.generated import published_shapes, tower_shapes
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stemline_server.engines.sam_audio.checkpoint import Placement
from stemline_server.engines.sam_audio.config import SamAudioConfig
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.tower_sizes import TowerSizes
from stemline_server.engines.sam_audio.vision_tower import VisionTower
from stemline_server.engines.sam_audio.weight_conversion import Conversion, conversion, tower_conversion

_ONES = (".alpha", "norm.weight", "weight_g", "ln_pre.weight", "ln_post.weight", "ln_1.weight", "ln_2.weight")


def _generated(shapes: dict[str, tuple[int, ...]], device: torch.device) -> dict[str, Tensor]:
    """Weights that preserve a signal's level, made on the device."""
    state = {}
    for key, shape in shapes.items():
        if key.endswith(_ONES):
            state[key] = torch.ones(shape, device=device)
            continue
        scale = 0.1 if len(shape) < 2 else 1 / math.sqrt(math.prod(shape[1:]))
        state[key] = torch.randn(shape, device=device).mul_(scale)
    return state


def generated_state(config: SamAudioConfig, device: torch.device) -> dict[str, Tensor]:
    """Published tensors by key, without the vision tower."""
    return _generated(published_shapes(config), device)


def model_of_state(state: dict[str, Tensor], config: SamAudioConfig, precision: Precision) -> SamAudioModel:
    """The model of published tensors, which are removed from `state` as they are used."""
    device = next(iter(state.values())).device
    with torch.device("meta"):
        model = SamAudioModel(config)
    placement = Placement(device, precision.codec_dtype, precision.dit_dtype)
    rules = {name: conversion(name, config) for name, _ in model.named_parameters()}
    _fill(model, rules, state, placement)
    return model


def generated_tower(sizes: TowerSizes, dtype: torch.dtype, device: torch.device) -> VisionTower:
    with torch.device("meta"):
        tower = VisionTower(sizes)
    state = _generated(tower_shapes(sizes), device)
    rules = {name: tower_conversion(name, sizes) for name, _ in tower.named_parameters()}
    _fill(tower, rules, state, Placement(device, dit_dtype=dtype))
    return tower


def _fill(model: nn.Module, rules: dict[str, Conversion], state: dict[str, Tensor], placement: Placement) -> None:
    users: dict[str, int] = {}
    for rule in rules.values():
        for key in rule.sources:
            users[key] = users.get(key, 0) + 1
    for name, rule in rules.items():
        built = rule.build([state[key].clone() for key in rule.sources]).to(placement.dtype_of(name)).contiguous()
        owner, _, attribute = name.rpartition(".")
        setattr(model.get_submodule(owner), attribute, nn.Parameter(built, requires_grad=False))
        for key in rule.sources:
            users[key] -= 1
            if not users[key]:
                del state[key]
    for module in model.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()
    model.eval()


def evaluation_of(
    model: SamAudioModel, batch: int, frames: int, device: torch.device, *, compiled: bool = False
) -> Callable[[], Tensor]:
    """One evaluation of the transformer for `batch` windows, with everything that does not change made before."""
    time_at = torch.tensor([0.3], device=device)
    text = torch.randn(1, 4, model.config.text_encoder.dim, device=device)
    conditions = model.dit.prepare(time_at, model.conditioning.memory(text, time_at), None)
    rows = conditions.rows(torch.zeros(batch, dtype=torch.long, device=device))
    given = torch.randn(batch, frames, model.config.transformer.dim, device=device)
    dit: Any = torch.compile(model.dit) if compiled else model.dit
    return lambda: dit(given, rows)


def graphed(work: Callable[[], Tensor], device: torch.device) -> Callable[[], Any]:
    """The same work as a CUDA graph."""
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            work()
    torch.cuda.current_stream(device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def counted(work: Callable[[], Any]) -> int:
    """Operations of the matrix products, convolutions and attention of some work."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def seconds_of(work: Callable[[], Any], device: torch.device, *, runs: int = 2) -> float:
    """Seconds of the fastest run, the first of several being the warm-up."""
    fastest = math.inf
    for run in range(runs):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        if run or runs == 1:
            fastest = min(fastest, time.perf_counter() - started)
    return fastest


def matrix_rate(size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a large square matrix product."""
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    operations = 2.0 * size * size * size
    return operations / seconds_of(lambda: left @ right, device, runs=6)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
