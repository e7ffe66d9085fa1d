"""What to do when a device has no memory left."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from stemline.errors import Code, SeparationError

_GIB = 1 << 30
_WORDS = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has a type of its own for CUDA's allocator only; hosts, other devices and libraries say so in words."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def release(device: torch.device) -> None:
    """Gives back what the allocator keeps for later; on a host where its C library can."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "cpu" and sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others have none
        if trim is not None:
            trim(0)


def out_of_memory(what: str, device: torch.device) -> SeparationError:
    """The error for work that does not fit even in its smallest form."""
    sizes = _free_and_total(device)
    numbers = f" ({sizes[0] / _GIB:.1f} of {sizes[1] / _GIB:.1f} GiB are free)" if sizes else ""
    elsewhere = "" if device.type == "cpu" else ", or use the CPU"
    return SeparationError(
        f"The device {device} has too little memory for {what}{numbers}.",
        code=Code.DEVICE_OUT_OF_MEMORY,
        advice="Close other programs that use it, set STEMLINE_SAM_AUDIO_PRECISION=bf16, "
        f"or choose a smaller model{elsewhere}.",
    )


def _free_and_total(device: torch.device) -> tuple[int, int] | None:
    """Bytes; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    if device.type != "cpu" or "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
