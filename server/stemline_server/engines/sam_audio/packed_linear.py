"""Matrix products of the transformer: on a CPU by a matrix that is laid out once, not anew at every product."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

_ANY_ROWS = 0


class Product(nn.Module):
    """[.., in] to [.., out] by a matrix [out, in], which may be `packed`."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width_out, width_in))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.is_mkldnn:
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, None, "none", [], "")
            return product
        return F.linear(x, self.weight)


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this build of PyTorch multiplies by packed matrices there."""
    return (
        device.type == "cpu"
        and dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


def packed(weight: Tensor) -> Tensor:
    """A copy of the matrix [out, in] in the order in which oneDNN reads it; opaque but to `Product`."""
    copy: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _ANY_ROWS)
    return copy
