"""The U-Net of Spleeter (Hennequin et al., 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BINS = 1_024
FRAMES = 512
"""Frames of a block in training. Frames and bins of an input must be multiples of 64."""
_EPSILON = 1e-3
_SAME_PADDING = (1, 2, 1, 2)
"""Zeros around a strided layer as TensorFlow pads, in which the net was trained."""


def _down(channels: int, out: int) -> tuple[nn.Sequential, nn.Sequential]:
    convolution = nn.Sequential(nn.ConstantPad2d(_SAME_PADDING, 0.0), nn.Conv2d(channels, out, 5, stride=2))
    return convolution, nn.Sequential(nn.BatchNorm2d(out, _EPSILON), nn.LeakyReLU(0.2))


def _up(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels, out, 5, stride=2), _Crop(), nn.ReLU(), nn.BatchNorm2d(out, _EPSILON)
    )


class _Crop(nn.Module):
    """Remove the rows and columns that correspond to `_SAME_PADDING`."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:-2, 1:-2]


class UNet(nn.Module):
    """Estimate the magnitudes of one source. The attributes have the names of the stored weights."""

    def __init__(self) -> None:
        """Create the layers with random weights."""
        super().__init__()
        self.down1_conv, self.down1_act = _down(2, 16)
        self.down2_conv, self.down2_act = _down(16, 32)
        self.down3_conv, self.down3_act = _down(32, 64)
        self.down4_conv, self.down4_act = _down(64, 128)
        self.down5_conv, self.down5_act = _down(128, 256)
        self.down6_conv, self.down6_act = _down(256, 512)
        self.up1 = _up(512, 256)
        self.up2 = _up(512, 128)
        self.up3 = _up(256, 64)
        self.up4 = _up(128, 32)
        self.up5 = _up(64, 16)
        self.up6 = _up(32, 1)
        self.up7 = nn.Sequential(nn.Conv2d(1, 2, 4, dilation=2, padding=3), nn.Sigmoid())

    def forward(self, magnitudes: Tensor) -> Tensor:
        """Map the magnitudes of a stereo mix [blocks, 2, frames, BINS] to those of the source, of the same shape."""
        one = self.down1_conv(magnitudes)
        two = self.down2_conv(self.down1_act(one))
        three = self.down3_conv(self.down2_act(two))
        four = self.down4_conv(self.down3_act(three))
        five = self.down5_conv(self.down4_act(four))
        up = self.up1(self.down6_conv(self.down5_act(five)))
        up = self.up2(torch.cat([five, up], 1))
        up = self.up3(torch.cat([four, up], 1))
        up = self.up4(torch.cat([three, up], 1))
        up = self.up5(torch.cat([two, up], 1))
        up = self.up6(torch.cat([one, up], 1))
        mask: Tensor = self.up7(up)
        return mask * magnitudes
