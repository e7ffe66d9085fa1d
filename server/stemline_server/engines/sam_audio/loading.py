"""Brings a checkpoint and its text encoder to a device, the way the operator wants it run."""

from __future__ import annotations

from pathlib import Path

import torch

from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.device import Precision
from stemline_server.engines.sam_audio.discovery import text_encoder_source
from stemline_server.engines.sam_audio.separation import Loaded
from stemline_server.engines.sam_audio.settings import Settings
from stemline_server.engines.sam_audio.text_encoder import TextEncoder

_CPU_CHUNK_FRAMES, _CPU_BATCH_FRAMES = 25, 1000
_CUDA_CHUNK_FRAMES, _CUDA_BATCH_FRAMES = 250, 12000


def load(folder: Path, device_name: str, settings: Settings, revision: str) -> Loaded:
    """Raises InputError or SeparationError (MODEL_UNAVAILABLE)."""
    device = torch.device(device_name)
    on_cuda = device.type == "cuda"
    automatic = Precision.TF32 if on_cuda else Precision.FLOAT32
    precision = automatic if settings.precision == "auto" else Precision(settings.precision)
    placement = Placement(device, precision.codec_dtype, precision.dit_dtype, packed=not settings.compile)
    model = load_model(folder, placement)
    if settings.compile:
        model.dit.compile()
    text = TextEncoder(text_encoder_source(settings), model.config.text_encoder, device)
    return Loaded(
        model,
        text,
        device,
        precision,
        revision,
        settings.watermark,
        batch_frames=_CUDA_BATCH_FRAMES if on_cuda else _CPU_BATCH_FRAMES,
        batch=settings.batch,
        chunk_frames=_CUDA_CHUNK_FRAMES if on_cuda else _CPU_CHUNK_FRAMES,
    )
