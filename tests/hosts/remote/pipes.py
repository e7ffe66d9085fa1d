"""Two peers in one process, joined by real pipes."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from stemline.companion.jsonrpc import CompanionPeer, Params
from stemline_bridge.jsonrpc import Limits
from stemline_bridge.peers import RpcMethod


@contextmanager
def pair(
    left: Mapping[str, RpcMethod],
    right: Mapping[str, RpcMethod],
    limits: Limits | None = None,
    limits_right: Limits | None = None,
) -> Iterator[list[CompanionPeer]]:
    """Two started peers whose streams are crossed pipes. Leaving it, every thread must have ended."""
    to_right, to_left = os.pipe(), os.pipe()
    streams = [
        (io.FileIO(to_left[0], "r"), io.FileIO(to_right[1], "w")),
        (io.FileIO(to_right[0], "r"), io.FileIO(to_left[1], "w")),
    ]
    kinds = ((left, limits), (right, limits_right or limits))
    peers = [CompanionPeer(*ends, *kind) for ends, kind in zip(streams, kinds, strict=True)]
    for peer in peers:
        peer.start()
    try:
        yield peers
    finally:
        assert [peer.close(10.0) for peer in peers] == [True, True]
        for incoming, _ in streams:
            incoming.close()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("stemline-host-")]


def echo(params: Params) -> object:
    return params
