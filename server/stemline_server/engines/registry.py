"""Find the installed engines through the entry point group `stemline.engines`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

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


class PluginRegistry:
    """The plug-ins of one entry point group, each with an `info.id` and possibly a static method `variants()`.

    Args:
        group: Name of the entry point group.
        noun: What a plug-in is called in messages ("engine").
        built_in: Entry points that exist without being installed, by name.
        preferred: Names of the plug-ins to list first. An empty id selects the first of them.
        offers: What users know a plug-in as ("model").
    """

    def __init__(
        self, group: str, noun: str, built_in: Mapping[str, str], preferred: Sequence[str], *, offers: str = "model"
    ) -> None:
        """Use an entry point group. Nothing is loaded yet."""
        self._group, self._noun, self._preferred, self._offers = group, noun, tuple(preferred), offers
        self._built_in = {name: EntryPoint(name, value, group) for name, value in built_in.items()}

    def ids(self, without_variants: Collection[str] = ()) -> tuple[str, ...]:
        """Return all ids: the preferred ones first, then by name, each followed by its variants.

        Plug-ins in `without_variants` are not loaded to ask for theirs.
        """
        names = [*self._preferred, *sorted(self._entry_points().keys() - self._preferred)]
        return tuple(
            plugin_id
            for name in names
            for plugin_id in (name, *(() if name in without_variants else self.variants(name)))
        )

    def foreign_names(self) -> frozenset[str]:
        """Return the names of the plug-ins that are not built in, without loading any."""
        points = self._entry_points().items()
        return frozenset(
            name for name, point in points if name not in self._built_in or point.value != self._built_in[name].value
        )

    def create(self, plugin_id: str) -> Any:
        """Create a plug-in: `NAME`, `NAME.VARIANT` for one of its models, or empty for the default.

        Raises:
            UsageError: No plug-in has this id (MODEL_UNKNOWN).
            SeparationError: It cannot be imported or created, or has another id than its entry point
                (MODEL_UNAVAILABLE).
        """
        plugin_id = plugin_id or self._preferred[0]
        known = self._entry_points()
        name, _, variant = plugin_id.partition(".")
        if name not in known or (variant and plugin_id not in self.variants(name)):
            raise UsageError(
                f"There is no {self._offers} {plugin_id!r}.",
                code=Code.MODEL_UNKNOWN,
                advice=f"Choose one of: {', '.join(self.ids(self.foreign_names() - {name}))}.",
            )
        try:
            plugin_class = cast(Callable[..., Any], known[name].load())
            plugin = plugin_class(variant) if variant else plugin_class()
            own_id = plugin.info.id
        except StemlineError:
            raise
        except Exception as error:
            raise SeparationError(
                f"The {self._offers} {name!r} cannot be loaded: {error}.",
                code=Code.MODEL_UNAVAILABLE,
                advice="Install Stemline with the extra 'server' again, or the package that provides "
                f"the {self._offers}.",
            ) from error
        if own_id != plugin_id:
            article = "an" if self._noun[0] in "aeiou" else "a"
            raise SeparationError(
                f"The entry point {plugin_id!r} provides {article} {self._noun} with the id {own_id!r}.",
                code=Code.MODEL_UNAVAILABLE,
                advice=f"Rename the entry point to {own_id!r} in the package that provides the {self._noun}.",
            )
        return plugin

    def variants(self, name: str) -> tuple[str, ...]:
        """Return the ids of the variants of a plug-in on this machine; most have none."""
        try:
            plugin_class = self._entry_points()[name].load()
            list_variants: Callable[[], tuple[str, ...]] | None = getattr(plugin_class, "variants", None)
            variants = tuple(list_variants()) if list_variants is not None else ()
        except Exception:  # noqa: BLE001 - `create` reports the fault of the plug-in
            return ()
        return tuple(f"{name}.{variant}" for variant in variants)

    def _entry_points(self) -> dict[str, EntryPoint]:
        return self._built_in | {point.name: point for point in _installed() if point.group == self._group}


@functools.cache
def _installed() -> tuple[EntryPoint, ...]:
    """Return Stemline's entry points of all packages. Reads them once a process: a scan takes tens of milliseconds."""
    points = entry_points()
    return tuple(
        point for group in points.groups if group.startswith("stemline.") for point in points.select(group=group)
    )


REGISTRY = PluginRegistry(GROUP, "engine", _BUILT_IN, (DEFAULT_ENGINE,))


class EngineSource(Protocol):
    """Where engines come from: the installed ones (`engines.registry`), or those of a test."""

    def engine_ids(self) -> tuple[str, ...]:
        """Return the ids of all engines, the default engine first."""
        ...

    def create(self, engine_id: str) -> Engine:
        """Create an engine without loading its weights. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        ...


def engine_ids(without_variants: Collection[str] = ()) -> tuple[str, ...]:
    """Return the ids of all engines: the default engine first, then by name, each followed by its variants.

    Engines in `without_variants` are not loaded to ask for theirs.
    """
    return REGISTRY.ids(without_variants)


def plugin_names() -> frozenset[str]:
    """Return the names of the engines of other packages, without loading any."""
    return REGISTRY.foreign_names()


def variants(name: str) -> tuple[str, ...]:
    """Return the ids of the variants of an engine on this machine; most have none."""
    return REGISTRY.variants(name)


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
    return cast(Engine, REGISTRY.create(engine_id))
