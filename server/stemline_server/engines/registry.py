"""Find the installed engines through the entry point group `stemline.engines`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from stemline.errors import Code, SeparationError, StemlineError, UsageError
from stemline_server.engines.base import Engine

GROUP = "stemline.engines"
DEFAULT_ENGINE = "embedded"

# An editable install keeps the entry points from the day it was made, so the built-in engines are also listed here.
_BUILT_IN = {
    "noop": "stemline_server.engines.noop:NoopEngine",
    "embedded": "stemline_server.engines.embedded:EmbeddedEngine",
    "sam_audio": "stemline_server.engines.sam_audio:SamAudioEngine",
}


def engine_ids() -> tuple[str, ...]:
    """Return the ids of all engines: the default engine first, then by name, each followed by its variants."""
    names = sorted(_entry_points(), key=lambda name: (name != DEFAULT_ENGINE, name))
    return tuple(engine_id for name in names for engine_id in (name, *_variant_ids(name)))


def create(engine_id: str) -> Engine:
    """Create an engine without loading its weights.

    Args:
        engine_id: `NAME` of an entry point or `NAME.VARIANT` for one of the engine's models. Empty for the default.

    Returns:
        A new engine whose `info.id` is the id that was asked for.

    Raises:
        UsageError: No engine has this id (MODEL_UNKNOWN).
        SeparationError: The engine cannot be imported or created, or has another id than its entry point
            (MODEL_UNAVAILABLE).
    """
    engine_id = engine_id or DEFAULT_ENGINE
    known = _entry_points()
    name, _, variant = engine_id.partition(".")
    if name not in known or (variant and engine_id not in _variant_ids(name)):
        raise UsageError(
            f"There is no model {engine_id!r}.",
            code=Code.MODEL_UNKNOWN,
            advice=f"Choose one of: {', '.join(engine_ids())}.",
        )
    try:
        engine_class = cast(Callable[..., Engine], known[name].load())
        engine = engine_class(variant) if variant else engine_class()
        own_id = engine.info.id
    except StemlineError:
        raise
    except Exception as error:
        raise SeparationError(
            f"The model {name!r} cannot be loaded: {error}.",
            code=Code.MODEL_UNAVAILABLE,
            advice="Install Stemline with the extra 'server' again, or the package that provides the model.",
        ) from error
    if own_id != engine_id:
        raise SeparationError(
            f"The entry point {engine_id!r} provides an engine with the id {own_id!r}.",
            code=Code.MODEL_UNAVAILABLE,
            advice=f"Rename the entry point to {own_id!r} in the package that provides the engine.",
        )
    return engine


def _variant_ids(name: str) -> tuple[str, ...]:
    """Return the ids of an engine's variants on this machine; most engines have none."""
    try:
        engine_class = _entry_points()[name].load()
        list_variants: Callable[[], tuple[str, ...]] | None = getattr(engine_class, "variants", None)
        variants = tuple(list_variants()) if list_variants is not None else ()
    except Exception:  # noqa: BLE001 - `create` reports the fault of the plug-in
        return ()
    return tuple(f"{name}.{variant}" for variant in variants)


def _entry_points() -> dict[str, EntryPoint]:
    built_in = {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}
    return built_in | {point.name: point for point in entry_points(group=GROUP)}
