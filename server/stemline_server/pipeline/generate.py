"""Runs a generator: adapts what it reads to its rate and channels, and checks what it makes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemline.errors import SeparationError
from stemline_server.engines.base import AudioSource, Control, Waveform
from stemline_server.generators.base import GenerateControl, GenerateRequest, Generator, GeneratorInfo
from stemline_server.pipeline.resample import ResampledSource, Resampler
from stemline_server.pipeline.task import GENERATORS, Models, Sink
from stemline_server.pipeline.views import FoldDown

GENERATION_VERSION = 1
"""Version of everything around a generator; part of the keys of its results."""


def generate(request: GenerateRequest, generator: Generator, control: GenerateControl, sink: Sink) -> None:
    """Write the sound of a request to `sink`. The generator is loaded and has checked the request.

    Raises:
        Cancelled: `control.step` raised it.
        SeparationError: The generator failed, or its result has the wrong shape, values that are not numbers, or is too
            short.
    """
    channels = generator.info.channels
    missing = request.length_samples
    for block in generator.generate(request, control):
        if block.ndim != 2 or block.shape[0] != channels:
            raise _broken(f"The generator gave a block of shape {block.shape} for {channels} channels.")
        if not np.all(np.isfinite(block)):
            raise _broken("The generator's output has values that are not numbers.")
        used = block[:, :missing]
        missing -= used.shape[1]
        if used.shape[1]:
            sink.write(used)
    if missing:
        raise _broken(f"The generator ended {missing} of {request.length_samples} samples too early.")


@dataclass(frozen=True, slots=True)
class Generation:
    """A request, and the id of the generator that serves it, as work for the process of the models.

    Attributes:
        generator: Id of the generator.
        request: What it is to make.
        audio: The sounds of the server that the request reads.
    """

    generator: str
    request: GenerateRequest
    audio: tuple[AudioSource, ...] = ()

    def run(self, models: Models, control: Control, sinks: Sequence[Sink]) -> float:
        """Write the sound to the first sink, and return how many seconds that took. Raises as `generate`."""
        generator = models.use(GENERATORS + self.generator)
        started_s = time.monotonic()
        generate(self.request, generator, _OneResult(control), sinks[0])
        return time.monotonic() - started_s


@dataclass(frozen=True, slots=True)
class _OneResult:
    """The control of a generation, which has one result."""

    control: Control

    def step(self, done: int, total: int) -> None:
        """Report progress. Raises Cancelled."""
        self.control.step(done, total)

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the result."""
        self.control.warn(0, code, message)


def fitted(source: AudioSource, info: GeneratorInfo, start_sample: int = 0) -> AudioSource:
    """Return a source from `start_sample` on, at the rate and with the channels of a generator."""
    if start_sample:
        source = _From(source, start_sample)
    if source.sample_rate != info.sample_rate:
        source = ResampledSource(source, Resampler(source.sample_rate, info.sample_rate))
    if source.channels != info.channels:
        source = _Repeated(FoldDown(source), info.channels)
    return source


@dataclass(frozen=True)
class _From:
    """A source without its first samples."""

    source: AudioSource
    start_sample: int

    @property
    def sample_rate(self) -> int:
        return self.source.sample_rate

    @property
    def channels(self) -> int:
        return self.source.channels

    @property
    def length_samples(self) -> int:
        return self.source.length_samples - self.start_sample

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return self.source.read(self.start_sample + start_sample, self.start_sample + end_sample)


@dataclass(frozen=True)
class _Repeated:
    """One channel as several equal ones."""

    source: AudioSource
    channels: int

    @property
    def sample_rate(self) -> int:
        return self.source.sample_rate

    @property
    def length_samples(self) -> int:
        return self.source.length_samples

    def read(self, start_sample: int, end_sample: int) -> Waveform:
        return np.repeat(self.source.read(start_sample, end_sample), self.channels, axis=0)


def _broken(message: str) -> SeparationError:
    return SeparationError(message, advice="Run it again. If the error comes back, report it with the words.")
