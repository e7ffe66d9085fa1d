"""Pictures of a long sound in memory that does not grow with it: the smallest and largest sample of each column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline.media.samples import FloatBlock

MAX_COLUMNS = 1 << 16

Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Peaks:
    """`low` and `high` [n]: the smallest and largest sample of each column, over all channels.

    Column i holds samples [start + i * step, start + (i + 1) * step).
    """

    start_sample: int
    step: int
    low: Levels
    high: Levels

    def reduced(self, columns: int) -> Peaks:
        """The same in no more than `columns` columns, each holding a whole number of the old ones."""
        group = -(-len(self.low) // max(1, columns))
        if group <= 1:
            return self
        edges = np.arange(0, len(self.low), group)
        low, high = np.minimum.reduceat(self.low, edges), np.maximum.reduceat(self.high, edges)
        return Peaks(self.start_sample, self.step * group, low, high)


def peaks_of(block: FloatBlock, start_sample: int, columns: int) -> Peaks:
    """The peaks of a block [channels, n] that begins at `start_sample`, in no more than `columns` columns."""
    length = block.shape[1]
    if not length:
        return Peaks(start_sample, 1, np.zeros(0, np.float32), np.zeros(0, np.float32))
    step = -(-length // max(1, columns))
    edges = np.arange(0, length, step)
    low = np.minimum.reduceat(block, edges, axis=1).min(axis=0)
    high = np.maximum.reduceat(block, edges, axis=1).max(axis=0)
    return Peaks(start_sample, step, low, high)


class Overview:
    """Peaks of a range of `length` samples from `start_sample` on, filled block by block while it is decoded.

    At most 65536 columns, whatever the length: half a megabyte for a minute and for a day.
    """

    def __init__(self, start_sample: int, length: int) -> None:
        self.start_sample, self.length = start_sample, length
        self.step = max(1, -(-length // MAX_COLUMNS))
        columns = max(1, -(-length // self.step))
        self._low = np.zeros(columns, np.float32)
        self._high = np.zeros(columns, np.float32)
        self.filled_samples = 0

    @property
    def complete(self) -> bool:
        return self.filled_samples >= self.length

    def add(self, block: FloatBlock) -> None:
        """The next samples [channels, n] after those added before."""
        at = 0
        while at < block.shape[1]:
            column, into = divmod(self.filled_samples, self.step)
            if into:  # a column that the block before left half full
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
        """What is known of a range so far, in no more than `columns` columns."""
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
