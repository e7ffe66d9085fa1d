"""Audio in memory as an `AudioSource`."""

from __future__ import annotations

from dataclasses import dataclass

from stemline_server.engines.base import Waveform


@dataclass(frozen=True, slots=True)
class ArraySource:
    """Provide samples in memory, [1, samples] at 48 kHz."""

    samples: Waveform

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return 48_000

    @property
    def channels(self) -> int:
        """Number of channels."""
        return 1

    @property
    def length_samples(self) -> int:
        """Length in samples."""
        return int(self.samples.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """Return samples [start_sample, end_sample) as [1, samples]."""
        return self.samples[:, start_sample:end_sample]
