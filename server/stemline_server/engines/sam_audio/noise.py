"""Gaussian noise that depends only on the seed and the position in the media.

Philox4x64-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011) counts over (frame, block of four
words, candidate) with the seed as its key. Pairs of 32-bit words become pairs of normal numbers (Box and Muller, "A
Note on the Generation of Random Normal Deviates", 1958). A frame of a media therefore has the same noise in every cut,
in every batch and on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_WORDS_PER_BLOCK = 4
_SEED_LIMIT = 1 << 64


def frame_noise(
    seed: int, start_frame: int, frames: int, channels: int, *, candidate: int = 0
) -> npt.NDArray[np.float32]:
    """Return standard normal noise [frames, channels].

    Args:
        seed: Seed of the request.
        start_frame: First latent frame in the media.
        frames: Number of frames.
        channels: Number of latent channels.
        candidate: Number of the candidate; each has its own noise.
    """
    blocks = -(-channels // (2 * _WORDS_PER_BLOCK))
    first = (start_frame * blocks) % _SEED_LIMIT
    generator = np.random.Philox(key=seed % _SEED_LIMIT, counter=np.array([first, 0, candidate, 0], dtype=np.uint64))
    words = np.asarray(generator.random_raw(frames * blocks * _WORDS_PER_BLOCK), dtype=np.uint64)
    high = (words >> np.uint64(32)).astype(np.float64)
    low = (words & np.uint64(0xFFFFFFFF)).astype(np.float64)
    radius = np.sqrt(-2 * np.log((high + 0.5) / 2**32))
    angle = 2 * np.pi * (low / 2**32)
    normals = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1)
    return normals.reshape(frames, blocks * 2 * _WORDS_PER_BLOCK)[:, :channels].astype(np.float32)
