"""What there is to know of the shipped net without loading it."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import cache
from importlib.resources import files

from stemline_server.engines.embedded.net_separator import WEIGHTS


@cache
def net_classes() -> frozenset[str]:
    """The classes the net can be asked for, read from the header of its safetensors file; empty without one."""
    stored = _stored()
    if not stored:
        return frozenset()
    (header_bytes,) = struct.unpack("<Q", stored[:8])
    return frozenset(json.loads(json.loads(stored[8 : 8 + header_bytes])["__metadata__"]["classes"]))


@cache
def net_digest() -> str:
    """The first digits of the SHA-256 of the weights; "none" without any."""
    stored = _stored()
    return hashlib.sha256(stored).hexdigest()[:12] if stored else "none"


def _stored() -> bytes:
    path = files(__package__).joinpath(WEIGHTS)
    return path.read_bytes() if path.is_file() else b""
