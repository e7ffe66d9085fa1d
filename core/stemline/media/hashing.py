"""The name of a sound: the hash that addresses it on the server."""

from __future__ import annotations

import hashlib

from stemline.media.samples import FloatBlock
from stemline.media.wave.pcm_f32 import bare_bytes


class MediaHasher:
    """SHA-256 of "{sample_rate}:{channels}:" and the samples, interleaved little-endian float32 (`Media.name`)."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._channels = channels
        self._sha = hashlib.sha256(f"{sample_rate}:{channels}:".encode())

    def update(self, block: FloatBlock) -> None:
        """Takes the next samples, [channels, n]."""
        if block.shape[0] != self._channels:
            raise ValueError(f"a block of {block.shape[0]} channels, expected {self._channels}")
        self.update_bare(bare_bytes(block))

    def update_bare(self, data: bytes | memoryview) -> None:
        """Takes the next samples as they are stored."""
        self._sha.update(data)

    def name(self) -> str:
        return f"media/{self._sha.hexdigest()}"
