# SPDX-License-Identifier: GPL-3.0-or-later
"""The sound of a stem that is being separated, in a temporary file that is read while it is written."""

from __future__ import annotations

import tempfile
import threading

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange
from stemline.errors import OutputError
from stemline.paths import cache_dir

_SAMPLE_BYTES = 4


class LiveSound:
    """The sound of one stem over a range of its media. Parts that have not arrived are silent.

    Safe to use from several threads. Memory holds only the block that is written or read.
    """

    def __init__(self, span: SampleRange) -> None:
        """Create the file, which the system deletes when it is closed. Raises OutputError."""
        self._span = span
        self._lock = threading.Lock()
        self._channels = 0
        try:
            folder = cache_dir() / "panel" / "live"
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - `close` closes it
        except OSError as error:
            raise OutputError(f"The sound of a run cannot be written: {error}.", advice="Free some space.") from error

    @property
    def span(self) -> SampleRange:
        """The range of the media that it covers, in samples."""
        return self._span

    def write(self, start_sample: int, samples: npt.NDArray[np.float32]) -> bool:
        """Take a block [channels, n] at its place in the media. Return False if there is no room for it."""
        part = SampleRange(start_sample, start_sample + samples.shape[1]).intersect(self._span)
        if part.length <= 0:
            return True
        own = samples[:, part.start_sample - start_sample : part.end_sample - start_sample]
        data = memoryview(own.T.tobytes())
        with self._lock:
            self._channels = self._channels or own.shape[0]
            if self._file.closed or own.shape[0] != self._channels:
                return False
            try:
                self._file.seek((part.start_sample - self._span.start_sample) * self._channels * _SAMPLE_BYTES)
                while data:
                    data = data[self._file.write(data) or 0 :]
            except OSError:
                return False
        return True

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """Return samples [start, end) of the media as float32 [channels, n]."""
        with self._lock:
            sound = np.zeros((end_sample - start_sample, self._channels or 1), np.float32)
            part = SampleRange(start_sample, end_sample).intersect(self._span)
            if part.length > 0 and self._channels and not self._file.closed:
                frame = self._channels * _SAMPLE_BYTES
                self._file.seek((part.start_sample - self._span.start_sample) * frame)
                data = self._file.read(part.length * frame) or b""
                found = np.frombuffer(data[: len(data) // frame * frame], np.float32).reshape(-1, self._channels)
                first = part.start_sample - start_sample
                sound[first : first + len(found)] = found
        return sound.T

    def close(self) -> None:
        """Delete the file. From then on all of it is silent."""
        with self._lock:
            self._file.close()
