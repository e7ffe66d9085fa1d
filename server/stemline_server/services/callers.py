"""Who calls: whether the other end of a connection is this machine."""

from __future__ import annotations

import ipaddress
import re
from typing import Protocol
from urllib.parse import unquote

_PEER = re.compile(r"^ipv[46]:\[?([^\]]+?)\]?:\d+$")


class HasPeer(Protocol):
    def peer(self) -> str: ...


def is_this_machine(context: HasPeer) -> bool:
    """True for loopback addresses and Unix sockets."""
    peer = unquote(context.peer())
    if peer.startswith("unix:"):
        return True
    match = _PEER.match(peer)
    try:
        return match is not None and ipaddress.ip_address(match[1]).is_loopback
    except ValueError:
        return False
