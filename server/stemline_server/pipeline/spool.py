"""Sound that waits on disk for the other channels."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Self

import numpy as np

from stemline.media import SAMPLE_BYTES
from stemline_server.engines.base import Waveform


class Spool:
    """A first-in first-out queue of blocks [*shape, n], in a file without a name that goes when the process does."""

    def __init__(self, shape: tuple[int, ...], folder: Path | None) -> None:
        """Make an empty queue with its file in `folder`. Raises OSError."""
        self._shape = shape
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._read_bytes = 0

    def __enter__(self) -> Self:
        """Return the queue."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the file."""
        self._file.close()

    def write(self, block: Waveform) -> None:
        """Append a block. Raises OSError where the disk is full."""
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(np.moveaxis(block, -1, 0), np.float32).tobytes())

    def read(self, samples: int) -> Waveform:
        """Return the next `samples` samples: [*shape, samples]."""
        self._file.seek(self._read_bytes)
        data = self._file.read(samples * math.prod(self._shape) * SAMPLE_BYTES)
        self._read_bytes += len(data)
        return np.moveaxis(np.frombuffer(data, np.float32).reshape(samples, *self._shape), 0, -1)
