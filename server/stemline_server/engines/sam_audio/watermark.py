"""The mark that the model's decoder adds to what it generates: a quiet signal that carries 16 bits.

All of it is causal, so a `Stream` carries it from chunk to chunk exactly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # torch's own name for it

from stemline_server.engines.sam_audio.config import CodecConfig
from stemline_server.engines.sam_audio.streaming import Conv, Lstm, Stream, StreamLayer, UpConv

MESSAGE_BITS = 16
_MESSAGE_WIDTH = 128
_STRENGTH = 32 / 128


class EluUnit(StreamLayer):
    """ELU, convolution to half the width, ELU, pointwise convolution back, and what came in. [B, C, n]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Conv((channels, channels // 2, 3), causal=True)
        self.widen = Conv((channels // 2, channels, 1))

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        change: Tensor = self.widen(F.elu(self.narrow(F.elu(x), stream)))
        return change.add_(x)


class DownStage(nn.Module):
    """Residual unit, ELU, strided convolution. [B, narrow, n] to [B, wide, n/stride]."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__()
        self.unit = EluUnit(narrow)
        self.down = Conv((narrow, wide, 2 * stride), stride=stride, causal=True)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        down: Tensor = self.down(F.elu(self.unit(x, stream)), stream)
        return down


class UpStage(nn.Module):
    """ELU, transposed convolution, residual unit. [B, wide, n] to [B, narrow, n*stride]."""

    def __init__(self, wide: int, narrow: int, stride: int) -> None:
        super().__init__()
        self.up = UpConv(wide, narrow, stride, causal=True)
        self.unit = EluUnit(narrow)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        up: Tensor = self.unit(self.up(F.elu(x), stream), stream)
        return up


class Watermark(StreamLayer):
    """Clean waveform [B, 1, n] and message [B, 16] of 0/1 to the marked waveform [B, 1, n]."""

    def __init__(self, config: CodecConfig) -> None:
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
        """Bits [B, 16] to the sum of their vectors [B, 128]."""
        index = 2 * torch.arange(MESSAGE_BITS, device=message.device) + message.long()
        return self.bits(index).sum(dim=1)  # type: ignore[no-any-return]  # an Embedding gives a Tensor
