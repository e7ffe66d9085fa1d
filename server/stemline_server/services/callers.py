"""Tells callers on this machine from callers on others."""

from __future__ import annotations

import ipaddress
import re
from typing import Protocol
from urllib.parse import unquote

_PEER = re.compile(r"^ipv[46]:\[?([^\]]+?)\]?:\d+$")


class HasPeer(Protocol):
    """The context of a call, as far as it names the other end."""

    def peer(self) -> str:
        """Return the address of the other end, as gRPC spells it."""
        ...


def is_this_machine(context: HasPeer) -> bool:
    """Return whether the other end is a loopback address or a Unix socket."""
    peer = unquote(context.peer())
    if peer.startswith("unix:"):
        return True
    match = _PEER.match(peer)
    try:
        return match is not None and ipaddress.ip_address(match[1]).is_loopback
    except ValueError:
        return False
