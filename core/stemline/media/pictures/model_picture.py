"""Make the square pictures that the vision tower of SAM Audio takes, without torch.

The result has the bytes that the published preprocessing gives: `torch.nn.functional.interpolate(mode="bicubic",
antialias=True)` in float32, clamped and rounded to whole levels. A fast matrix product finds every level but those that
lie within its error of a half. These few are computed again in the order of operations of torch's kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from stemline.media.pictures.picture_track import PICTURE_SIZE, Picture

_BLOCK = 28
_DOUBT = 2e-3  # of a level: above the error of the matrix products, at most 3e-4 measured
_EXACT_AT_ONCE = 4096

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.intp]


def model_picture(pixels: Picture, mask: npt.NDArray[np.bool_] | None = None, *, size: int = PICTURE_SIZE) -> Picture:
    """Return a picture scaled to `size` x `size` pixels; its aspect is not preserved.

    Pixels outside the mask become black before the picture is scaled.

    Args:
        pixels: uint8 [height, width, 3], upright.
        mask: [height, width], true where the object is; None for all of the picture.
        size: Pixels on each side of the result.

    Returns:
        uint8 [size, size, 3].

    Raises:
        ValueError: The mask has another size than the picture.
    """
    if mask is not None:
        if mask.shape != pixels.shape[:2]:
            raise ValueError(f"a mask of {mask.shape} for a picture of {pixels.shape[:2]}")
        if not mask.any():
            return np.zeros((size, size, 3), np.uint8)
        pixels = np.where(mask[:, :, None], pixels, np.uint8(0))
    across, down = _taps(pixels.shape[1], size), _taps(pixels.shape[0], size)
    scaled = across.apply(np.ascontiguousarray(pixels.transpose(0, 2, 1), np.float32))  # [y, RGB, x]
    scaled = down.apply(np.ascontiguousarray(scaled.transpose(2, 1, 0)))  # [x, RGB, y]
    doubtful = np.nonzero(np.abs(scaled - np.floor(scaled) - np.float32(0.5)) < _DOUBT)
    for start in range(0, len(doubtful[0]), _EXACT_AT_ONCE):
        x, channel, y = (axis[start : start + _EXACT_AT_ONCE] for axis in doubtful)
        scaled[x, channel, y] = _exactly(pixels, across, down, (x, channel, y))
    levels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(2, 0, 1))


@dataclass(frozen=True, slots=True)
class _Taps:
    """The weights of one axis.

    Attributes:
        first: First value of each result, [results].
        weights: Their weights, zero past the last, [results, taps].
    """

    first: Places
    weights: Floats
    length: int

    def apply(self, values: Floats) -> Floats:
        """Scale the last axis, block by block: each block of results needs a short part of the values."""
        size, count = self.weights.shape
        if size == self.length:
            return values
        result = np.empty((*values.shape[:-1], size), np.float32)
        for start in range(0, size, _BLOCK):
            first, weights = self.first[start : start + _BLOCK], self.weights[start : start + _BLOCK]
            end = min(int(first[-1]) + count, self.length)
            matrix = np.zeros((end - first[0] + count, len(first)), np.float32)
            matrix[(first - first[0])[:, None] + np.arange(count), np.arange(len(first))[:, None]] = weights
            result[..., start : start + _BLOCK] = values[..., first[0] : end] @ matrix[: end - first[0]]
        return result

    def places(self, results: Places) -> Places:
        """Return the values of some results, [results, taps]; past the end the last one, whose weight is zero."""
        found: Places = np.minimum(self.first[results][:, None] + np.arange(self.weights.shape[1]), self.length - 1)
        return found


def _exactly(pixels: Picture, across: _Taps, down: _Taps, at: tuple[Places, Places, Places]) -> Floats:
    """Return single results, summed in the order of torch's kernel: along the rows first, tap by tap in float32."""
    x, channel, y = at
    rows = down.places(y)
    values = pixels[rows[:, :, None], across.places(x)[:, None, :], channel[:, None, None]]  # [results, rows, taps]
    along = np.zeros(rows.shape, np.float32)
    for tap in range(values.shape[2]):
        product = values[:, :, tap].astype(np.float64) * across.weights[x, tap][:, None]
        along = (along + product).astype(np.float32)  # one rounding, as a fused multiply-add has
    if across.weights.shape[0] == across.length:
        along = values[:, :, 0].astype(np.float32)
    if down.weights.shape[0] == down.length:
        return along[:, 0]
    total = np.zeros(len(x), np.float32)
    for tap in range(rows.shape[1]):
        total = total + along[:, tap] * down.weights[y, tap]
    return total


@lru_cache(maxsize=32)
def _taps(length: int, size: int) -> _Taps:
    """Return the weights that scale `length` values to `size`, with the roundings of float32."""
    if length == size:
        return _Taps(np.arange(size), np.ones((size, 1), np.float32), length)
    one = np.float32
    scale = one(length) / one(size)
    stretch = scale if scale >= 1 else one(1)
    support = one(2) * stretch
    center = (float(scale) * (np.arange(size) + 0.5)).astype(one)
    first = np.maximum((center - support + np.float64(0.5)).astype(np.intp), 0)
    end = np.minimum((center + support + np.float64(0.5)).astype(np.intp), length)
    places = np.arange(int((end - first).max()))
    offset = (first[:, None] + places).astype(one) - center[:, None]
    x = np.abs(((offset.astype(np.float64) + 0.5) * float(one(1) / stretch)).astype(one))
    weights = np.where(places < (end - first)[:, None], _cubic(x), one(0))
    total = np.zeros(size, one)
    for place in places:
        total = total + weights[:, place]
    return _Taps(first, (weights / total[:, None]).astype(one), length)


def _cubic(x: Floats) -> Floats:
    """Return the cubic kernel with the coefficient -0.5, for distances of at least 0, each step rounded once."""
    wide = x.astype(np.float64)
    near = (((1.5 * wide - 2.5).astype(np.float32) * x) * wide + 1).astype(np.float32)
    far = ((-0.5 * wide + 2.5).astype(np.float32) * wide - 4).astype(np.float32)
    far = (far * wide + 2).astype(np.float32)
    found: Floats = np.where(x < 1, near, np.where(x < 2, far, np.float32(0)))
    return found
