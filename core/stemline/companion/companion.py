"""The companion of a host: answers its calls, runs its separations, and goes when the host goes.

`docs/host-protocol.md` is the contract. `stemline host` runs one over standard input and output; any program that
starts a host, or is started by one, can run one over its own two streams.
"""

from __future__ import annotations

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
from stemline_bridge.peers import Method

_GRACE_S = 3.0


class Separation(Protocol):
    """A request that has been checked. Called on the runs' thread; gives the result as JSON can hold it."""

    def __call__(self, host: Host, report: Report, cancelled: Callable[[], bool], /) -> Mapping[str, Any]: ...


class Services(Protocol):
    """What Stemline does for a host. Answers are as JSON can hold them; faults are StemlineErrors."""

    def prepare(self, params: Params) -> Separation:
        """Checks the `stems`, `selection` and `settings` of `separate`, and does nothing yet."""
        ...

    def models(self) -> Mapping[str, Any]: ...

    def doctor(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Hello:
    """How a host introduces itself. `protocols` are the versions of the contract it can keep."""

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
    """Serves one host over two streams. `closed` is set on the peer when the host is gone or said `shutdown`."""

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        services: Services,
        *,
        limits: Limits | None = None,
        times: CallTimes | None = None,
    ) -> None:
        self._services = services
        self._times = times
        self._host: HostCapabilities | None = None
        self.peer = CompanionPeer(incoming, outgoing, self.methods(), limits)
        self._runs = Runs(self.peer.notify)

    def start(self) -> None:
        self._runs.start()
        self.peer.start()

    def wait(self) -> None:
        """Until the host is gone or has said `shutdown`. Short waits keep Ctrl-C working on Windows."""
        while not self.peer.closed.wait(0.5):
            pass

    def stop(self) -> bool:
        """Cancels what runs and ends the conversation. True if every thread ended; what is done stays on the server."""
        ended = self._runs.stop(_GRACE_S)
        return self.peer.close() and ended

    def methods(self) -> dict[str, Method]:
        """What a host may call, by name."""
        return {
            "hello": Method(self._hello, quick=True),
            "ping": Method(lambda _: {}, quick=True),
            "separate": Method(self._greeted(self._separate), quick=True),
            "status": Method(self._greeted(self._status), quick=True),
            "cancel": Method(self._greeted(self._cancel), quick=True),
            "models": Method(self._greeted(lambda _: self._services.models())),
            "doctor": Method(lambda _: self._services.doctor()),
            "shutdown": Method(lambda _: {}, quick=True, last=True),
        }

    def host(self, tag: str = "", cancelled: Callable[[], bool] = lambda: False) -> RemoteHost:
        """The host at the other end, to be called from one thread at a time. Raises HostError before its hello."""
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

    def _separate(self, params: Params) -> object:
        separation, tag = self._services.prepare(params), from_wire(_Tag, dict(params), "separate").tag

        def work(report: Report, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
            return separation(self.host(tag, cancelled), report, cancelled)

        return {"run": self._runs.add(work, tag)}

    def _status(self, params: Params) -> object:
        return {"runs": self._runs.status(from_wire(_MaybeNamed, dict(params), "status").run)}

    def _cancel(self, params: Params) -> object:
        self._runs.cancel(from_wire(_Named, dict(params), "cancel").run)
        return {}


def serve(companion: Companion) -> int:
    """The whole life of a companion process. A thread that will not end does not keep the process."""
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
