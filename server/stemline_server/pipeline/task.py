"""What a separation is asked to do, and where its stems go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from stemline_server.engines.base import AudioSource, EnginePrompt, Waveform

Policy = Literal["linked", "each"]


@dataclass(frozen=True, slots=True)
class PipelineTask:
    """One sound and what to pull out of it. Spans and `origin_sample` count samples at the rate of `audio`.

    `scratch` is a private folder that outlives a killed server for as long as the job lives.
    """

    audio: AudioSource
    prompts: tuple[EnginePrompt, ...]
    channels: Policy = "linked"
    seed: int = 0
    origin_sample: int = 0
    quality: str = "standard"
    scratch: Path | None = None


class Sink(Protocol):
    """Takes one stem."""

    def write(self, block: Waveform) -> None:
        """[channels, n]: the next n samples. The block may be read-only and is not kept by the pipeline."""
        ...
