"""Loading of a checkpoint and its text encoder to a device, as the settings require."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from stemline.errors import Code, SeparationError
from stemline_server.engines.sam_audio.checkpoint import Placement, load_model
from stemline_server.engines.sam_audio.device import Precision, fastest_threads
from stemline_server.engines.sam_audio.discovery import find_text_encoder, missing_text_encoder, missing_tower
from stemline_server.engines.sam_audio.model import SamAudioModel
from stemline_server.engines.sam_audio.pictures import PictureEncoder
from stemline_server.engines.sam_audio.settings import Settings
from stemline_server.engines.sam_audio.text_encoder import TextEncoder
from stemline_server.engines.sam_audio.windows import WindowSize

_CPU_CHUNK_FRAMES, _CPU_BATCH_FRAMES = 25, 1000
_CUDA_CHUNK_FRAMES, _CUDA_BATCH_FRAMES = 250, 12000


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Hold a model on its device and how to run it.

    Attributes:
        model: The model.
        text: The text encoder.
        device: The device of both.
        precision: Number formats.
        revision: Revision of the engine; part of the watermark's message and of the key of a stored state.
        watermark: Whether to add the watermark.
        window: Size of the windows.
        batch_frames: Frames of windows to evaluate at once, at least one window.
        batch: Windows to evaluate at once; 0 to derive the number from `batch_frames`.
        chunk_frames: Latent frames to encode or decode at once.
        threads: CPU threads.
        pictures: Encodes the pictures of prompts; None if the checkpoint has no vision tower.
    """

    model: SamAudioModel
    text: TextEncoder
    device: torch.device
    precision: Precision
    revision: str
    watermark: bool = True
    window: WindowSize = field(default_factory=WindowSize)
    batch_frames: int = 1000
    batch: int = 0
    chunk_frames: int = 25
    threads: int = field(default_factory=torch.get_num_threads)
    pictures: PictureEncoder | None = None

    def batch_of(self, window_frames: int) -> int:
        """Return the number of windows of a length to evaluate at once."""
        return self.batch or max(1, self.batch_frames // window_frames)


def load(folder: Path, device_name: str, settings: Settings, revision: str) -> LoadedModel:
    """Load a checkpoint.

    Args:
        folder: Folder of the checkpoint.
        device_name: Device such as "cpu" or "cuda:0".
        settings: The settings.
        revision: Revision of the engine.

    Raises:
        InputError: The checkpoint is incomplete, damaged or not supported (MODEL_UNAVAILABLE).
        SeparationError: The text encoder is missing or cannot be loaded (MODEL_UNAVAILABLE).
    """
    text_folder = find_text_encoder(settings)
    if text_folder is None:
        raise SeparationError(missing_text_encoder(settings), code=Code.MODEL_UNAVAILABLE)
    device = torch.device(device_name)
    on_cuda = device.type == "cuda"
    automatic = Precision.TF32 if on_cuda else Precision.FLOAT32
    precision = automatic if settings.precision == "auto" else Precision(settings.precision)
    placement = Placement(device, precision.codec_dtype, precision.dit_dtype, packed=not settings.compile)
    model = load_model(folder, placement)
    if settings.compile:
        model.dit.compile()
    text = TextEncoder(text_folder, model.config.text_encoder, device)
    return LoadedModel(
        model,
        text,
        device,
        precision,
        revision,
        settings.watermark,
        batch_frames=_CUDA_BATCH_FRAMES if on_cuda else _CPU_BATCH_FRAMES,
        batch=settings.batch,
        chunk_frames=_CUDA_CHUNK_FRAMES if on_cuda else _CPU_CHUNK_FRAMES,
        threads=torch.get_num_threads() if on_cuda else fastest_threads(),
        pictures=None if missing_tower(folder) else PictureEncoder(folder, placement, model.config.vision_encoder.dim),
    )
