"""DAC-VAE, the audio codec of the model's latents, at `hop_samples` per latent frame.

The structure follows Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", 2023, with a variational
bottleneck. The codec is fully convolutional: with a `Stream`, encoder and decoder process a signal in chunks and give
the same samples as in one pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemline_server.engines.sam_audio.config import CodecConfig
from stemline_server.engines.sam_audio.streaming import Conv, Stream, StreamLayer, UpConv

_UNIT_DILATIONS = (1, 3, 9)


class Snake(nn.Module):
    """Compute x + sin(alpha x)^2 / alpha with one alpha per channel.

    Ziyin et al., "Neural Networks Fail to Learn Periodic Functions and How to Fix It", 2020.
    """

    def __init__(self, channels: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to [B, C, n]."""
        wave = (x * self.alpha).sin_().square_()
        return torch.addcmul(x, wave, (self.alpha + 1e-9).reciprocal())


class ResidualUnit(StreamLayer):
    """Add snake, dilated convolution, snake and pointwise convolution to the input [B, C, n]."""

    def __init__(self, channels: int, dilation: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.snake_in = Snake(channels)
        self.dilated = Conv((channels, channels, 7), dilation=dilation)
        self.snake_mid = Snake(channels)
        self.pointwise = Conv((channels, channels, 1))

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        change: Tensor = self.pointwise(self.snake_mid(self.dilated(self.snake_in(x), stream)))
        if stream is not None:
            x = stream.align(self.key, x, change.shape[-1])
        return change.add_(x)


class EncoderStage(nn.Module):
    """Apply three residual units and a strided convolution: [B, C, n] to [B, 2C, n/stride]."""

    def __init__(self, channels: int, stride: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(channels, dilation) for dilation in _UNIT_DILATIONS)
        self.snake = Snake(channels)
        self.down = Conv((channels, 2 * channels, 2 * stride), stride=stride)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        for unit in self.units:
            x = unit(x, stream)
        down: Tensor = self.down(self.snake(x), stream)
        return down


class Encoder(nn.Module):
    """Map a waveform [B, 1, n] to the mean of its latent [B, codebook_dim, n/hop].

    The length must be a multiple of the hop; with a stream, the length of the last chunk.
    """

    def __init__(self, config: CodecConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        width = config.encoder_dim
        self.stem = Conv((1, width, 7))
        self.stages = nn.ModuleList()
        for stride in config.encoder_rates:
            self.stages.append(EncoderStage(width, stride))
            width *= 2
        self.snake = Snake(width)
        self.head = Conv((width, config.latent_dim, 3))
        self.to_mean = Conv((config.latent_dim, config.codebook_dim, 1))
        StreamLayer.bind(self)

    def forward(self, waveform: Tensor, stream: Stream | None = None) -> Tensor:
        """Encode a waveform; with `stream`, the next chunk of it."""
        x = self.stem(waveform, stream)
        for stage in self.stages:
            x = stage(x, stream)
        mean: Tensor = self.to_mean(self.head(self.snake(x), stream))
        return mean


class DecoderStage(nn.Module):
    """Apply a transposed convolution and three residual units: [B, C, n] to [B, C/2, n*stride]."""

    def __init__(self, width_in: int, width_out: int, stride: int) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        self.snake = Snake(width_in)
        self.up = UpConv(width_in, width_out, stride)
        self.units = nn.ModuleList(ResidualUnit(width_out, dilation) for dilation in _UNIT_DILATIONS)

    def forward(self, x: Tensor, stream: Stream | None) -> Tensor:
        """Process the input; with `stream`, the next chunk of it."""
        x = self.up(self.snake(x), stream)
        for unit in self.units:
            x = unit(x, stream)
        return x


class Decoder(nn.Module):
    """Map a latent [B, codebook_dim, T] to a waveform [B, 1, T*hop] in -1..1, without watermark."""

    def __init__(self, config: CodecConfig) -> None:
        """Create the layer with uninitialised weights."""
        super().__init__()
        widths = config.decoder_widths
        self.from_latent = Conv((config.codebook_dim, config.latent_dim, 1))
        self.stem = Conv((config.latent_dim, widths[0], 7))
        self.stages = nn.ModuleList(
            DecoderStage(widths[i], widths[i + 1], stride) for i, stride in enumerate(config.decoder_rates)
        )
        self.snake = Snake(widths[-1])
        self.head = Conv((widths[-1], 1, 7))
        StreamLayer.bind(self)

    def forward(self, latent: Tensor, stream: Stream | None = None) -> Tensor:
        """Decode a latent; with `stream`, the next chunk of it."""
        x = self.stem(self.from_latent(latent), stream)
        for stage in self.stages:
            x = stage(x, stream)
        waveform: Tensor = self.head(self.snake(x), stream)
        return waveform.tanh_()
