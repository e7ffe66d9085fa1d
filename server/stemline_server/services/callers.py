"""Tells callers on this machine from callers on others, and bounds the calls of each address."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import unquote

from stemline.errors import Code, SeparationError

_PEER = re.compile(r"^ipv[46]:\[?([^\]]+?)\]?:\d+$")


class HasPeer(Protocol):
    """The context of a call, as far as it names the other end."""

    def peer(self) -> str:
        """Return the address of the other end, as gRPC spells it."""
        ...


class CallLimit:
    """Bounds the concurrent calls of each address, so that one cannot take all of the server's. For the event loop."""

    def __init__(self, most: int) -> None:
        """Allow `most` calls at a time from one address."""
        self._most = most
        self._running: Counter[str] = Counter()

    @contextlib.contextmanager
    def one(self, context: HasPeer) -> Iterator[None]:
        """Count one call for as long as the block runs. Raises SeparationError (QUEUE_FULL) above the limit."""
        address = _address_of(context)
        if self._running[address] >= self._most:
            raise SeparationError(
                f"{self._most} calls from this address are running, which is the limit.",
                code=Code.QUEUE_FULL,
                advice="Try again when one of them has ended.",
            )
        self._running[address] += 1
        try:
            yield
        finally:
            self._running[address] -= 1
            if not self._running[address]:
                del self._running[address]


def is_this_machine(context: HasPeer) -> bool:
    """Return whether the other end is a loopback address or a Unix socket."""
    address = _address_of(context)
    try:
        return address.startswith("unix:") or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _address_of(context: HasPeer) -> str:
    """Return the address of the other end without its port; as gRPC spells it where it is no IP address."""
    peer = unquote(context.peer())
    match = _PEER.match(peer)
    return match[1] if match else peer
