"""Proof that this client shares a disk with its server."""

from __future__ import annotations

from functools import lru_cache

from stemline.client.link import Link
from stemline.shared_disk import read_nonce
from stemline.v1 import models_pb2

_SERVERS_REMEMBERED = 16


def disk_nonce(link: Link) -> bytes:
    """Return the server's nonce as this machine's disk holds it; empty where the two share no disk.

    A server reached through a tunnel or in a container looks like one of this machine, so the address proves nothing.
    The server compares the nonce with its own in every call that names a file.
    """
    path = _nonce_path(link, link.stubs.endpoint)
    return read_nonce(path) if path else b""


@lru_cache(maxsize=_SERVERS_REMEMBERED)
def _nonce_path(link: Link, endpoint: object) -> str:
    request = models_pb2.GetServerInfoRequest()
    return link.call(lambda stubs: stubs.models.GetServerInfo, request).nonce_path
