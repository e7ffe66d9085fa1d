"""A linear layer whose weight can be stored in the memory layout of the CPU's matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

_TYPICAL_ROWS = 1000


class PackedLinear(nn.Module):
    """Multiply [..., in] by a weight [out, in], which may be packed, to [..., out]."""

    def __init__(self, width_in: int, width_out: int, *, bias: bool = False, gelu: bool = False) -> None:
        """Create the layer with uninitialised weights.

        Args:
            width_in: Input channels.
            width_out: Output channels.
            bias: Whether to add a bias [out].
            gelu: Whether to apply the exact GELU to the output.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))
        self.bias: nn.Parameter | None = nn.Parameter(torch.empty(width_out)) if bias else None
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        """Return the product; a packed weight saves oneDNN from reordering it at every call."""
        if self.weight.is_mkldnn:
            after = "gelu" if self.gelu else "none"
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, after, [], "none")
            return product
        product = F.linear(x, self.weight, self.bias)
        return F.gelu(product) if self.gelu else product


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether this build of PyTorch supports packed weights for a device and number format."""
    return (
        device.type == "cpu"
        and dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def pack(weight: Tensor) -> Tensor:
    """Return a copy of a weight [out, in] in oneDNN's layout; only `PackedLinear` can use it."""
    copy: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _TYPICAL_ROWS)
    return copy
