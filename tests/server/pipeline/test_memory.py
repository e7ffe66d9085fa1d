"""What is held in memory must not depend on how long the media is."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from server.audio import Recorder
from stemline_server.engines.base import EngineInfo, EnginePrompt, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.pipeline import PipelineTask, separate

RATE = 44_100


class Synthetic:
    """Noise that is made where it is read. The second channel correlates with the first by `link`."""

    sample_rate = RATE
    channels = 2

    def __init__(self, length_samples: int, link: float) -> None:
        self.length_samples = length_samples
        noise = np.random.default_rng(0).standard_normal((2, RATE)).astype(np.float32) * np.float32(0.1)
        noise[1] = link * noise[0] + (1 - link) * noise[1]
        self._noise = noise

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self._noise[:, np.arange(start_sample, end_sample) % RATE]


class HalfAt48k(NoopEngine):
    """The no-op engine as one that takes a single channel at 48 kHz."""

    info = EngineInfo(id="half", title="Half", revision="1", sample_rate=48_000)


class Count:
    """A sink that keeps nothing."""

    samples = 0

    def write(self, block: Waveform) -> None:
        self.samples += block.shape[1]


@pytest.mark.parametrize("link", [0.9, 0.0], ids=["linked", "on their own"])
def test_memory_does_not_grow_with_length(link: float) -> None:
    peaks = []
    separate(PipelineTask(Synthetic(RATE, link), (EnginePrompt("x"),)), HalfAt48k(), Recorder(), [Count()])
    for seconds in (8, 32):
        sink = Count()
        tracemalloc.start()
        separate(PipelineTask(Synthetic(seconds * RATE, link), (EnginePrompt("x"),)), HalfAt48k(), Recorder(), [sink])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sink.samples == seconds * RATE
    assert peaks[1] < 1.1 * peaks[0] + 1e6
