"""Find the installed taggers through the entry point group `stemline.taggers`."""

from __future__ import annotations

from typing import Protocol, cast

from stemline_server.engines.base import AudioSource
from stemline_server.engines.registry import PluginRegistry
from stemline_server.taggers.base import Progress, Tagger
from stemline_server.taggers.spotting import Track

GROUP = "stemline.taggers"
PREFERRED = ("audioset", "embedded")
"""The default is the first of these that can run here."""

# An editable install keeps the entry points from the day it was made, so the built-in taggers are also listed here.
_BUILT_IN = {
    "audioset": "stemline_server.taggers.audioset:AudioSetTagger",
    "embedded": "stemline_server.taggers.embedded:EmbeddedTagger",
}
REGISTRY = PluginRegistry(GROUP, "tagger", _BUILT_IN, PREFERRED, offers="tagger")


class TaggerSource(Protocol):
    """Where taggers come from: the installed ones (this module), or those of a test."""

    def tagger_ids(self) -> tuple[str, ...]:
        """Return the ids of all taggers, in the order in which the default is chosen."""
        ...

    def create_tagger(self, tagger_id: str) -> Tagger:
        """Create a tagger. Raises UsageError (MODEL_UNKNOWN), SeparationError (MODEL_UNAVAILABLE)."""
        ...


class ScoringTagger(Tagger, Protocol):
    """A tagger that gives the scores behind its tags, for calibration."""

    def tracks(self, audio: AudioSource, progress: Progress) -> list[Track]:
        """Return the scores of all sounds over time. Raises what `tag` raises."""
        ...


def tagger_ids() -> tuple[str, ...]:
    """Return the ids of all taggers: the preferred ones first, then by name."""
    return REGISTRY.ids()


def create_tagger(tagger_id: str) -> Tagger:
    """Create a tagger without loading its weights.

    Raises:
        UsageError: No tagger has this id (MODEL_UNKNOWN).
        SeparationError: The tagger cannot be imported or has another id than its entry point (MODEL_UNAVAILABLE).
    """
    return cast(Tagger, REGISTRY.create(tagger_id))


def create_scoring_tagger(tagger_id: str) -> ScoringTagger:
    """Create a built-in tagger, which also gives its scores. Raises what `create_tagger` raises."""
    return cast(ScoringTagger, create_tagger(tagger_id))
