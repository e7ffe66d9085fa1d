"""Cut the frames of a decoder to ranges."""

from __future__ import annotations

import numpy as np

from stemline.clips import SampleRange
from stemline.media.decode.frame_decoder import FrameDecoder
from stemline.media.decode.packets import Raw
from stemline.media.samples import FloatBlock, copy_numbers, scale_numbers


class RangeDecoder:
    """Any range of a stream as float32 [channels, n], straight from the decoder. Reading on needs no seek."""

    def __init__(self, decoder: FrameDecoder, sample_rate: int) -> None:
        """Take a decoder that no one else reads."""
        self._decoder = decoder
        self._near_samples = 2 * sample_rate
        self._frames = decoder.frames()
        self._pending: tuple[int, Raw] | None = None
        self._reached = decoder.next_sample

    @property
    def damage(self) -> list[SampleRange]:
        """The places read so far that do not decode."""
        return self._decoder.damage

    def close(self) -> None:
        """Close the decoder."""
        self._decoder.close()

    def exact_from(self, start_sample: int) -> bool:
        """Return whether a read from there is decoded in one go from the stream's first sample."""
        if self._starts_over(start_sample):
            return True
        return self._decoder.from_start and self._reads_on(start_sample)

    def read(self, start_sample: int, out: FloatBlock) -> None:
        """Fill `out` [channels, n] from `start_sample`, with zeros where the stream has no samples."""
        end = start_sample + out.shape[1]
        if not self._reads_on(start_sample):
            self._go(start_sample)
        filled = start_sample
        dtype: np.dtype[np.generic] | None = None
        scaled = start_sample
        while (frame := self._frame_before(end)) is not None:
            position, samples = frame
            stop = position + samples.shape[1]
            if stop > start_sample:
                first, last = max(position, start_sample), min(stop, end)
                if first > filled:
                    out[:, filled - start_sample : first - start_sample] = 0
                part = out[:, first - start_sample : last - start_sample]
                if dtype is not None and samples.dtype != dtype:  # joined recordings of different formats
                    scale_numbers(dtype, out[:, scaled - start_sample : filled - start_sample])
                    scaled = filled
                copy_numbers(samples[:, first - position : last - position], part)
                filled, dtype = last, samples.dtype
            if stop > end:
                self._reached = position
                break
            self._reached, self._pending = stop, None
        out[:, filled - start_sample :] = 0
        if dtype is not None:
            scale_numbers(dtype, out[:, scaled - start_sample :])

    def read_again(self, start_sample: int, out: FloatBlock) -> None:
        """Read as `read` does, after going back with a decoder in another state."""
        self._go(start_sample)
        self.read(start_sample, out)

    def _reads_on(self, sample: int) -> bool:
        return self._reached <= sample <= self._reached + self._near_samples

    def _starts_over(self, sample: int) -> bool:
        return not self._reads_on(sample) and sample <= self._decoder.first_sample + self._near_samples

    def _go(self, sample: int) -> None:
        if self._starts_over(sample):
            self._decoder.rewind()
        else:
            self._decoder.seek(sample)
        self._frames = self._decoder.frames()
        self._pending = None
        self._reached = self._decoder.next_sample

    def _frame_before(self, end_sample: int) -> tuple[int, Raw] | None:
        """Return the next frame if it begins before `end_sample`; it stays pending, as it may reach beyond."""
        if self._pending is None:
            self._pending = next(self._frames, None)
        if self._pending is None or self._pending[0] >= end_sample:
            self._reached = max(self._reached, end_sample)
            return None
        return self._pending
