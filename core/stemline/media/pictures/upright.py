"""Turn decoded frames into upright RGB pictures with square pixels and ordinary contrast."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, Interpolation

from stemline.media.pictures.picture_track import Picture

_HD_ROWS = 720
_PAPER_WHITE_NITS = 203.0  # ITU-R BT.2408
_PEAK_NITS = 1000.0
_SDR_GAMMA = 1 / 2.2
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_CURVES = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67, ColorTrc.LOG, ColorTrc.LOG_SQRT)


@dataclass(frozen=True, slots=True)
class PictureShape:
    """The size of an upright picture with square pixels, and how a decoded frame becomes one.

    Attributes:
        width: Pixels across.
        height: Pixels down.
        quarter_turns: How often a decoded frame is turned by 90 degrees counterclockwise.
        wide: Width of a pixel over its height, before the turn.
    """

    width: int
    height: int
    quarter_turns: int
    wide: Fraction

    def within(self, longest: int) -> tuple[int, int]:
        """Return (width, height) with the longer side at most `longest`; 0 for the full size."""
        scale = Fraction(min(longest or 1 << 30, max(self.width, self.height)), max(self.width, self.height))
        return max(1, round(self.width * scale)), max(1, round(self.height * scale))


def shape_of(frame: VideoFrame, wide: Fraction | None) -> PictureShape:
    """Return the shape of a stream's pictures from one of its frames and its sample aspect ratio."""
    if not wide or not Fraction(1, 16) <= wide <= 16:
        wide = Fraction(1)
    turns = round(frame.rotation / 90) % 4
    across, down = (wide, Fraction(1)) if wide > 1 else (Fraction(1), 1 / wide)
    width, height = round(frame.width * across), round(frame.height * down)
    return PictureShape(*((height, width) if turns % 2 else (width, height)), turns, wide)


def upright(frame: VideoFrame, shape: PictureShape, longest: int = 0) -> Picture:
    """Return a frame as uint8 [height, width, 3]: turned upright, with square pixels, one field of an interlaced frame.

    PQ, HLG and logarithmic pictures get the contrast of a picture for ordinary screens.

    Args:
        frame: A decoded frame.
        shape: The shape of the stream's pictures.
        longest: Longest side of the result in pixels; 0 for the full size.
    """
    width, height = shape.within(longest)
    if shape.quarter_turns % 2:
        width, height = height, width
    if frame.interlaced_frame and frame.height > 1:
        frame = _first_field(frame, width)
    if frame.color_trc in _CURVES:
        deep = np.asarray(_converted(frame, width, height, "rgb48le").to_ndarray(), np.uint16)
        pixels = _ordinary_contrast(deep, ColorTrc(frame.color_trc), wide=frame.colorspace == Colorspace.BT2020)
    else:
        pixels = np.asarray(_converted(frame, width, height, "rgb24").to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(pixels, shape.quarter_turns))


def mask_levels(frame: VideoFrame, shape: PictureShape, longest: int = 0) -> Picture:
    """Return a frame of a mask as uint8 [height, width], upright: its alpha where that varies, else its brightness."""
    alpha = alpha_levels(frame, shape, longest)
    if alpha.min() < 255:
        return alpha
    return np.ascontiguousarray(upright(frame, shape, longest).max(axis=2))


def alpha_levels(frame: VideoFrame, shape: PictureShape, longest: int = 0) -> Picture:
    """Return the alpha of a frame as uint8 [height, width], upright; 255 where the format has none."""
    width, height = shape.within(longest)
    if shape.quarter_turns % 2:
        width, height = height, width
    if not has_alpha(frame):
        return np.full((width, height) if shape.quarter_turns % 2 else (height, width), 255, np.uint8)
    pixels = np.asarray(_converted(frame, width, height, "rgba").to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(pixels[:, :, 3], shape.quarter_turns))


def has_alpha(frame: VideoFrame) -> bool:
    """Return whether the format of a frame has an alpha channel."""
    return any(component.is_alpha for component in frame.format.components)


def _first_field(frame: VideoFrame, width: int) -> VideoFrame:
    """Return the upper field alone: the other was taken at another time, and would show as combing."""
    rows = _converted(frame, width, frame.height, "rgb48le" if frame.color_trc in _CURVES else "rgb24")
    lines = rows.to_ndarray()[::2].copy()
    field = VideoFrame.from_ndarray(lines, format=rows.format.name)
    field.color_trc, field.colorspace = frame.color_trc, frame.colorspace
    return field


def _converted(frame: VideoFrame, width: int, height: int, form: str) -> VideoFrame:
    """Scale and convert. A stream of HD size that does not state its matrix has that of BT.709."""
    unknown = frame.colorspace not in (Colorspace.ITU709, Colorspace.BT2020, Colorspace.ITU601, Colorspace.SMPTE240M)
    matrix = Colorspace.ITU709 if unknown and frame.height >= _HD_ROWS and not frame.format.is_rgb else None
    smaller = width * height < frame.width * frame.height
    method = Interpolation.AREA if smaller else Interpolation.BILINEAR
    return frame.reformat(width, height, form, src_colorspace=matrix, interpolation=method, threads=1)


def _ordinary_contrast(deep: npt.NDArray[np.uint16], curve: ColorTrc, *, wide: bool) -> Picture:
    linear = _linear(curve)[deep]
    if wide:
        linear = np.maximum(linear @ _BT2020_TO_BT709.T, 0)
    peak = _PEAK_NITS / _PAPER_WHITE_NITS
    mapped = linear * (1 + linear / peak**2) / (1 + linear)  # Reinhard et al. 2002, with a white point
    shown: Picture = np.rint(np.clip(mapped, 0, 1) ** np.float32(_SDR_GAMMA) * 255).astype(np.uint8)
    return shown


@lru_cache(maxsize=4)
def _linear(curve: ColorTrc) -> npt.NDArray[np.float32]:
    """Return light for each 16-bit code value, 1.0 at paper white."""
    code = np.arange(65536, dtype=np.float64) / 65535
    if curve is ColorTrc.SMPTE2084:
        m1, m2, c1, c2, c3 = 1305 / 8192, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128
        power = code ** (1 / m2)
        light = 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) / _PAPER_WHITE_NITS
    elif curve is ColorTrc.ARIB_STD_B67:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = _PEAK_NITS * scene**1.2 / _PAPER_WHITE_NITS
    else:
        decades = 2.0 if curve is ColorTrc.LOG else 2.5
        light = np.where(code > 0, 10 ** (decades * (code - 1)), 0.0)
    return light.astype(np.float32)
