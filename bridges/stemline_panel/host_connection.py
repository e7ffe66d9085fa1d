# SPDX-License-Identifier: GPL-3.0-or-later
"""The panel as the companion of a host program, over two streams (docs/host-protocol.md)."""

from __future__ import annotations

from collections.abc import Callable

from stemline.companion.companion import Companion
from stemline.companion.jsonrpc import Params
from stemline.companion.services import EditServices
from stemline_bridge.lines import ByteStream
from stemline_bridge.peers import Method

_OFFERED = ("hello", "ping", "models", "doctor", "shutdown")


class HostConnection(Companion):
    """Offers a host what it can ask a panel: what is separated is the user's choice, so `separate` is not offered.

    `on_hello` and `on_end` are called from the link's own threads.
    """

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        services: EditServices,
        on_hello: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._on_hello, self._on_end = on_hello, on_end
        super().__init__(incoming, outgoing, services)

    def methods(self) -> dict[str, Method]:
        offered = {name: method for name, method in super().methods().items() if name in _OFFERED}
        greet = offered["hello"].handler

        def hello(params: Params) -> object:
            answer = greet(params)
            self._on_hello()
            return answer

        offered["hello"] = Method(hello, quick=True)
        return offered

    def watch(self) -> None:
        """Waits for the end; to be run in a thread of its own."""
        self.wait()
        self._on_end()
