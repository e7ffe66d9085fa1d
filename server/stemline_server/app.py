"""The server process: builds the parts, listens, and stops in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import shutil
import signal
import socket
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc

from stemline._version import __version__
from stemline.errors import Code, OutputError, StemlineError, UsageError
from stemline.v1 import (
    generation_pb2,
    generation_pb2_grpc,
    media_pb2,
    media_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    separation_pb2,
    separation_pb2_grpc,
    suggest_pb2,
    suggest_pb2_grpc,
)
from stemline_server._futures import result_of
from stemline_server.config import ServerConfig, Tls
from stemline_server.engines import registry
from stemline_server.engines.registry import EngineSource
from stemline_server.generators import registry as generator_registry
from stemline_server.generators.registry import GeneratorSource
from stemline_server.interceptors import CallGuard
from stemline_server.isolation.inline import InlineHost
from stemline_server.isolation.models import model_factory
from stemline_server.isolation.process import EngineProcess
from stemline_server.isolation.work import EngineHost
from stemline_server.jobs import table
from stemline_server.jobs.board import JobBoard
from stemline_server.jobs.catalog import Catalog
from stemline_server.jobs.devices import available_devices, check_devices
from stemline_server.jobs.events import EventHub
from stemline_server.jobs.generation import GeneratorCatalog
from stemline_server.jobs.job_table import JobTable, SqliteJobTable
from stemline_server.jobs.last_exit import ExitRecord
from stemline_server.jobs.worker import Worker, WorkerContext
from stemline_server.seats.seat_file import FILE_NAME, SeatFile
from stemline_server.services.generation import GenerationService
from stemline_server.services.health import HealthService
from stemline_server.services.media import MediaService
from stemline_server.services.models import ModelService
from stemline_server.services.separation import SeparationService
from stemline_server.services.suggest import SuggestService
from stemline_server.store import media_table
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database
from stemline_server.store.disk import full_disk_named
from stemline_server.store.folder import StateFolder, read_or_make_token
from stemline_server.store.media_roots import MediaRoots
from stemline_server.store.registrar import PathRegistrar
from stemline_server.store.schema import SCHEMA
from stemline_server.store.sources import SoundOpener
from stemline_server.store.uploads import Uploads
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.registry import TaggerSource

_log = logging.getLogger(__name__)

_MAX_CONCURRENT_CALLS = 1000
_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_STEP_TIMEOUT_S = 20.0  # how long a stop waits for an engine to reach its next step
_GRACE_S = 2.0
_IDLE_CHECK_S = 1.0
_KEPT_DAYS = 30  # of the record of a job that has ended
_LOG_BYTES = 4 * 1024 * 1024
_SERVICES = tuple(
    file.DESCRIPTOR.services_by_name[name].full_name
    for file, name in (
        (media_pb2, "MediaService"),
        (separation_pb2, "SeparationService"),
        (models_pb2, "ModelService"),
        (generation_pb2, "GenerationService"),
        (suggest_pb2, "SuggestService"),
    )
)
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a second server shares the port without a word
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


def serve(config: ServerConfig) -> int:
    """Run until the process is told to stop or was idle long enough, and return the exit code.

    Raises:
        StemlineError: The server can't start.
    """
    os.umask(0o077)
    check_devices(config.devices)
    if config.model:
        registry.create(config.model)
    folder = StateFolder(config.state)
    try:
        folder.make()
    except OSError as error:
        raise OutputError(
            f"{config.state} cannot be used: {error.strerror}.", advice="Give another --state."
        ) from error
    lock = folder.try_lock()
    if lock is None:
        if config.private:
            return 0
        raise StemlineError(
            f"Another server uses {config.state}.", code=Code.PORT_TAKEN, advice="Stop it, or give another --state."
        )
    with lock:
        _start_log(folder, private=config.private)
        with full_disk_named(folder.root):
            record = ExitRecord(folder.root)
            crashed = record.crashed()
            with record.recording():
                asyncio.run(_serve(config, folder, crashed=crashed))
        _leave_engines()
    return 0


async def _serve(config: ServerConfig, folder: StateFolder, *, crashed: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            loop.add_signal_handler(number, stop.set)
    async with running(config, folder, crashed=crashed, inline=sys.platform == "win32") as server:
        if not config.private:
            sys.stderr.write(f"stemline {__version__} listens on {server.address}; token in {server.token_file}\n")
        if config.idle_timeout_s:
            await server.wait_idle(config.idle_timeout_s, stop)
        else:
            await stop.wait()


def _leave_engines() -> None:
    """End the process here when an engine is still in a step: PyTorch aborts where Python ends its thread."""
    if any(isinstance(thread, Worker) for thread in threading.enumerate()):
        logging.shutdown()
        os._exit(0)


@dataclass(frozen=True, slots=True)
class Plugins:
    """Where the engines, generators and taggers of a server come from."""

    engines: EngineSource = registry
    generators: GeneratorSource = generator_registry
    taggers: TaggerSource = tagger_registry


_INSTALLED = Plugins()


@contextlib.asynccontextmanager
async def running(
    config: ServerConfig,
    folder: StateFolder,
    *,
    crashed: bool = False,
    plugins: Plugins = _INSTALLED,
    inline: bool = True,
) -> AsyncIterator[Server]:
    """Run a server that listens, for as long as the block runs. The caller holds the folder's lock.

    Args:
        config: How it is to run.
        folder: Its state.
        crashed: Whether the server before this one died of what it did.
        plugins: Where its engines, generators and taggers come from. Separate processes run the installed ones.
        inline: Whether models run in this process.
    """
    loop = asyncio.get_running_loop()
    build = partial(Server, config, folder, loop, crashed=crashed, plugins=plugins, inline=inline)
    server = await asyncio.to_thread(build)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


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
        self.address = ""
        self.token_file = config.token_file or folder.token
        token = read_or_make_token(self.token_file, own=config.token_file is None)
        self._guard = CallGuard(token, None if config.private else SeatFile(folder.root / FILE_NAME))
        self._database = Database(folder.database, SCHEMA, table.mend)
        owner = uuid.uuid4().hex
        self._store = ContentStore(folder.store, self._database, config.store_limit_bytes)
        self._store.sweep()
        self._opener = SoundOpener(self._store, MediaRoots(config.media_roots))
        self._hub = EventHub(loop)
        jobs = SqliteJobTable(self._database, self._hub.publish)
        self._recover(jobs, owner, crashed=crashed)
        self._catalog = Catalog(config.model or registry.DEFAULT_ENGINE, plugins.engines)
        self._board = self._make_board(jobs, owner, plugins, inline=inline)
        self._registrar = (
            PathRegistrar(self._store, self._opener, folder.write_nonce()) if config.media_roots != () else None
        )
        uploads = Uploads(self._store, folder.root / "uploads")
        self._media = MediaService(self._store, self._opener, uploads, self._registrar)
        self._jobs = SeparationService(self._board, self._catalog, self._store)
        self._generators = GeneratorCatalog(plugins.generators)
        self._generations = GenerationService(self._board, self._generators, self._store, lambda: self._jobs.draining)
        self._models = ModelService(self._board, self._catalog, self._store, self._media)
        self._suggest = SuggestService(self._store, self._opener, plugins.taggers)
        self._health = HealthService(self._catalog)

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
        limits = self._config.engine_limits

        def host(device: str) -> EngineHost:
            if inline:
                return InlineHost(device, model_factory(plugins.engines, plugins.generators), limits.model_bytes)
            return EngineProcess(device, self._folder.root, limits)

        devices = self._config.devices or available_devices()
        return JobBoard(context, [Worker(device, context, host(device)) for device in devices])

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
            interceptors=(self._guard,), options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CONCURRENT_CALLS
        )
        media_pb2_grpc.add_MediaServiceServicer_to_server(self._media, self._grpc)
        separation_pb2_grpc.add_SeparationServiceServicer_to_server(self._jobs, self._grpc)
        models_pb2_grpc.add_ModelServiceServicer_to_server(self._models, self._grpc)
        generation_pb2_grpc.add_GenerationServiceServicer_to_server(self._generations, self._grpc)
        suggest_pb2_grpc.add_SuggestServiceServicer_to_server(self._suggest, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if self._config.loopback:
            _enable_reflection(self._grpc)
        port = self._bind()
        await self._grpc.start()
        self.address = f"{self._config.listen.rpartition(':')[0]}:{port}"
        await self._health.serving(_SERVICES)
        self._board.start()
        self._folder.write_endpoint(self.address, self.token_file)
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
        await self._health.enter_graceful_shutdown()
        await self._board.stop()
        self._hub.close()
        await self._grpc.stop(_GRACE_S)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._board.join(_STEP_TIMEOUT_S)
        self._catalog.close()
        self._generators.close()
        self._suggest.close()
        self._media.close()
        if self._registrar is not None:
            self._registrar.close()
        self._database.close()

    def _bind(self) -> int:
        listen, tls = self._config.listen, self._config.tls
        credentials = None if tls is None else _credentials(tls)
        try:
            _try_port(listen)
            if credentials is None:
                return self._grpc.add_insecure_port(listen)
            return self._grpc.add_secure_port(listen, credentials)
        except OSError as error:
            raise StemlineError(
                f"The server cannot listen on {listen}: another program does, or the address is not this machine's.",
                code=Code.PORT_TAKEN,
                advice="Stop that program, or give another --listen.",
            ) from error
        except RuntimeError as error:
            raise UsageError(
                f"gRPC cannot listen on {listen}.",
                advice="Check the address and, with TLS, the certificate and its key.",
            ) from error


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    try:
        roots = tls.client_ca.read_bytes() if tls.client_ca is not None else None
        pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.", advice="Give PEM files.") from error
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=roots is not None)


def _try_port(listen: str) -> None:
    """Raise OSError where gRPC would fail too. gRPC would also write to the user's terminal."""
    host, _, port = listen.rpartition(":")
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        if sys.platform != "win32":  # there it would let two programs share the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


def _enable_reflection(server: grpc.aio.Server) -> None:
    from grpc_reflection.v1alpha import reflection  # noqa: PLC0415 - only where it is offered

    reflection.enable_server_reflection((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


def _start_log(folder: StateFolder, *, private: bool) -> None:
    """Log into server.log. A private server sends its own streams there too, so it holds no pipe of its parent open."""
    file = logging.handlers.RotatingFileHandler(folder.log, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handlers: list[logging.Handler] = [file]
    if not private:
        handlers.append(logging.StreamHandler())
        handlers[-1].setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", handlers=handlers, force=True
    )
    if private:
        sys.stdout.flush()
        sys.stderr.flush()
        with Path(os.devnull).open("rb") as nothing, folder.log.open("ab") as output:
            os.dup2(nothing.fileno(), 0)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
