"""Layers of the codec that process a signal in chunks and give the same samples as in one pass.

Every layer takes a `Stream`, or None to process a whole signal at once. The stream carries the past samples that each
layer still needs, so nothing is computed twice. A layer that looks ahead returns less for the first chunk and the
remainder for the last one (`Stream.last`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name


class Stream:
    """Hold the state that the layers of a network carry from chunk to chunk of a signal.

    Attributes:
        last: Whether the next chunk is the final one; set this before processing it.
        carry: Tensors [B, ...] by layer. They are never changed in place, so a copy of the mapping restores the state.
    """

    def __init__(self, carry: dict[str, tuple[Tensor, ...]] | None = None) -> None:
        """Start at the beginning of a signal, or with a copied state."""
        self.last = False
        self.carry = carry or {}

    def join(self, key: str, chunk: Tensor, left_pad: int) -> Tensor:
        """Join the tail stored for `key` and a chunk; the tail before the first chunk is `left_pad` zeros."""
        stored = self.carry.get(key)
        head = chunk.new_zeros((*chunk.shape[:-1], left_pad)) if stored is None else stored[0]
        return torch.cat((head, chunk), dim=-1) if head.shape[-1] else chunk

    def store(self, key: str, tail: Tensor) -> None:
        """Store a copy of a chunk's tail, so that the chunk itself can be freed."""
        self.carry[key] = (tail.clone(),)

    def align(self, key: str, chunk: Tensor, length: int) -> Tensor:
        """Delay a path to match a slower one: append the chunk and return the next `length` samples."""
        whole = self.join(key, chunk, 0)
        self.store(key, whole[..., length:])
        return whole[..., :length]


class StreamLayer(nn.Module):
    """Store state in a stream under the name that `bind` gives to every layer of a network."""

    key = ""

    @staticmethod
    def bind(network: nn.Module) -> None:
        """Give every layer of a network its own name."""
        for name, module in network.named_modules():
            if isinstance(module, StreamLayer):
                module.key = name


class Conv(StreamLayer):
    """Convolve a signal padded with zeros: [B, in, n] to [B, out, n/stride]."""

    def __init__(
        self, shape: tuple[int, int, int], *, stride: int = 1, dilation: int = 1, causal: bool = False
    ) -> None:
        """Create the layer with uninitialised weights.

        Args:
            shape: Input channels, output channels and kernel size.
            stride: Samples per output sample.
            dilation: Distance of kernel taps.
            causal: Whether all zeros precede the signal; otherwise half of them follow it.
        """
        super().__init__()
        width_in, width_out, kernel = shape
        self.weight = nn.Parameter(torch.empty(width_out, width_in, kernel))
        self.bias = nn.Parameter(torch.empty(width_out))
        self.stride, self.dilation, self.span = stride, dilation, (kernel - 1) * dilation + 1
        total = (kernel - stride) * dilation
        self.pad_left = total if causal else total // 2
        self.pad_right = 0 if causal else total // 2

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        if stream is None:
            return self._whole(x)
        x = stream.join(self.key, x, self.pad_left)
        if stream.last:
            x = F.pad(x, (0, self.pad_right + self._ragged(x.shape[-1] + self.pad_right)))
        count = max(0, (x.shape[-1] - self.span) // self.stride + 1)
        stream.store(self.key, x[..., count * self.stride :])
        if count == 0:
            return x.new_zeros((x.shape[0], self.weight.shape[0], 0))
        return F.conv1d(x, self.weight, self.bias, stride=self.stride, dilation=self.dilation)

    def _whole(self, x: Tensor) -> Tensor:
        if x.shape[-1] == 0:
            return x.new_zeros((x.shape[0], self.weight.shape[0], 0))
        if self.pad_left == self.pad_right and not self._ragged(x.shape[-1] + 2 * self.pad_left):
            return F.conv1d(x, self.weight, self.bias, self.stride, self.pad_left, self.dilation)
        ragged = self._ragged(x.shape[-1] + self.pad_left + self.pad_right)
        x = F.pad(x, (self.pad_left, self.pad_right + ragged))
        return F.conv1d(x, self.weight, self.bias, stride=self.stride, dilation=self.dilation)

    def _ragged(self, length: int) -> int:
        """Return the zeros that the stride needs after a signal whose length is not a multiple of it."""
        return (self.span - length) % self.stride


class UpConv(StreamLayer):
    """Apply a transposed convolution with a kernel of 2*stride: [B, in, n] to [B, out, n*stride].

    The causal form cuts the last `stride` samples, the symmetric form stride/2 samples at both ends (with an odd
    stride, the greater half at the start). The layer is one matrix product whose halves overlap by a stride, which is
    faster on a CPU than PyTorch's layer. Its weight is [2 * out * stride, in].
    """

    def __init__(self, width_in: int, width_out: int, stride: int, *, causal: bool = False) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * width_out * stride, width_in))
        self.bias = nn.Parameter(torch.empty(width_out))
        self.stride = stride
        self.cut_left = 0 if causal else (stride + 1) // 2
        self.cut_right = stride - self.cut_left

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        first = stream is None or self.key not in stream.carry
        last = stream is None or stream.last
        if stream is not None:
            x = stream.join(self.key, x, 0)
        if x.shape[-1] == 0:
            return x.new_zeros((x.shape[0], len(self.bias), 0))
        if stream is not None:
            stream.store(self.key, x[..., -1:])
        y = self._spread(x)
        return y[..., self.cut_left if first else self.stride : y.shape[-1] - (self.cut_right if last else self.stride)]

    def _spread(self, x: Tensor) -> Tensor:
        """Return all output samples before cutting: [B, in, n] to [B, out, (n + 1) * stride]."""
        rows, _, count = x.shape
        early, late = torch.matmul(self.weight, x).view(rows, 2, len(self.bias), self.stride, count).unbind(1)
        y = x.new_empty((rows, len(self.bias), count + 1, self.stride))
        by_phase = y.transpose(2, 3)
        by_phase[..., :count] = early
        by_phase[..., count] = 0
        by_phase[..., 1:] += late
        return y.flatten(2).add_(self.bias[:, None])


class Lstm(StreamLayer):
    """Apply two LSTM layers with a residual connection to [B, C, n]; their state continues from chunk to chunk."""

    def __init__(self, width: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        if x.shape[-1] == 0:
            return x
        state = None
        if stream is not None and self.key in stream.carry:
            hidden, cell = (part.transpose(0, 1).contiguous() for part in stream.carry[self.key])
            state = (hidden, cell)
        y, (hidden, cell) = self.lstm(x.transpose(1, 2), state)
        if stream is not None:
            stream.carry[self.key] = (hidden.transpose(0, 1), cell.transpose(0, 1))
        out: Tensor = y.transpose(1, 2) + x
        return out
