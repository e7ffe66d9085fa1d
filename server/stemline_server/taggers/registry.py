"""Find the installed taggers through the entry point group `stemline.taggers`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

from stemline.errors import Code, SeparationError, StemlineError, UsageError
from stemline_server.engines.base import AudioSource
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
    known = _entry_points()
    return (*PREFERRED, *sorted(name for name in known if name not in PREFERRED))


def create_tagger(tagger_id: str) -> Tagger:
    """Create a tagger without loading its weights.

    Raises:
        UsageError: No tagger has this id (MODEL_UNKNOWN).
        SeparationError: The tagger cannot be imported or has another id than its entry point (MODEL_UNAVAILABLE).
    """
    known = _entry_points()
    if tagger_id not in known:
        raise UsageError(
            f"There is no tagger {tagger_id!r}.",
            code=Code.MODEL_UNKNOWN,
            advice=f"Choose one of: {', '.join(tagger_ids())}.",
        )
    try:
        tagger = cast(Callable[[], Tagger], known[tagger_id].load())()
        own_id = tagger.info.id
    except StemlineError:
        raise
    except Exception as error:
        raise SeparationError(
            f"The tagger {tagger_id!r} cannot be loaded: {error}.",
            code=Code.MODEL_UNAVAILABLE,
            advice="Install the package that provides the tagger again.",
        ) from error
    if own_id != tagger_id:
        raise SeparationError(
            f"The entry point {tagger_id!r} provides a tagger with the id {own_id!r}.",
            code=Code.MODEL_UNAVAILABLE,
            advice=f"Rename the entry point to {own_id!r} in the package that provides the tagger.",
        )
    return tagger


def create_scoring_tagger(tagger_id: str) -> ScoringTagger:
    """Create a built-in tagger, which also gives its scores. Raises what `create_tagger` raises."""
    return cast(ScoringTagger, create_tagger(tagger_id))


def _entry_points() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    return built_in | {point.name: point for point in entry_points(group=GROUP)}
