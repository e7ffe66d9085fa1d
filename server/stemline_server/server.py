"""The parts of a running server, built, started and stopped in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields, replace
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from stemline.errors import StemlineError
from stemline.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    live_pb2,
    live_pb2_grpc,
    media_pb2,
    media_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    separation_pb2,
    separation_pb2_grpc,
    suggest_pb2,
    suggest_pb2_grpc,
    vocabulary_pb2,
    vocabulary_pb2_grpc,
)
from stemline_server.config import ServerConfig
from stemline_server.engines import registry
from stemline_server.engines.registry import EngineSource
from stemline_server.generators import registry as generator_registry
from stemline_server.generators.registry import GeneratorSource
from stemline_server.interceptors import CallGuard
from stemline_server.isolation.decoding import Decoders
from stemline_server.isolation.inline import InlineHost
from stemline_server.isolation.models import model_factory
from stemline_server.isolation.plugins import PluginEngines, PluginGenerators, PluginSource, PluginTaggers
from stemline_server.isolation.process import EngineProcess
from stemline_server.isolation.work import EngineHost
from stemline_server.jobs import shares, table
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.catalog import Catalog
from stemline_server.jobs.devices import available_devices
from stemline_server.jobs.events import EventHub
from stemline_server.jobs.gate import Gate
from stemline_server.jobs.generation import GeneratorCatalog
from stemline_server.jobs.job_table import JobTable, SqliteJobTable
from stemline_server.jobs.record import JobRecord
from stemline_server.jobs.worker import Worker, WorkerContext
from stemline_server.operations import systemd
from stemline_server.operations.listening import ConnectionLimit, grpc_options, listen
from stemline_server.operations.metrics import Metrics
from stemline_server.policy.rules import Policy, read_policy
from stemline_server.seats.seat_file import FILE_NAME, SeatFile
from stemline_server.services.generation import GenerationService
from stemline_server.services.health import HealthService
from stemline_server.services.live import LiveService
from stemline_server.services.media import MediaService
from stemline_server.services.models import ModelService
from stemline_server.services.separation import SeparationService
from stemline_server.services.suggest import SuggestService
from stemline_server.services.vocabulary import VocabularyService
from stemline_server.store import media_table
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database, result_of
from stemline_server.store.folder import StateFolder, read_or_make_token
from stemline_server.store.media_roots import MediaRoots
from stemline_server.store.registrar import PathRegistrar
from stemline_server.store.schema import SCHEMA
from stemline_server.store.scrubber import Scrubber
from stemline_server.store.sources import SoundOpener
from stemline_server.store.uploads import Uploads
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.registry import TaggerSource

_log = logging.getLogger(__name__)

_MAX_CONCURRENT_CALLS = 1000
_STEP_TIMEOUT_S = 20.0  # how long a stop waits for an engine to reach its next step
_GRACE_S = 2.0
_STUCK_SHARE = 0.5  # of the time limit of an engine
_IDLE_CHECK_S = 1.0
_KEPT_DAYS = 30  # of the record of a job that has ended
_SERVICES = tuple(
    file.DESCRIPTOR.services_by_name[name].full_name
    for file, name in (
        (media_pb2, "MediaService"),
        (separation_pb2, "SeparationService"),
        (models_pb2, "ModelService"),
        (generation_pb2, "GenerationService"),
        (suggest_pb2, "SuggestService"),
        (vocabulary_pb2, "VocabularyService"),
        (live_pb2, "LiveService"),
    )
)


@dataclass(frozen=True, slots=True)
class Plugins:
    """Where the engines, generators and taggers of a server come from."""

    engines: EngineSource = registry
    generators: GeneratorSource = generator_registry
    taggers: TaggerSource = tagger_registry

    def apart(self, folder: Path) -> Plugins:
        """Return the same with installed plug-ins of other packages in separate processes, which log to `folder`."""
        return Plugins(
            PluginEngines(folder) if self.engines is registry else self.engines,
            PluginGenerators(folder) if self.generators is generator_registry else self.generators,
            PluginTaggers(folder) if self.taggers is tagger_registry else self.taggers,
        )

    def close(self) -> None:
        """End the processes."""
        for source in (self.engines, self.generators, self.taggers):
            if isinstance(source, PluginSource):
                source.close()


class Server:
    """The parts of one server process."""

    def __init__(
        self,
        config: ServerConfig,
        folder: StateFolder,
        loop: asyncio.AbstractEventLoop,
        *,
        crashed: bool,
        plugins: Plugins,
        inline: bool,
    ) -> None:
        """Build the parts of a server. Raises StemlineError.

        Args:
            config: How it is to run.
            folder: Its state.
            loop: The event loop that it runs in.
            crashed: Whether the server before this one died of what it did.
            plugins: Where its engines, generators and taggers come from.
            inline: Whether models run in this process.
        """
        self._config = config
        self._folder = folder
        self._limits = config.engine_limits
        self._http: WSGIServer | None = None
        self._connections: ConnectionLimit | None = None
        self.address = ""
        self.token_file = config.token_file or folder.token
        token = read_or_make_token(self.token_file, own=config.token_file is None)
        self._metrics = Metrics(self, config.otlp) if config.metrics or config.otlp else None
        self._seats = None if config.private else SeatFile(folder.root / FILE_NAME)
        self._guard = CallGuard(token, self._seats, *([self._metrics.call_ended] if self._metrics else []))
        self._database = Database(folder.database, SCHEMA, table.mend)
        owner = uuid.uuid4().hex
        self._store = ContentStore(folder.store, self._database, config.store_limit_bytes)
        self._store.sweep()
        self._decoders = self._make_decoders(inline=inline)
        self._opener = SoundOpener(self._store, MediaRoots(config.media_roots), self._decoders)
        self._hub = EventHub(loop)
        self._gate = Gate(read_policy(config.policy) if config.policy else Policy(), folder.root)
        jobs = SqliteJobTable(self._database, self._publish)
        self._recover(jobs, owner, crashed=crashed)
        plugins = plugins if inline else plugins.apart(folder.root)
        self._plugins = plugins
        default = config.model or registry.DEFAULT_ENGINE
        self._catalog = Catalog(default, plugins.engines, _may_hang(plugins.engines))
        self._board = self._make_board(jobs, owner, plugins, inline=inline)
        if self._metrics is not None:
            self._board.note_created = self._metrics.jobs_created
        self._make_services(plugins)
        self._scrubber = None if config.private else Scrubber(self._store, self._database)
        self._health = HealthService(self._catalog, self.is_ready)

    @property
    def workers(self) -> Sequence[Worker]:
        """Return the workers, one for each device."""
        return self._board.workers

    def queue(self) -> Future[tuple[int, int, float]]:
        """Return how many jobs wait, how many run, and how many seconds the oldest has waited."""
        return self._database.submit(lambda connection: (*table.counts(connection), shares.queue_age_s(connection)))

    def stored_bytes(self) -> Future[int]:
        """Return how much sound the store holds."""
        return self._store.stored_bytes()

    def store_limit_bytes(self) -> int:
        """Return how much it may hold."""
        return self._store.limit_bytes

    def is_ready(self) -> bool:
        """Return whether the server takes work and every device does it: no engine is near its time limit."""
        longest_s = _STUCK_SHARE * self._limits.silence_s
        well = (worker.is_alive() and worker.progress_age_s < longest_s for worker in self.workers)
        return not self._jobs.draining and all(well)

    def reload(self, reread: Callable[[], ServerConfig]) -> None:
        """Read the configuration again: limits, seats and rules hold at once, other options from the next start on."""
        systemd.notify_reloading()
        try:
            config = reread()
        except StemlineError as error:
            _log.error("the configuration stays as it was: %s", error)
        else:
            self._store.limit_bytes = config.store_limit_bytes
            self._limits = config.engine_limits
            for worker in self.workers:
                worker.set_limits(self._limits)
            if self._seats is not None:
                self._seats.reload()
            self._reload_policy()
            now = replace(self._config, store_limit_bytes=config.store_limit_bytes, engine_limits=config.engine_limits)
            changed = [
                field.name for field in fields(config) if getattr(config, field.name) != getattr(now, field.name)
            ]
            _log.info("the configuration was read again%s", f"; restart for {', '.join(changed)}" if changed else "")
        systemd.notify("READY=1")

    def _reload_policy(self) -> None:
        """Read the rules again. A damaged file is logged, and the rules stay as they were."""
        if self._config.policy is None:
            return
        try:
            is_same_log = self._gate.use(read_policy(self._config.policy))
        except StemlineError as error:
            _log.error("the policy stays as it was: %s", error)
        else:
            _log.info("the policy was read again%s", "" if is_same_log else "; restart for its table audit")

    def _publish(self, jobs: Sequence[JobRecord]) -> None:
        self._gate.ended(jobs)
        self._hub.publish(jobs)
        if self._metrics is not None:
            self._metrics.jobs_changed(jobs)

    def _make_services(self, plugins: Plugins) -> None:
        """Make the services that need the board."""
        self._registrar = None
        if self._config.media_roots != ():
            self._registrar = PathRegistrar(self._store, self._opener, self._folder.write_nonce())
        uploads = Uploads(self._store, self._folder.root / "uploads")
        counted = [self._metrics.transferred] if self._metrics else []
        self._media = MediaService(self._store, self._opener, uploads, self._registrar, *counted)
        self._media.note_download = self._gate.fetched
        self._jobs = SeparationService(self._board, self._catalog, self._store)
        self._generators = GeneratorCatalog(plugins.generators, _may_hang(plugins.generators))
        self._generations = GenerationService(self._board, self._generators, self._store, lambda: self._jobs.draining)
        self._models = ModelService(self._board, self._catalog, self._store, self._media)
        self._suggest = SuggestService(
            self._board, self._store, self._opener, plugins.taggers, self._gate, may_hang=_may_hang(plugins.taggers)
        )

    def _make_decoders(self, *, inline: bool) -> Decoders | None:
        """Make the processes that decode media files of callers; the user of a private server trusts their own."""
        config = self._config
        if config.private or inline or not config.media_roots:
            return None
        return Decoders(self._folder.root, config.media_roots)

    def _make_board(self, jobs: JobTable, owner: str, plugins: Plugins, *, inline: bool) -> JobBoard:
        context = WorkerContext(
            jobs=jobs,
            hub=self._hub,
            store=self._store,
            sounds=self._opener,
            scratch=self._folder.scratch,
            owner=owner,
            generators=plugins.generators,
        )
        devices = self._config.devices or available_devices()
        workers = [Worker(device, context, self._make_host(device, plugins, inline=inline)) for device in devices]
        taggers = self._make_host("cpu", plugins, inline=inline, name="taggers")
        listener = Worker("taggers", context, taggers, suggestions=True)
        return JobBoard(context, workers, listener, self._gate)

    def _make_host(self, device: str, plugins: Plugins, *, inline: bool, name: str = "") -> EngineHost:
        limits = self._limits
        if inline:
            create = model_factory(plugins.engines, plugins.generators, plugins.taggers)
            return InlineHost(device, create, limits.model_bytes)
        return EngineProcess(device, self._folder.root, limits, name)

    def _recover(self, jobs: JobTable, owner: str, *, crashed: bool) -> None:
        """Take up what the server before this one left, and clear away what no job needs."""
        long_ago_us = media_table.now_us() - _KEPT_DAYS * 86_400_000_000
        jobs.recover(owner, crashed=crashed).result()
        jobs.forget_ended_before(long_ago_us).result()
        needed = jobs.waiting_claims().result()
        for folder in self._folder.scratch.iterdir():
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)

    async def start(self) -> None:
        """Listen, then work. Raises StemlineError (PORT_TAKEN); call `stop` then, too."""
        self._grpc = grpc.aio.server(
            interceptors=(self._guard,),
            options=grpc_options(),
            maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS,
        )
        media_pb2_grpc.add_MediaServiceServicer_to_server(self._media, self._grpc)
        separation_pb2_grpc.add_SeparationServiceServicer_to_server(self._jobs, self._grpc)
        models_pb2_grpc.add_ModelServiceServicer_to_server(self._models, self._grpc)
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(self._generations, self._grpc)
        suggest_pb2_grpc.add_SuggestServiceServicer_to_server(self._suggest, self._grpc)
        vocabulary_pb2_grpc.add_VocabularyServiceServicer_to_server(VocabularyService(self._catalog), self._grpc)
        live_pb2_grpc.add_LiveServiceServicer_to_server(LiveService(self._board, self._gate.fetched), self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if self._config.loopback:
            _enable_reflection(self._grpc)
        if self._metrics is not None and self._config.metrics:
            host, _, metrics_port = self._config.metrics.rpartition(":")
            self._http = self._metrics.serve(host.strip("[]"), int(metrics_port))
            _log.info("metrics on %s:%d", *self._http.server_address[:2])
        port = listen(self._grpc, self._config.listen, self._config.tls)
        await self._grpc.start()
        self.address = f"{self._config.listen.rpartition(':')[0]}:{port}"
        self._connections = ConnectionLimit(port)
        self._connections.start()
        await self._health.serving(_SERVICES)
        self._board.start(self._config.warm)
        if self._scrubber is not None:
            self._scrubber.start()
        self._folder.write_endpoint(self.address, self.token_file, tls=self._config.tls is not None)
        _log.info("listening on %s as process %d", self.address, os.getpid())

    async def wait_idle(self, timeout_s: float, stop: asyncio.Event) -> None:
        """Return when no call came for that long and no job waits or runs, or when `stop` is set."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(_IDLE_CHECK_S, timeout_s))
            if self._guard.idle_s() >= timeout_s and await result_of(self._board.jobs.counts()) == (0, 0):
                _log.info("idle for %g s", timeout_s)
                return

    async def stop(self) -> None:
        """Refuse new work, put running jobs back, end the watches, and let engines reach their next step."""
        self._folder.endpoint.unlink(missing_ok=True)
        self._jobs.draining = True
        self._suggest.stop()
        await self._health.enter_graceful_shutdown()
        await self._board.stop()
        self._hub.close()
        await self._grpc.stop(_GRACE_S)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._scrubber is not None:
            self._scrubber.stop()
        if self._connections is not None:
            self._connections.stop()
        self._board.join(_STEP_TIMEOUT_S)
        self._catalog.close()
        self._plugins.close()
        self._generators.close()
        self._suggest.close()
        self._media.close()
        if self._registrar is not None:
            self._registrar.close()
        if self._decoders is not None:
            self._decoders.close()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        if self._metrics is not None:
            self._metrics.close()
        self._database.close()
        self._gate.close()


def _may_hang(source: object) -> frozenset[str]:
    return source.names if isinstance(source, PluginSource) else frozenset()


def _enable_reflection(server: grpc.aio.Server) -> None:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - only where it is offered

    reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
