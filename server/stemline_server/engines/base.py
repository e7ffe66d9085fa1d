"""The engine seam: waveforms and prompts in, target waveforms out.

An engine knows no job, file, timeline or channel layout. It pulls the audio it needs, at its own rate, from an
`AudioSource`, and yields the targets block by block in order, so that memory need not grow with length.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stemline.clips import SampleRange

Waveform = npt.NDArray[np.float32]
"""float32, [channels, samples], full scale 1.0."""


class AudioSource(Protocol):
    """Random access to the sound of one extent."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def length_samples(self) -> int: ...
    def read(self, start_sample: int, end_sample: int) -> Waveform:
        """[channels, end-start]; the range lies within [0, length_samples]. Finite values only."""
        ...


@dataclass(frozen=True, slots=True)
class EnginePrompt:
    """One thing to pull out. Spans are samples of the `AudioSource`, at its rate; they may touch its ends, never pass
    them.
    """

    text: str = ""
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()
    visual: Any | None = None


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """All prompts are asked of the same audio; a good engine shares what it can between them.

    `origin_sample` is where the audio begins in its media (at the engine's rate): noise drawn from (seed,
    origin_sample + i) does not depend on how the media was cut up. `scratch` is a private folder that survives a
    killed server for as long as the job lives: a long solve may keep its state there and go on from it.
    """

    audio: AudioSource
    prompts: tuple[EnginePrompt, ...]
    seed: int = 0
    origin_sample: int = 0
    quality: str = "standard"
    scratch: Path | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an engine can say about one prompt after the fact. `matched` names what the words were taken for.

    `found` False means the target is silence because the sound is not there. `confidence` is 0..1. `notes` are names
    and values that should stand with the stem (where a watermark is, and its message).
    """

    found: bool
    confidence: float
    matched: str = ""
    notes: tuple[tuple[str, str], ...] = ()


class Control(Protocol):
    """How an engine talks to whoever runs it. Every method may be called at any time from the engine's thread."""

    def step(self, done: int, total: int) -> None:
        """Reports progress, and raises `Cancelled` when the job is no longer wanted. Call it at every network
        evaluation or window.
        """
        ...

    def warn(self, prompt: int, code: str, message: str) -> None:
        """A warning that stands beside the stem of prompt number `prompt`."""
        ...

    def find(self, prompt: int, finding: Finding) -> None:
        """Says what became of prompt number `prompt`; at the latest before the last block is yielded."""
        ...


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """`revision` changes whenever the same request could give another result (weights digest and code version).

    `sample_rate` None: the engine takes any rate. `multichannel` False: it is given one channel at a time, and the
    pipeline carries its estimate to the channels.
    """

    id: str
    title: str
    revision: str
    sample_rate: int | None
    multichannel: bool = False
    spans: bool = False
    free_text: bool = False
    licence: str = ""
    note: str = ""


class Engine(Protocol):
    """One model. Constructing it is cheap and imports nothing heavy; `load` does the work. Used from one thread at a
    time.
    """

    @property
    def info(self) -> EngineInfo: ...

    def availability(self) -> str:
        """'' when it can run here, else one sentence that says what is missing and how to get it."""
        ...

    def check(self, prompt: EnginePrompt) -> None:
        """Raises UsageError (PROMPT_UNKNOWN, PROMPT_UNSUPPORTED ...) for a prompt it cannot serve, before any work
        starts.
        """
        ...

    def load(self, device: str) -> None:
        """Brings the weights to `device` ("cpu", "cuda:0"). Called again after `unload`. Idempotent."""
        ...

    def unload(self) -> None: ...

    def separate(self, request: EngineRequest, control: Control) -> Iterator[npt.NDArray[np.float32]]:
        """Yields consecutive blocks [prompts, channels, samples] that together are exactly as long as the audio.

        `channels` is that of the audio. Raises Cancelled (through `control.step`) and SeparationError
        (DEVICE_OUT_OF_MEMORY ...).
        """
        ...
