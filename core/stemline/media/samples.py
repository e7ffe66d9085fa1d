"""Sample formats: from what decoders give to float32, and from float32 to what files hold."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatBlock = npt.NDArray[np.float32]

_FULL_SCALE_24 = np.float32(2**23)
_UNIT = {np.uint8: 2.0**-7, np.int16: 2.0**-15, np.int32: 2.0**-31, np.int64: 2.0**-63}


class SampleFormat(StrEnum):
    """What a stem file holds: 24-bit PCM, 32-bit float (both BWF), or 24-bit FLAC."""

    WAV24 = "wav24"
    WAV32F = "wav32f"
    FLAC = "flac"

    @property
    def is_float(self) -> bool:
        return self is SampleFormat.WAV32F

    @property
    def suffix(self) -> str:
        return ".flac" if self is SampleFormat.FLAC else ".wav"


def quantise(block: FloatBlock, sample_format: SampleFormat) -> FloatBlock:
    """`block` on the grid of the file: multiples of 2^-23 for 24 bits (exact in float32), unchanged for float.

    Never clips: samples beyond full scale stay beyond it (see `fits`).
    """
    if sample_format.is_float:
        return block
    grid: FloatBlock = np.rint(block * _FULL_SCALE_24) / _FULL_SCALE_24
    return grid


def fits(block: FloatBlock, sample_format: SampleFormat) -> bool:
    """Whether every sample, once quantised, can be held by the file without clipping; NaN never fits 24 bits."""
    if sample_format.is_float or block.size == 0:
        return True
    scaled = np.rint(np.array([block.min(), block.max()]) * _FULL_SCALE_24)
    return bool(scaled[0] >= -_FULL_SCALE_24 and scaled[1] < _FULL_SCALE_24)


def to_int24(block: FloatBlock) -> npt.NDArray[np.int32]:
    """[channels, n] floats as interleaved 24-bit integers [n, channels]. Raises ValueError beyond full scale."""
    if not fits(block, SampleFormat.WAV24):
        raise ValueError("samples beyond full scale do not fit 24-bit audio; write 32-bit float")
    integers = np.empty(block.shape[::-1], np.int32)
    for channel, samples in enumerate(block):
        scaled = samples * _FULL_SCALE_24
        integers[:, channel] = np.rint(scaled, out=scaled)
    return integers


def pack_int24(samples: npt.NDArray[np.int32]) -> memoryview:
    """Interleaved 24-bit integers as little-endian bytes, three each."""
    little = np.ascontiguousarray(samples, dtype="<i4").view(np.uint8).reshape(-1, 4)
    packed = np.empty((len(little), 3), np.uint8)
    for place in range(3):  # column by column: several times faster than one copy of three
        packed[:, place] = little[:, place]
    return packed.reshape(-1).data


def pack_float32(block: FloatBlock) -> memoryview:
    """[channels, n] as interleaved little-endian float32 bytes."""
    return np.ascontiguousarray(block.T, dtype="<f4").reshape(-1).view(np.uint8).data


def copy_numbers(raw: npt.NDArray[np.generic], out: FloatBlock) -> None:
    """Writes decoded samples [channels, n] into `out` as they are, silence being zero. 16 and 24 bits stay exact."""
    if raw.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a 64-bit number beyond float32 becomes infinite, and counts as that
            out[...] = raw
    else:
        out[...] = raw
        if raw.dtype == np.uint8:
            out -= np.float32(128)


def scale_numbers(dtype: np.dtype[np.generic], out: FloatBlock) -> None:
    """Brings numbers copied from samples of `dtype` to full scale 1.0, in place."""
    unit = _UNIT.get(dtype.type)
    if unit is not None:
        out *= np.float32(unit)


def zero_nonfinite(block: FloatBlock) -> int:
    """Sets NaN and infinite samples of `block` to zero, in place; gives their number."""
    bad = ~np.isfinite(block)
    count = int(np.count_nonzero(bad))
    if count:
        block[bad] = 0.0
    return count
