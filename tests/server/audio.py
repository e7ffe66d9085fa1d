"""Sound sources, sinks and controls for tests of engines and of the pipeline."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stemline.errors import Cancelled
from stemline_server.engines.base import Finding, Waveform


@dataclass
class ArraySource:
    """Sound in memory, [channels, samples]."""

    samples: Waveform
    sample_rate: int

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def length_samples(self) -> int:
        return int(self.samples.shape[1])

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        assert 0 <= start_sample <= end_sample <= self.length_samples
        return self.samples[:, start_sample:end_sample].copy()


@dataclass
class Collect:
    """A sink that keeps what it is given."""

    blocks: list[Waveform] = field(default_factory=list)

    def write(self, block: Waveform) -> None:
        assert block.dtype == np.float32
        assert block.ndim == 2
        self.blocks.append(np.array(block))

    def audio(self) -> Waveform:
        return np.concatenate(self.blocks, axis=1)


@dataclass
class Recorder:
    """A control that records all calls, and cancels at a given step."""

    cancel_at_step: int = 0
    steps: list[tuple[int, int]] = field(default_factory=list)
    warnings: list[tuple[int, str, str]] = field(default_factory=list)
    findings: dict[int, Finding] = field(default_factory=dict)

    def step(self, done: int, total: int) -> None:
        self.steps.append((done, total))
        if self.cancel_at_step and len(self.steps) >= self.cancel_at_step:
            raise Cancelled

    def warn(self, prompt: int, code: str, message: str) -> None:
        self.warnings.append((prompt, code, message))

    def find(self, prompt: int, finding: Finding) -> None:
        self.findings[prompt] = finding
