"""Sound as caches, the store and the wire hold it: interleaved little-endian float32 without a header."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from stemline.media.samples import FloatBlock

SAMPLE_BYTES = 4


class PcmFile(Protocol):
    """An open file of raw samples."""

    def seek(self, offset: int, /) -> int:
        """Go to a byte offset."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read into a buffer and return the number of bytes."""

    def close(self) -> None:
        """Close the file."""


def pcm_bytes(block: FloatBlock) -> memoryview:
    """Return a block [channels, n] as bytes, without a copy where it is interleaved already."""
    return np.ascontiguousarray(block.T, dtype="<f4").reshape(-1).view(np.uint8).data


def read_pcm(file: PcmFile, start_sample: int, channels: int, samples: int) -> FloatBlock | None:
    """Read a block [channels, samples] from `start_sample`; None where the file ends before that."""
    raw = np.empty((samples, channels), "<f4")
    file.seek(start_sample * channels * SAMPLE_BYTES)
    view = raw.reshape(-1).view(np.uint8).data
    while view:
        size = file.readinto(view)
        if not size:
            return None
        view = view[size:]
    return raw.T.astype(np.float32, copy=False)


class MediaHasher:
    """The name of a sound on the server (`Media.name`).

    It is the SHA-256 of "{sample_rate}:{channels}:" and the samples as interleaved little-endian float32.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        """Start with no samples."""
        self._channels = channels
        self._sha = hashlib.sha256(f"{sample_rate}:{channels}:".encode())

    def update(self, block: FloatBlock) -> None:
        """Add the next samples, [channels, n]."""
        if block.shape[0] != self._channels:
            raise ValueError(f"a block of {block.shape[0]} channels, expected {self._channels}")
        self.update_pcm(pcm_bytes(block))

    def update_pcm(self, data: bytes | memoryview) -> None:
        """Add the next samples as bytes."""
        self._sha.update(data)

    def name(self) -> str:
        """Return the name of the samples so far."""
        return f"media/{self._sha.hexdigest()}"
