"""Waveform overviews of long sound in constant memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

MAX_COLUMNS = 1 << 16

Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Peaks:
    """The smallest and largest sample of each column of a waveform, over all channels.

    `low` and `high` have one value for each column. Column i holds samples [start + i * step, start + (i + 1) * step).
    """

    start_sample: int
    step: int
    low: Levels
    high: Levels

    def reduced(self, columns: int) -> Peaks:
        """Return the same peaks in at most `columns` columns, each a whole number of the present ones."""
        group = -(-len(self.low) // max(1, columns))
        if group <= 1:
            return self
        edges = np.arange(0, len(self.low), group)
        low, high = np.minimum.reduceat(self.low, edges), np.maximum.reduceat(self.high, edges)
        return Peaks(self.start_sample, self.step * group, low, high)


def peaks_of(block: FloatBlock, start_sample: int, columns: int) -> Peaks:
    """Return the peaks of a block [channels, n] that begins at `start_sample`, in at most `columns` columns."""
    length = block.shape[1]
    if not length:
        return Peaks(start_sample, 1, np.zeros(0, np.float32), np.zeros(0, np.float32))
    step = -(-length // max(1, columns))
    edges = np.arange(0, length, step)
    low = np.minimum.reduceat(block, edges, axis=1).min(axis=0)
    high = np.maximum.reduceat(block, edges, axis=1).max(axis=0)
    return Peaks(start_sample, step, low, high)


class Overview:
    """Peaks of a range of `length` samples from `start_sample`, filled block by block while it is decoded.

    An overview has at most 65536 columns, half a megabyte, whatever the length.
    """

    def __init__(self, start_sample: int, length: int) -> None:
        """Start an empty overview."""
        self.start_sample, self.length = start_sample, length
        self.step = max(1, -(-length // MAX_COLUMNS))
        columns = max(1, -(-length // self.step))
        self._low = np.zeros(columns, np.float32)
        self._high = np.zeros(columns, np.float32)
        self.filled_samples = 0

    @property
    def complete(self) -> bool:
        """Whether the whole range is filled."""
        return self.filled_samples >= self.length

    def add(self, block: FloatBlock) -> None:
        """Add the next samples [channels, n]."""
        at = 0
        while at < block.shape[1]:
            column, into = divmod(self.filled_samples, self.step)
            if into:  # the previous block filled this column in part
                part = block[:, at : at + self.step - into]
                self._low[column] = min(float(self._low[column]), float(part.min()))
                self._high[column] = max(float(self._high[column]), float(part.max()))
            else:
                part = block[:, at:]
                found = -(-part.shape[1] // self.step)
                edges = np.arange(0, part.shape[1], self.step)
                self._low[column : column + found] = np.minimum.reduceat(part, edges, axis=1).min(axis=0)
                self._high[column : column + found] = np.maximum.reduceat(part, edges, axis=1).max(axis=0)
            at += part.shape[1]
            self.filled_samples += part.shape[1]

    def peaks(self, start_sample: int, end_sample: int, columns: int) -> Peaks:
        """Return the peaks of a range as far as it is filled, in at most `columns` columns."""
        first = max(0, (start_sample - self.start_sample) // self.step)
        known = -(-self.filled_samples // self.step)
        last = max(first, min(known, -(-(end_sample - self.start_sample) // self.step)))
        whole = Peaks(
            self.start_sample + first * self.step,
            self.step,
            self._low[first:last].copy(),
            self._high[first:last].copy(),
        )
        return whole.reduced(columns)
