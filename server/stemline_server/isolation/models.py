"""Keeps models loaded, the last used ones, within a budget of memory."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from stemline_server.engines import registry
from stemline_server.engines.registry import EngineSource
from stemline_server.generators import registry as generator_registry
from stemline_server.generators.registry import GeneratorSource
from stemline_server.isolation.memory import device_memory_bytes, used_memory_bytes
from stemline_server.pipeline.task import GENERATORS, TAGGERS, TURNS
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.base import Tagger
from stemline_server.taggers.registry import TaggerSource
from stemline_server.taggers.turns import TurnFinder

_log = logging.getLogger(__name__)


class Model(Protocol):
    """An engine or a generator, as far as its memory goes."""

    def load(self, device: str) -> None:
        """Load the weights to a device."""
        ...

    def unload(self) -> None:
        """Free the memory that the weights use."""
        ...


ModelFactory = Callable[[str], Model]


@dataclass(frozen=True, slots=True)
class TaggerModel:
    """A tagger as a model: its weights load when it first listens."""

    tagger: Tagger

    def load(self, device: str) -> None:
        """Do nothing."""

    def unload(self) -> None:
        """Free the memory that the weights use."""
        self.tagger.unload()


class TurnModel:
    """The finder of turns as a model: its weights load when it first listens."""

    def __init__(self) -> None:
        """Create the finder."""
        self.finder = TurnFinder()

    def load(self, device: str) -> None:
        """Do nothing."""

    def unload(self) -> None:
        """Free the memory that the weights use."""
        self.finder = TurnFinder()


def model_factory(
    engines: EngineSource = registry,
    generators: GeneratorSource = generator_registry,
    taggers: TaggerSource = tagger_registry,
) -> ModelFactory:
    """Return what creates the model of an id: an engine, or the generator or tagger after its prefix."""

    def create(model: str) -> Model:
        if model.startswith(GENERATORS):
            return generators.create(model.removeprefix(GENERATORS))
        if model == TURNS:
            return TurnModel()
        if model.startswith(TAGGERS):
            return TaggerModel(taggers.create_tagger(model.removeprefix(TAGGERS)))
        return engines.create(model)

    return create


class ModelCache:
    """The loaded models of one device. One thread uses it."""

    def __init__(self, create: ModelFactory, device: str, budget_bytes: int = 0) -> None:
        """Load models to `device`.

        Args:
            create: Creates models.
            device: "cpu", "cuda:0" and so on.
            budget_bytes: Memory above which the longest unused models are unloaded; 0 for half of the device's memory.
        """
        self._create = create
        self._device = device
        self._budget_bytes = budget_bytes
        self._models: dict[str, Model] = {}

    @property
    def loaded(self) -> tuple[str, ...]:
        """Return the ids of the loaded models, the last used at the end."""
        return tuple(self._models)

    def use(self, model: str) -> Any:
        """Return a model, loaded. Raises UsageError (MODEL_UNKNOWN), SeparationError."""
        loaded = self._models.pop(model, None)
        if loaded is None:
            loaded = self._create(model)
            self._make_room()
            try:
                loaded.load(self._device)
            except Exception:
                if not self._models:
                    raise
                _log.warning("%s cannot be loaded beside %s: they are unloaded", model, ", ".join(self._models))
                self._unload(self.loaded)
                loaded.load(self._device)
        self._models[model] = loaded
        return loaded

    def drop(self, model: str) -> None:
        """Unload a model, if it is loaded."""
        self._unload([model] if model in self._models else [])

    def trim(self) -> None:
        """Unload the longest unused models while more memory is in use than the budget; the last used one stays."""
        while len(self._models) > 1 and self._is_over_budget():
            self._unload(self.loaded[:1])

    def _make_room(self) -> None:
        while self._models and self._is_over_budget():
            self._unload(self.loaded[:1])

    def _is_over_budget(self) -> bool:
        budget_bytes = self._budget_bytes or device_memory_bytes(self._device) // 2
        return 0 < budget_bytes < used_memory_bytes(self._device)

    def _unload(self, models: tuple[str, ...] | list[str]) -> None:
        for model in models:
            self._models.pop(model).unload()
        gc.collect()
        if self._device != "cpu" and (torch := sys.modules.get("torch")) is not None:
            torch.cuda.empty_cache()
