"""The task of one separation, and where its stems go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from stemline_server.engines.base import EngineRequest, Waveform

Policy = Literal["linked", "each"]


@dataclass(frozen=True, slots=True)
class PipelineTask(EngineRequest):
    """A request to an engine, before channels and rate are adapted: spans count samples at the rate of `audio`.

    Attributes:
        channels: "linked" estimates correlated channels together, "each" every channel alone.
    """

    channels: Policy = "linked"


class Sink(Protocol):
    """Takes the blocks of one stem."""

    def write(self, block: Waveform) -> None:
        """Append `block`, [channels, n]. It may be read-only, and the pipeline does not keep it."""
        ...
