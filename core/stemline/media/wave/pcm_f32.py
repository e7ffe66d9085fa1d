"""Bare sound, as caches, the server's store and the wire hold it: interleaved little-endian float32, no header."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from stemline.media.samples import FloatBlock

SAMPLE_BYTES = 4


class BareFile(Protocol):
    """What is asked of an open file of bare sound."""

    def seek(self, offset: int, /) -> int: ...

    def readinto(self, buffer: memoryview, /) -> int | None: ...

    def close(self) -> None: ...


def bare_bytes(block: FloatBlock) -> memoryview:
    """[channels, n] as bytes; without a copy where the block already lies in memory like that."""
    return np.ascontiguousarray(block.T, dtype="<f4").reshape(-1).view(np.uint8).data


def read_bare(file: BareFile, start_sample: int, channels: int, samples: int) -> FloatBlock | None:
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
