"""The watermark of the model's decoder: a quiet signal that carries 16 bits.

All layers are causal, so a `Stream` continues them exactly from chunk to chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # PyTorch's conventional name

from stemline_server.engines.sam_audio.config import CodecConfig
from stemline_server.engines.sam_audio.prompts import MESSAGE_BITS
from stemline_server.engines.sam_audio.streaming import Conv, Lstm, Stream, StreamLayer, UpConv

_MESSAGE_WIDTH = 128
_STRENGTH = 32 / 128


class EluUnit(StreamLayer):
    """Add ELU, a convolution to half the width, ELU and a pointwise convolution to the input [B, C, n]."""

    def __init__(self, channels: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.narrow = Conv((channels, channels // 2, 3), causal=True)
        self.widen = Conv((channels // 2, channels, 1))

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        change: Tensor = self.widen(F.elu(self.narrow(F.elu(x), stream)))
        return change.add_(x)


class DownStage(nn.Module):
    """Apply a residual unit, ELU and a strided convolution: [B, narrow, n] to [B, wide, n/stride]."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.unit = EluUnit(narrow)
        self.down = Conv((narrow, wide, 2 * stride), stride=stride, causal=True)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        down: Tensor = self.down(F.elu(self.unit(x, stream)), stream)
        return down


class UpStage(nn.Module):
    """Apply ELU, a transposed convolution and a residual unit: [B, wide, n] to [B, narrow, n*stride]."""

    def __init__(self, wide: int, narrow: int, stride: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.up = UpConv(wide, narrow, stride, causal=True)
        self.unit = EluUnit(narrow)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        up: Tensor = self.unit(self.up(F.elu(x), stream), stream)
        return up


class Watermark(StreamLayer):
    """Add a watermark to a waveform."""

    def __init__(self, config: CodecConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        widths, strides = config.watermark_widths, config.watermark_strides
        self.stem = Conv((1, widths[-1], 7), causal=True)
        self.downs = nn.ModuleList(DownStage(widths[i + 1], widths[i], stride) for i, stride in enumerate(strides))
        self.down_lstm = Lstm(widths[0])
        self.to_code = Conv((widths[0], _MESSAGE_WIDTH, 7), causal=True)
        self.bits = nn.Embedding(2 * MESSAGE_BITS, _MESSAGE_WIDTH)
        self.from_code = Conv((_MESSAGE_WIDTH, widths[0], 7), causal=True)
        self.up_lstm = Lstm(widths[0])
        self.ups = nn.ModuleList(UpStage(widths[i], widths[i + 1], stride) for i, stride in enumerate(strides))
        self.head = Conv((widths[-1], 1, 7), causal=True)
        StreamLayer.bind(self)
        self.key = "clean"

    def forward(self, clean: Tensor, message: Tensor, stream: Stream | None = None) -> Tensor:
        """Add the watermark.

        Args:
            clean: Waveform [B, 1, n].
            message: Bits 0 or 1, [B, 16].
            stream: State of the signal if `clean` is a chunk of it.

        Returns:
            The marked waveform [B, 1, n].
        """
        x = self.stem(clean, stream)
        for stage in reversed(self.downs):
            x = stage(x, stream)
        code = self.to_code(F.elu(self.down_lstm(x, stream)), stream) + self.embed(message).unsqueeze(-1)
        x = self.up_lstm(self.from_code(code, stream), stream)
        for stage in self.ups:
            x = stage(x, stream)
        mark = self.head(F.elu(x), stream)
        if stream is not None:
            clean = stream.align(self.key, clean, mark.shape[-1])
        marked: Tensor = clean + _STRENGTH * mark[..., : clean.shape[-1]]
        return marked

    def embed(self, message: Tensor) -> Tensor:
        """Return the sum [B, 128] of the vectors of bits [B, 16]."""
        index = 2 * torch.arange(MESSAGE_BITS, device=message.device) + message.long()
        return self.bits(index).sum(dim=1)  # type: ignore[no-any-return]  # an Embedding returns a Tensor
