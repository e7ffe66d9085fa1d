"""Convert samples from decoders to float32 and from float32 to what files hold."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatBlock = npt.NDArray[np.float32]

_FULL_SCALE_24 = np.float32(2**23)
_UNIT_24 = np.float32(2**-23)
_UNIT = {np.uint8: 2.0**-7, np.int16: 2.0**-15, np.int32: 2.0**-31, np.int64: 2.0**-63}


class BeyondFullScaleError(ValueError):
    """A sample that integers cannot hold without clipping."""


class SampleFormat(StrEnum):
    """Format of a stem file: 24-bit PCM or 32-bit float in Broadcast WAVE, or 24-bit FLAC."""

    WAV24 = "wav24"
    WAV32F = "wav32f"
    FLAC = "flac"

    @property
    def is_float(self) -> bool:
        """Whether samples beyond full scale can be written."""
        return self is SampleFormat.WAV32F

    @property
    def suffix(self) -> str:
        """Suffix of the file's name, with its dot."""
        return ".flac" if self is SampleFormat.FLAC else ".wav"


def interleaved(channels: int, samples: int) -> FloatBlock:
    """Return an empty block [channels, samples] that is interleaved in memory.

    Most files are interleaved, so that reading and writing need no transposition.
    """
    block: FloatBlock = np.empty((samples, channels), np.float32).T
    return block


def quantise(block: FloatBlock, sample_format: SampleFormat) -> FloatBlock:
    """Return `block` on the grid of the file: multiples of 2^-23 for 24 bits (exact in float32), unchanged for float.

    Samples beyond full scale are not clipped.
    """
    if sample_format.is_float:
        return block
    grid: FloatBlock = block * _FULL_SCALE_24
    np.rint(grid, out=grid)
    grid *= _UNIT_24
    return grid


def to_int24(block: FloatBlock) -> npt.NDArray[np.int32]:
    """Convert floats [channels, n] to interleaved 24-bit integers [n, channels].

    Raises:
        BeyondFullScaleError: A sample is beyond full scale, or not a number.
    """
    scaled = block.T * _FULL_SCALE_24
    np.rint(scaled, out=scaled)
    if scaled.size and not (scaled.min() >= -_FULL_SCALE_24 and scaled.max() < _FULL_SCALE_24):
        raise BeyondFullScaleError("samples beyond full scale do not fit 24-bit audio; write 32-bit float")
    return scaled.astype(np.int32, order="C")


def pack_int24(samples: npt.NDArray[np.int32]) -> memoryview:
    """Return interleaved 24-bit integers as little-endian bytes, three for each."""
    little = np.ascontiguousarray(samples, dtype="<i4").view(np.uint8).reshape(-1, 4)
    packed = np.empty((len(little), 3), np.uint8)
    for place in range(3):  # column by column: several times faster than one copy of three
        packed[:, place] = little[:, place]
    return packed.reshape(-1).data


def copy_numbers(raw: npt.NDArray[np.generic], out: FloatBlock) -> None:
    """Copy decoded samples [channels, n] into `out` without scaling, with silence at zero.

    Integers of 16 and 24 bits stay exact.
    """
    if raw.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a 64-bit number beyond float32 becomes infinite, and counts as that
            out[...] = raw
    else:
        out[...] = raw
        if raw.dtype == np.uint8:
            out -= np.float32(128)


def scale_numbers(dtype: np.dtype[np.generic], out: FloatBlock) -> None:
    """Scale numbers copied from samples of `dtype` to full scale 1.0, in place."""
    unit = _UNIT.get(dtype.type)
    if unit is not None:
        out *= np.float32(unit)


def zero_nonfinite(block: FloatBlock) -> int:
    """Set NaN and infinite samples of `block` to zero, in place, and return how many there were."""
    bad = ~np.isfinite(block)
    count = int(np.count_nonzero(bad))
    if count:
        block[bad] = 0.0
    return count
