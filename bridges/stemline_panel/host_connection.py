# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel as the companion of a host program, over two byte streams (docs/host-protocol.md)."""

from __future__ import annotations

from collections.abc import Callable

from stemline.companion.jsonrpc import Params
from stemline.companion.process import Companion
from stemline.companion.services import EditServices
from stemline_bridge.lines import ByteStream
from stemline_bridge.peers import RpcMethod

_OFFERED_METHODS = ("hello", "ping", "models", "doctor", "shutdown")


class HostConnection(Companion):
    """Offers a host the methods of a panel. `separate` isn't one of them, because the user chooses what to separate.

    `on_hello` and `on_end` are called from the connection's own threads.
    """

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        services: EditServices,
        on_hello: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        """Prepare the connection; `start` begins to serve it. `server` is the address of the Stemline server."""
        self._on_hello, self._on_end = on_hello, on_end
        super().__init__(incoming, outgoing, services)

    def methods(self) -> dict[str, RpcMethod]:
        """Return the offered methods by name."""
        offered = {name: method for name, method in super().methods().items() if name in _OFFERED_METHODS}
        greet = offered["hello"].handler

        def hello(params: Params) -> object:
            answer = greet(params)
            self._on_hello()
            return answer

        offered["hello"] = RpcMethod(hello, quick=True)
        return offered

    def watch(self) -> None:
        """Wait for the end of the connection and report it. Blocks, so run it in its own thread."""
        self.wait()
        self._on_end()
