"""A finished job's sound, seen from the media it was taken from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stemline.client import Client, Job, MediaReader
from stemline.clips import SampleRange


class Target:
    """Reads a stem in samples of its media; outside the extent there is silence."""

    def __init__(self, reader: MediaReader, extent: SampleRange) -> None:
        self._reader = reader
        self._extent = extent

    @staticmethod
    def of(client: Client, job: Job | None, extent: SampleRange) -> Target | None:
        """None where no job was needed: the stem is silent."""
        return Target(client.open_media(job.stem.media), extent) if job and job.stem else None

    def read(self, start_sample: int, end_sample: int) -> npt.NDArray[np.float32]:
        """float32 [channels, end-start]."""
        wanted = SampleRange(start_sample, end_sample)
        inside = wanted.intersect(self._extent)
        base = self._extent.start_sample
        if inside == wanted:
            return self._reader.read(start_sample - base, end_sample - base)
        block = np.zeros((self._reader.channels, wanted.length), np.float32)
        if inside.length:
            at = inside.start_sample - start_sample
            held = self._reader.read(inside.start_sample - base, inside.end_sample - base)
            block[:, at : at + inside.length] = held
        return block

    def close(self) -> None:
        self._reader.close()
