"""Views of the sound of a media: some of its channels, or their mean."""

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
        """Return the sample rate in Hz."""
        return self.source.sample_rate

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return len(self.chosen)

    @property
    def length_samples(self) -> int:
        """Return the length in samples."""
        return self.source.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [channels, samples]."""
        return self.source.read(start_sample, end_sample)[list(self.chosen)]


@dataclass(frozen=True)
class FoldDown:
    """The mean of all channels of a source, as one channel. A single channel stays bit for bit as it is."""

    source: AudioSource

    @property
    def sample_rate(self) -> int:
        """Return the sample rate in Hz."""
        return self.source.sample_rate

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return 1

    @property
    def length_samples(self) -> int:
        """Return the length in samples."""
        return self.source.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [channels, samples]."""
        return fold_down(self.source.read(start_sample, end_sample))


def fold_down(block: Waveform) -> Waveform:
    """Return the mean of [channels, n] as [1, n]."""
    return block if block.shape[0] == 1 else np.mean(block, axis=0, keepdims=True, dtype=np.float32)
