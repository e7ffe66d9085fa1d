"""The companion of a host: it answers the host's calls, runs its separations, and ends when the host ends.

`docs/host-protocol.md` is the contract. `stemline host` runs one over standard input and output. A program that starts
a host, or is started by one, can run one over its own two streams.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from stemline._version import __version__
from stemline.companion.jsonrpc import CompanionPeer, Params
from stemline.companion.remote import CallTimes, RemoteHost
from stemline.companion.runs import Report, Runs
from stemline.companion.wire import from_wire
from stemline.errors import Code, HostError
from stemline.hosts.base import Host, HostCapabilities
from stemline_bridge.constants import PROTOCOLS
from stemline_bridge.jsonrpc import Limits
from stemline_bridge.lines import ByteStream
from stemline_bridge.peers import RpcMethod

_GRACE_S = 3.0


class PreparedRun(Protocol):
    """A checked request. Called on the runs' thread; returns the result in a form that JSON can hold."""

    def __call__(self, host: Host, report: Report, cancelled: Callable[[], bool], /) -> Mapping[str, Any]:
        """Separate the host's clips and write their stems back, or listen to them."""
        ...


class Services(Protocol):
    """What Stemline does for a host. Answers have a form that JSON can hold; failures are StemlineErrors."""

    def prepare(self, params: Params) -> PreparedRun:
        """Check the `stems`, `selection` and `settings` of `separate`, and start nothing yet."""
        ...

    def suggest(self, params: Params) -> PreparedRun:
        """Check the `selection` and the settings of `suggest`, and start nothing yet."""
        ...

    def check_prompts(self, params: Params) -> Mapping[str, Any]:
        """Return how a model understands texts."""
        ...

    def models(self) -> Mapping[str, Any]:
        """Return the models and the default one."""
        ...

    def doctor(self) -> Mapping[str, Any]:
        """Return the findings of the application's checks."""
        ...


@dataclass(frozen=True, slots=True)
class Hello:
    """How a host introduces itself. `protocols` are the versions of the contract that it speaks."""

    protocols: tuple[int, ...]
    capabilities: HostCapabilities


@dataclass(frozen=True, slots=True)
class _Tag:
    tag: str = ""


@dataclass(frozen=True, slots=True)
class _Named:
    run: str


@dataclass(frozen=True, slots=True)
class _MaybeNamed:
    run: str | None = None


class Companion:
    """Serves one host over two streams. `peer.closed` is set when the host is gone or called `shutdown`."""

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        services: Services,
        *,
        limits: Limits | None = None,
        times: CallTimes | None = None,
    ) -> None:
        """Prepare to serve the host at the other end of two streams."""
        self._services = services
        self._times = times
        self._host: HostCapabilities | None = None
        self.peer = CompanionPeer(incoming, outgoing, self.methods(), limits)
        self._runs = Runs(self.peer.notify)

    def start(self) -> None:
        """Start to serve."""
        self._runs.start()
        self.peer.start()

    def wait(self) -> None:
        """Wait until the host is gone or called `shutdown`. Short waits let Ctrl-C work on Windows."""
        while not self.peer.closed.wait(0.5):
            pass

    def stop(self) -> bool:
        """Cancel the runs and end the conversation. Finished work stays on the server.

        Returns:
            Whether every thread ended.
        """
        ended = self._runs.stop(_GRACE_S)
        return self.peer.close() and ended

    def methods(self) -> dict[str, RpcMethod]:
        """Return what a host may call, by name."""
        return {
            "hello": RpcMethod(self._hello, quick=True),
            "ping": RpcMethod(lambda _: {}, quick=True),
            "separate": RpcMethod(self._greeted(self._queued(self._services.prepare, "separate")), quick=True),
            "suggest": RpcMethod(self._greeted(self._queued(self._services.suggest, "suggest")), quick=True),
            "check_prompts": RpcMethod(self._greeted(self._services.check_prompts)),
            "status": RpcMethod(self._greeted(self._status), quick=True),
            "cancel": RpcMethod(self._greeted(self._cancel), quick=True),
            "models": RpcMethod(self._greeted(lambda _: self._services.models())),
            "doctor": RpcMethod(lambda _: self._services.doctor()),
            "shutdown": RpcMethod(lambda _: {}, quick=True, last=True),
        }

    def host(self, tag: str = "", cancelled: Callable[[], bool] = lambda: False) -> RemoteHost:
        """Return the host at the other end, to be called from one thread at a time.

        Raises:
            HostError: The host has not said hello yet.
        """
        if self._host is None:
            raise HostError("The first call must be hello.", advice="Update Stemline's bridge in the host.")
        return RemoteHost(self.peer, self._host, times=self._times, cancelled=cancelled, tag=tag)

    def _greeted(self, handler: Callable[[Params], object]) -> Callable[[Params], object]:
        def checked(params: Params) -> object:
            self.host()
            return handler(params)

        return checked

    def _hello(self, params: Params) -> object:
        offered = from_wire(tuple[int, ...], params.get("protocols"), "hello.protocols")
        common = set(offered) & set(PROTOCOLS)
        if not common:
            raise HostError(
                f"Stemline {__version__} speaks version {PROTOCOLS[-1]} of the host protocol, not {list(offered)}.",
                code=Code.HOST_VERSION,
                advice="Update Stemline, then run `stemline install` for this host again.",
            )
        self._host = from_wire(Hello, dict(params), "hello").capabilities
        return {"protocol": max(common), "name": "stemline", "version": __version__, "pid": os.getpid()}

    def _queued(self, prepare: Callable[[Params], PreparedRun], method: str) -> Callable[[Params], object]:
        """Return a method that checks its params with `prepare` and queues the run."""

        def queue(params: Params) -> object:
            prepared, tag = prepare(params), from_wire(_Tag, dict(params), method).tag

            def work(report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
                return prepared(self.host(tag, cancelled), report, cancelled)

            return {"run": self._runs.add(work, tag)}

        return queue

    def _status(self, params: Params) -> object:
        return {"runs": self._runs.status(from_wire(_MaybeNamed, dict(params), "status").run)}

    def _cancel(self, params: Params) -> object:
        self._runs.cancel(from_wire(_Named, dict(params), "cancel").run)
        return {}


def serve(companion: Companion) -> int:
    """Run a companion process to its end. A thread that does not end does not keep the process."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="stemline host: %(message)s")
    companion.start()
    try:
        companion.wait()
    except KeyboardInterrupt:
        companion.stop()
        return 130
    if not companion.stop():
        sys.stderr.flush()
        os._exit(0)
    return 0


def claim_standard_streams() -> tuple[io.FileIO, io.FileIO]:
    """Return (incoming, outgoing), unbuffered and binary, inherited by no child process.

    From then on descriptor 1 and `sys.stdout` write to standard error, and descriptor 0 reads nothing, so that a stray
    print or a child that reads its input cannot disturb the conversation.
    """
    incoming, outgoing = os.dup(0), os.dup(1)  # PEP 446: not inherited by children
    nothing = os.open(os.devnull, os.O_RDWR)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(nothing, 2)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdout = sys.stderr if sys.stderr is not None else io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    return _binary(incoming, "r"), _binary(outgoing, "w")


def _binary(descriptor: int, mode: str) -> io.FileIO:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - Windows alone has it

        msvcrt.setmode(descriptor, os.O_BINARY)
    return io.FileIO(descriptor, mode)
