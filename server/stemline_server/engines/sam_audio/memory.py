"""What to do when a device has no memory left."""

from __future__ import annotations

import torch

from stemline.errors import Code, SeparationError

_GIB = 1 << 30


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a type of its own for accelerators only; for the host it says so in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)


def release(device: torch.device) -> None:
    """Gives back what the allocator keeps for later."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def out_of_memory(what: str, device: torch.device) -> SeparationError:
    """The error for work that does not fit even in its smallest form."""
    numbers = ""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        numbers = f" ({free / _GIB:.1f} of {total / _GIB:.1f} GiB are free)"
    return SeparationError(
        f"The device {device} has too little memory for {what}{numbers}.",
        code=Code.DEVICE_OUT_OF_MEMORY,
        advice="Close other programs that use it, set STEMLINE_SAM_AUDIO_PRECISION=bf16, "
        "choose a smaller model, or use the CPU.",
    )
