"""Number formats that the engine can run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

import torch


class Precision(StrEnum):
    """float32; TF32 products on CUDA; a bfloat16 transformer with a float32 codec; the same with a float16 codec."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BF16 = "bf16"
    BF16_FP16 = "bf16-fp16"

    @property
    def dit_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self in (Precision.BF16, Precision.BF16_FP16) else torch.float32

    @property
    def codec_dtype(self) -> torch.dtype:
        return torch.float16 if self is Precision.BF16_FP16 else torch.float32

    @contextmanager
    def active(self, device: torch.device) -> Iterator[None]:
        """Sets CUDA's matrix products for the length of a computation; other engines of the process keep theirs."""
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
