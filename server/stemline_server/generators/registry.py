"""Find the installed generators through the entry point group `stemline.generators`."""

from __future__ import annotations

from typing import Protocol, cast

from stemline_server.engines.registry import PluginRegistry
from stemline_server.generators.base import Generator

GROUP = "stemline.generators"
DEFAULT_GENERATOR = "stable_audio"

# An editable install keeps the entry points from the day it was made, so the built-in ones are also listed here.
_BUILT_IN = {
    "noop": "stemline_server.generators.noop:NoopGenerator",
    "stable_audio": "stemline_server.generators.stable_audio:StableAudioGenerator",
}
REGISTRY = PluginRegistry(GROUP, "generator", _BUILT_IN, (DEFAULT_GENERATOR,))


class GeneratorSource(Protocol):
    """Where generators come from: the installed ones (`generators.registry`), or those of a test."""

    def generator_ids(self) -> tuple[str, ...]:
        """Return the ids of all generators, the default first."""
        ...

    def create(self, generator_id: str) -> Generator:
        """Create a generator without loading its weights. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        ...


def generator_ids() -> tuple[str, ...]:
    """Return the ids of all generators: the default first, then by name, each followed by its variants."""
    return REGISTRY.ids()


def create(generator_id: str) -> Generator:
    """Create a generator without loading its weights.

    Args:
        generator_id: `NAME` of an entry point or `NAME.VARIANT` for one of its models. Empty for the default.

    Raises:
        UsageError: No generator has this id (MODEL_UNKNOWN).
        SeparationError: It cannot be imported or created, or has another id than its entry point (MODEL_UNAVAILABLE).
    """
    return cast(Generator, REGISTRY.create(generator_id))
