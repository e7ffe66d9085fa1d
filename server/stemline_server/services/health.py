"""The service grpc.health.v1: the status of the server, its services and its models (`model/<id>`)."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

from grpc_health.v1 import health, health_pb2

from stemline.errors import StemlineError
from stemline_server.jobs.catalog import Catalog

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

_MODEL = "model/"
_ANSWER_LASTS_S = 5.0


class HealthService(health.aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """Answers for the server ("", "live", "ready"), its services, and its models.

    A model is asked when a probe wants to know, because its answer may change. Probes need no token, so an answer
    serves all probes for a while: asking may load libraries.
    """

    def __init__(self, catalog: Catalog, is_ready: Callable[[], bool] = lambda: True) -> None:
        """Ask `catalog` about models, and `is_ready` about the server."""
        super().__init__()
        self._is_ready = is_ready
        self._catalog = catalog
        self._known: frozenset[str] = frozenset()
        self._asked_s: dict[str, float] = {}
        self._asking: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Return the status of a service now."""
        if request.service.startswith(_MODEL):
            await self._ask_model(request.service)
        await self._note_readiness()
        return await super().Check(request, context)

    async def _note_readiness(self) -> None:
        answer = health_pb2.HealthCheckResponse
        await self.set("live", answer.SERVING)
        await self.set("ready", answer.SERVING if self._is_ready() else answer.NOT_SERVING)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        """Send the status of a service, and each change of it."""
        if request.service.startswith(_MODEL):
            await self._ask_model(request.service)
        await self._note_readiness()
        await super().Watch(request, context)

    async def serving(self, services: tuple[str, ...]) -> None:
        """Report these services, and the server as a whole, as usable."""
        for service in ("", *services):
            await self.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def _ask_model(self, service: str) -> None:
        """Bring the status of a model up to date. An unknown model stays unknown."""
        async with self._asking[""]:
            if self._is_due(""):
                self._known = frozenset(await self._catalog.ids())
        model = service.removeprefix(_MODEL)
        if model not in self._known:
            return
        async with self._asking[model]:
            if not self._is_due(model):
                return
            answer = health_pb2.HealthCheckResponse
            try:
                facts = await asyncio.wait_for(self._catalog.facts(model), _ANSWER_LASTS_S)
            except (StemlineError, TimeoutError):
                await self.set(service, answer.NOT_SERVING)
            else:
                await self.set(service, answer.NOT_SERVING if facts.obstacle else answer.SERVING)

    def _is_due(self, model: str) -> bool:
        """Return whether it is time to ask about a model, or ("") about all, and take note of it."""
        now_s = time.monotonic()
        due = now_s - self._asked_s.get(model, -_ANSWER_LASTS_S) >= _ANSWER_LASTS_S
        if due:
            self._asked_s[model] = now_s
        return due
