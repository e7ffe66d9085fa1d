"""The server process: locks its state, writes its log, serves, and ends in good order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial

from stemline._version import __version__
from stemline.errors import Code, OutputError, StemlineError
from stemline_server.config import ServerConfig
from stemline_server.engines import registry
from stemline_server.jobs.devices import check_devices
from stemline_server.jobs.last_exit import ExitRecord
from stemline_server.jobs.worker import Worker
from stemline_server.operations import systemd
from stemline_server.operations.logs import start_log
from stemline_server.server import Plugins, Server
from stemline_server.store.disk import full_disk_named
from stemline_server.store.folder import StateFolder

_log = logging.getLogger(__name__)

_INSTALLED = Plugins()


def serve(config: ServerConfig, reread: Callable[[], ServerConfig] | None = None) -> int:
    """Run until the process is told to stop or was idle long enough, and return the exit code.

    Args:
        config: How the server runs.
        reread: Returns the configuration as its file is now; called at SIGHUP. None without
            such a file and without a policy.

    Raises:
        StemlineError: The server can't start.
    """
    os.umask(0o077)
    check_devices(config.devices)
    for model in filter(None, (config.model, *config.warm)):
        if model.partition(".")[0] not in registry.plugin_names():
            registry.create(model)
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
        _allow_many_connections()
        start_log(folder.log, private=config.private, as_json=config.json_log)
        with full_disk_named(folder.root):
            record = ExitRecord(folder.root)
            crashed = record.crashed()
            with record.recording():
                asyncio.run(_serve(config, folder, reread, crashed=crashed))
        _leave_engines()
    return 0


async def _serve(
    config: ServerConfig, folder: StateFolder, reread: Callable[[], ServerConfig] | None, *, crashed: bool
) -> None:
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
        if reread is not None and sys.platform != "win32":
            loop.add_signal_handler(signal.SIGHUP, server.reload, reread)
        watchdog = asyncio.ensure_future(systemd.feed_watchdog(server.is_ready))
        systemd.notify("READY=1")
        if config.idle_timeout_s:
            await server.wait_idle(config.idle_timeout_s, stop)
        else:
            await stop.wait()
        watchdog.cancel()
        systemd.notify("STOPPING=1")


def _allow_many_connections() -> None:
    """Raise the limit of open files to what the system allows: each connection is one."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on Windows

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leave_engines() -> None:
    """End the process here when an engine is still in a step: PyTorch aborts where Python ends its thread."""
    if any(isinstance(thread, Worker) for thread in threading.enumerate()):
        logging.shutdown()
        os._exit(0)


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
