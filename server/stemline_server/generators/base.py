"""Define the contract between the server and a generator, which makes sound from words.

A generator takes words, a length and a seed and returns one waveform. It does not know jobs, files or timelines: the
server decodes and resamples what it reads, and writes what it makes.

To add a generator, write a class with the members of `Generator` and register it in your package's metadata. The name
of the entry point must be the generator's id::

    [project.entry-points."stemline.generators"]
    rain = "my_package:RainGenerator"

Ids that end in `.VARIANT` select one of several models: a static method `variants()` of the class lists them, and the
server then calls the class with the variant as its only argument.

Examples:
    A complete generator, of noise at any length up to a minute:

    >>> class RainGenerator:
    ...     info = GeneratorInfo(id="rain", title="Rain", revision="rain-1", sample_rate=48_000, channels=2, max_s=60)
    ...
    ...     def availability(self) -> str:
    ...         return ""
    ...
    ...     def check(self, request: GenerateRequest) -> None:
    ...         pass
    ...
    ...     def load(self, device: str) -> None:
    ...         pass
    ...
    ...     def unload(self) -> None:
    ...         pass
    ...
    ...     def generate(self, request: GenerateRequest, control: GenerateControl) -> Iterator[Waveform]:
    ...         random = np.random.Generator(np.random.Philox(request.seed))
    ...         for start in range(0, request.length_samples, 48_000):
    ...             control.step(start, request.length_samples)
    ...             samples = min(48_000, request.length_samples - start)
    ...             yield 0.1 * random.standard_normal((2, samples), np.float32)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from stemline.clips import SampleRange
from stemline_server.engines.base import AudioSource, Waveform

__all__ = ["AudioSource", "GenerateControl", "GenerateRequest", "Generator", "GeneratorInfo", "Waveform", "np"]

Commercial = Literal["yes", "limited", "no"]


@dataclass(frozen=True, slots=True)
class GeneratorInfo:
    """Describe a generator.

    Attributes:
        id: Name by which the generator is chosen; equals the name of its entry point.
        title: Name for users.
        revision: Changes whenever the same request could give another result. Include the version of the code and a
            digest of the weights.
        sample_rate: Sample rate of its sounds in Hz.
        channels: Channels of its sounds.
        min_s: Shortest sound in seconds.
        max_s: Longest sound in seconds. The client joins several to a longer one.
        fills: True if it can fill holes in a sound.
        varies: True if it can vary a sound.
        licence: Licences of the code and the weights.
        commercial: Whether its sounds may be used commercially: "yes", "limited" (by terms that `licence` names) or
            "no".
        marks: How its sounds are marked as generated, such as the name of a watermark; empty for no mark.
        note: A sentence for users, shown with the title.
    """

    id: str
    title: str
    revision: str
    sample_rate: int
    channels: int
    max_s: float
    min_s: float = 0.0
    fills: bool = False
    varies: bool = False
    licence: str = ""
    commercial: Commercial = "no"
    marks: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """Collect everything a generator needs to make one sound. Sounds and lengths are at the rate of the generator.

    Attributes:
        text: Words for the sound.
        length_samples: Length of the result.
        seed: Seed of random numbers. The same request with the same seed gives the same result.
        negative: Words for what must not be heard; empty for none.
        quality: "fast", "standard" or "best".
        scratch: Private folder that exists as long as the job, also after the server was killed. None if there is no
            such folder.
        context: Sound at the start of the result, with the channels of the generator; only for a generator that fills.
        holes: Ranges of the result that are to be made. The rest sounds like the context.
        reference: Sound to vary, with the channels of the generator; only for a generator that varies.
        strength: Distance from the reference: 0 is the reference, 1 is free.
    """

    text: str
    length_samples: int
    seed: int = 0
    negative: str = ""
    quality: str = "standard"
    scratch: Path | None = None
    context: AudioSource | None = None
    holes: tuple[SampleRange, ...] = ()
    reference: AudioSource | None = None
    strength: float = 1.0


class GenerateControl(Protocol):
    """Receive progress and warnings from a running generator, in the thread that iterates over `generate`."""

    def step(self, done: int, total: int) -> None:
        """Report progress in any unit. Call this at every network evaluation.

        Raises:
            Cancelled: The job was cancelled. Let the exception pass.
        """
        ...

    def warn(self, code: str, message: str) -> None:
        """Add a warning to the result: a stable code in capitals and one sentence for the user."""
        ...


class Generator(Protocol):
    """Make sounds with one model.

    The server creates a generator to list models, so creating one must be cheap and must not import a machine-learning
    framework. All methods are called from one thread at a time.
    """

    @property
    def info(self) -> GeneratorInfo:
        """Description of the generator; available before `load`."""
        ...

    def availability(self) -> str:
        """Return "" if it can run here, else one sentence that says what is missing and how to get it."""
        ...

    def check(self, request: GenerateRequest) -> None:
        """Check words and length before any work starts. Context and reference may be None although there are some.

        Raises:
            UsageError: The generator cannot serve the request (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNSUPPORTED).
        """
        ...

    def load(self, device: str) -> None:
        """Load the weights to a device. Loading twice has no effect; `unload` and `load` may alternate.

        Args:
            device: "cpu", "cuda:0" and so on.

        Raises:
            SeparationError: The weights are missing or damaged (MODEL_UNAVAILABLE).
        """
        ...

    def unload(self) -> None:
        """Free the memory that the weights use."""
        ...

    def generate(self, request: GenerateRequest, control: GenerateControl) -> Iterator[Waveform]:
        """Make one sound.

        Args:
            request: What to make.
            control: Receives progress and warnings.

        Yields:
            Consecutive blocks as float32 [channels, samples]: together exactly `length_samples`.

        Raises:
            Cancelled: The job was cancelled; raised by `control.step`.
            SeparationError: It failed (DEVICE_OUT_OF_MEMORY and others).
        """
        ...
