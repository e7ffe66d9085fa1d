"""Runs engines in the server's own process: for tests, and where a process cannot be handed files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stemline_server.isolation.memory import Limits
from stemline_server.isolation.models import ModelCache, ModelFactory
from stemline_server.isolation.work import Json, StoppableControl, Work
from stemline_server.pipeline.task import Sink
from stemline_server.store.disk import full_disk_named


class InlineHost:
    """An `EngineHost` on the worker's thread. What ends the engine's process ends the server."""

    restart_wait_s = 0.0
    progress_age_s = 0.0
    memory_bytes = 0
    device_bytes = 0

    def __init__(self, device: str, create: ModelFactory, model_bytes: int = 0) -> None:
        """Run the models that `create` creates on `device`."""
        self.limits = Limits(model_bytes=model_bytes)
        self._models = ModelCache(create, device, model_bytes)

    @property
    def loaded(self) -> tuple[str, ...]:
        """See `EngineHost`."""
        return self._models.loaded

    def start(self) -> None:
        """See `EngineHost`."""

    def run(self, work: Work, control: StoppableControl, sinks: Sequence[Sink], scratch: Path) -> Json:
        """See `EngineHost`."""
        try:
            with full_disk_named(scratch):
                return work.run(self._models, control, sinks)
        finally:
            self._models.trim()

    def load(self, model: str) -> None:
        """See `EngineHost`."""
        self._models.use(model)

    def unload(self, model: str) -> None:
        """See `EngineHost`."""
        self._models.drop(model)

    def kill(self) -> None:
        """See `EngineHost`. A step in the middle goes on."""

    def close(self) -> None:
        """See `EngineHost`."""
