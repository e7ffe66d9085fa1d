"""Number formats and memory of the device that the model runs on."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache

import torch

from stemline.errors import Code, SeparationError

_GIB = 1 << 30
_MEASURED_ROWS, _MEASURED_WIDTH, _MEASUREMENTS = 256, 2048, 5
_NEARLY_AS_FAST = 1.05
_OUT_OF_MEMORY_PHRASES = ("allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


class Precision(StrEnum):
    """Choose number formats.

    Attributes:
        FLOAT32: float32 throughout.
        TF32: float32 with TF32 matrix products on CUDA.
        BF16: bfloat16 transformer, float32 codec.
        BF16_FP16: bfloat16 transformer, float16 codec.
    """

    FLOAT32 = "float32"
    TF32 = "tf32"
    BF16 = "bf16"
    BF16_FP16 = "bf16-fp16"

    @property
    def dit_dtype(self) -> torch.dtype:
        """Number format of the transformer."""
        return torch.bfloat16 if self in (Precision.BF16, Precision.BF16_FP16) else torch.float32

    @property
    def codec_dtype(self) -> torch.dtype:
        """Number format of the codec."""
        return torch.float16 if self is Precision.BF16_FP16 else torch.float32

    @contextmanager
    def active(self, device: torch.device) -> Iterator[None]:
        """Set the precision of CUDA's matrix products and restore it at the end, so that other engines keep theirs."""
        if device.type != "cuda":
            yield
            return
        matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
        before = matmul.allow_tf32, cudnn.allow_tf32
        matmul.allow_tf32 = cudnn.allow_tf32 = self is not Precision.FLOAT32
        try:
            yield
        finally:
            matmul.allow_tf32, cudnn.allow_tf32 = before


@cache
def fastest_threads() -> int:
    """Return the smallest number of CPU threads that multiply matrices about as fast as any other number.

    PyTorch starts a thread for each core that it sees, which is too many where a container may use only some of them,
    or where other programs are busy. `OMP_NUM_THREADS` takes precedence.
    """
    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or most == 1:
        return most
    counts = sorted({most, *(1 << power for power in range(most.bit_length()))})
    left, right = torch.ones(_MEASURED_ROWS, _MEASURED_WIDTH), torch.ones(_MEASURED_WIDTH, _MEASURED_WIDTH)
    seconds = {}
    for count in counts:
        with cpu_threads(count):
            seconds[count] = min(_seconds_of_product(left, right) for _ in range(_MEASUREMENTS))
    return min(count for count in counts if seconds[count] <= _NEARLY_AS_FAST * min(seconds.values()))


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    started = time.perf_counter()
    torch.mm(left, right)
    return time.perf_counter() - started


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads and restore their number at the end, so that other engines keep theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device has no memory left.

    PyTorch has an exception class for CUDA's allocator only. Errors of hosts, other devices and libraries are
    recognised by their messages.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _OUT_OF_MEMORY_PHRASES)


def release_memory(device: torch.device) -> None:
    """Return memory that the allocator caches to the system, as far as the device supports it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "cpu" and sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only in glibc
        if trim is not None:
            trim(0)


def out_of_memory_error(work: str, device: torch.device) -> SeparationError:
    """Return the error for work that does not fit even in its smallest form.

    Args:
        work: What was computed, as it completes "too little memory for ...".
        device: The device.
    """
    sizes = _free_and_total(device)
    numbers = f" ({sizes[0] / _GIB:.1f} of {sizes[1] / _GIB:.1f} GiB are free)" if sizes else ""
    elsewhere = "" if device.type == "cpu" else ", or use the CPU"
    return SeparationError(
        f"The device {device} has too little memory for {work}{numbers}.",
        code=Code.DEVICE_OUT_OF_MEMORY,
        advice="Close other programs that use the device, set STEMLINE_SAM_AUDIO_PRECISION=bf16, "
        f"or choose a smaller model{elsewhere}.",
    )


def _free_and_total(device: torch.device) -> tuple[int, int] | None:
    """Return free and total memory in bytes, or None if the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)
    if device.type != "cpu" or "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", ()):
        return None
    page = os.sysconf("SC_PAGE_SIZE")
    return page * os.sysconf("SC_AVPHYS_PAGES"), page * os.sysconf("SC_PHYS_PAGES")
