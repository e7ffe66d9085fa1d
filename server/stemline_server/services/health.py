"""grpc.health.v1: the server, each of its services, and `model/<id>`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_health.v1 import health, health_pb2

from stemline.errors import StemlineError
from stemline_server.jobs.catalog import Catalog

if TYPE_CHECKING:
    from grpc.aio import ServicerContext

    Context = ServicerContext[object, object]

_MODEL = "model/"


class HealthService(health.aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """A model is asked when somebody asks for it: what it says may change, and asking it may load libraries."""

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self._catalog = catalog

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        if request.service.startswith(_MODEL):
            await self._ask_model(request.service)
        return await super().Check(request, context)

    async def serving(self, services: tuple[str, ...]) -> None:
        """From now on these, and the server as a whole, can be used."""
        for service in ("", *services):
            await self.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def _ask_model(self, service: str) -> None:
        """An unknown model stays unknown."""
        try:
            facts = await self._catalog.facts(service.removeprefix(_MODEL))
        except StemlineError:
            return
        answer = health_pb2.HealthCheckResponse
        await self.set(service, answer.NOT_SERVING if facts.obstacle else answer.SERVING)
