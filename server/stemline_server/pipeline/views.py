"""Ways to look at the sound of some media: some of its channels, or their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stemline_server.engines.base import AudioSource, Waveform


@dataclass(frozen=True)
class ChannelView:
    """Some channels of a source, in the order given."""

    source: AudioSource
    chosen: tuple[int, ...]

    @property
    def sample_rate(self) -> int:
        return self.source.sample_rate

    @property
    def channels(self) -> int:
        return len(self.chosen)

    @property
    def length_samples(self) -> int:
        return self.source.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self.source.read(start_sample, end_sample)[list(self.chosen)]


@dataclass(frozen=True)
class FoldDown:
    """The mean of all channels of a source, as one channel. One channel stays bit for bit what it is."""

    source: AudioSource

    @property
    def sample_rate(self) -> int:
        return self.source.sample_rate

    @property
    def channels(self) -> int:
        return 1

    @property
    def length_samples(self) -> int:
        return self.source.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return fold_down(self.source.read(start_sample, end_sample))


def fold_down(block: Waveform) -> Waveform:
    """[channels, n] to [1, n]: the mean."""
    return block if block.shape[0] == 1 else np.mean(block, axis=0, keepdims=True, dtype=np.float32)
