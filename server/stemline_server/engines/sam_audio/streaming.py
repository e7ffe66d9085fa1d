"""Layers of the codec that can be run chunk by chunk with the result of one pass.

Every layer takes `stream`: None runs it over a whole signal. A `Stream` carries what each layer still needs of the
past, so that the chunks of a signal, pushed in order, give the samples of the whole pass: no overlap is computed
twice. A layer that looks ahead gives out less for the first chunk and the rest for the last (`stream.last`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it


class Stream:
    """What the layers of one network carry from chunk to chunk of one signal. Set `last` before the final chunk.

    Nothing in `carry` is ever changed in place, so that a copy of the mapping is a way back. All tensors start with
    the row.
    """

    def __init__(self, carry: dict[str, tuple[Tensor, ...]] | None = None) -> None:
        self.last = False
        self.carry = carry or {}

    def join(self, key: str, chunk: Tensor, left_pad: int) -> Tensor:
        """What `key` kept, then the chunk. Before the first chunk stand `left_pad` zeros."""
        kept = self.carry.get(key)
        head = chunk.new_zeros((*chunk.shape[:-1], left_pad)) if kept is None else kept[0]
        return torch.cat((head, chunk), dim=-1) if head.shape[-1] else chunk

    def keep(self, key: str, tail: Tensor) -> None:
        """Copies `tail`, so that the chunk it is cut from can be freed."""
        self.carry[key] = (tail.clone(),)

    def align(self, key: str, chunk: Tensor, length: int) -> Tensor:
        """A delay line: the next `length` samples of a path that runs beside a slower one."""
        whole = self.join(key, chunk, 0)
        self.keep(key, whole[..., length:])
        return whole[..., :length]


class StreamLayer(nn.Module):
    """A layer with a name in the stream; `bind` gives every layer of a network its own."""

    key = ""

    @staticmethod
    def bind(network: nn.Module) -> None:
        for name, module in network.named_modules():
            if isinstance(module, StreamLayer):
                module.key = name


class Conv(StreamLayer):
    """Convolution with zeros around the signal: `pad_left` before it, `pad_right` behind it. [B, in, n] to [B, out,
    n/stride].
    """

    def __init__(
        self, shape: tuple[int, int, int], *, stride: int = 1, dilation: int = 1, causal: bool = False
    ) -> None:
        """`shape` is (in, out, kernel). Not causal: half of the zeros stand behind the signal."""
        super().__init__()
        width_in, width_out, kernel = shape
        self.weight = nn.Parameter(torch.empty(width_out, width_in, kernel))
        self.bias = nn.Parameter(torch.empty(width_out))
        self.stride, self.dilation, self.span = stride, dilation, (kernel - 1) * dilation + 1
        total = (kernel - stride) * dilation
        self.pad_left = total if causal else total // 2
        self.pad_right = 0 if causal else total // 2

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        if stream is None:
            return self._whole(x)
        x = stream.join(self.key, x, self.pad_left)
        if stream.last:
            x = F.pad(x, (0, self.pad_right + self._ragged(x.shape[-1] + self.pad_right)))
        count = max(0, (x.shape[-1] - self.span) // self.stride + 1)
        stream.keep(self.key, x[..., count * self.stride :])
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
        """Zeros that a strided convolution needs behind a signal whose length its stride does not divide."""
        return (self.span - length) % self.stride


class UpConv(StreamLayer):
    """Transposed convolution, kernel 2*stride: [B, in, n] to [B, out, n*stride].

    Symmetric: stride/2 samples are cut at both ends (of an odd stride the greater half in front). Causal: the last
    `stride` samples are cut. Done as one matrix product whose two halves overlap by a stride, which is faster on a CPU
    than PyTorch's own; the weight is [2 * out * stride, in].
    """

    def __init__(self, width_in: int, width_out: int, stride: int, *, causal: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2 * width_out * stride, width_in))
        self.bias = nn.Parameter(torch.empty(width_out))
        self.stride = stride
        self.cut_left = 0 if causal else (stride + 1) // 2
        self.cut_right = stride - self.cut_left

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        first = stream is None or self.key not in stream.carry
        last = stream is None or stream.last
        if stream is not None:
            x = stream.join(self.key, x, 0)
        if x.shape[-1] == 0:
            return x.new_zeros((x.shape[0], len(self.bias), 0))
        if stream is not None:
            stream.keep(self.key, x[..., -1:])
        y = self._spread(x)
        return y[..., self.cut_left if first else self.stride : y.shape[-1] - (self.cut_right if last else self.stride)]

    def _spread(self, x: Tensor) -> Tensor:
        """[B, in, n] to all [B, out, (n + 1) * stride] that it reaches."""
        rows, _, count = x.shape
        early, late = torch.matmul(self.weight, x).view(rows, 2, len(self.bias), self.stride, count).unbind(1)
        y = x.new_empty((rows, len(self.bias), count + 1, self.stride))
        by_phase = y.transpose(2, 3)
        by_phase[..., :count] = early
        by_phase[..., count] = 0
        by_phase[..., 1:] += late
        return y.flatten(2).add_(self.bias[:, None])


class Lstm(StreamLayer):
    """Two LSTM layers with a skip around them. [B, C, n] to the same; its state goes on from chunk to chunk."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2, batch_first=True)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
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
