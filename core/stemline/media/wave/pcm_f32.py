"""Raw sound as caches, the server's store and the wire hold it: interleaved little-endian float32 without a header."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from stemline.media.samples import FloatBlock

SAMPLE_BYTES = 4


class PcmFile(Protocol):
    """What is asked of an open file of bare sound."""

    def seek(self, offset: int, /) -> int: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...

    def close(self) -> None: ...


def pcm_bytes(block: FloatBlock) -> memoryview:
    """[channels, n] as bytes; without a copy where the block already lies in memory like that."""
    return np.ascontiguousarray(block.T, dtype="<f4").reshape(-1).view(np.uint8).data


def read_pcm(file: PcmFile, start_sample: int, channels: int, samples: int) -> FloatBlock | None:
    """[channels, samples] from `start_sample` of the file on; None where the file ends before that."""
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
    """SHA-256 of "{sample_rate}:{channels}:" and the samples, interleaved little-endian float32 (`Media.name`)."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._channels = channels
        self._sha = hashlib.sha256(f"{sample_rate}:{channels}:".encode())

    def update(self, block: FloatBlock) -> None:
        """Takes the next samples, [channels, n]."""
        if block.shape[0] != self._channels:
            raise ValueError(f"a block of {block.shape[0]} channels, expected {self._channels}")
        self.update_pcm(pcm_bytes(block))

    def update_pcm(self, data: bytes | memoryview) -> None:
        """Takes the next samples as they are stored."""
        self._sha.update(data)

    def name(self) -> str:
        return f"media/{self._sha.hexdigest()}"
