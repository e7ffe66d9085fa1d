"""The task of one separation, and where its stems go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from stemline_server.engines.base import EngineRequest, Waveform

Policy = Literal["linked", "each"]

GENERATORS = "generators/"
"""Prefix of the ids of generators, where a model may be an engine or a generator."""


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


TAGGERS = "taggers/"
"""Prefix of the ids of taggers, likewise."""
TURNS = "turns"
"""Id of the finder of the turns of voices."""


class Models(Protocol):
    """Gives loaded models."""

    def use(self, model: str) -> Any:
        """Return a model, loaded: the engine of that id, or the generator or tagger after its prefix.

        Raises UsageError (MODEL_UNKNOWN), SeparationError.
        """
        ...
