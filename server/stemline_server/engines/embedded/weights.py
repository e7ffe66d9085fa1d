"""The shipped weights of the sound net: its classes, its digest, and loading it."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import cache
from importlib.resources import files
from typing import Any

from stemline_server.engines.embedded.net_separator import NetSeparator

WEIGHTS = "sound_net.safetensors"


@cache
def net_classes() -> frozenset[str]:
    """Return the classes that the net knows, from the header of its weights file; empty if there is no file."""
    stored = _read_weights()
    if not stored:
        return frozenset()
    (header_bytes,) = struct.unpack("<Q", stored[:8])
    return frozenset(json.loads(json.loads(stored[8 : 8 + header_bytes])["__metadata__"]["classes"]))


@cache
def net_digest() -> str:
    """Return the first 12 digits of the SHA-256 of the weights file, or "none" if there is no file."""
    stored = _read_weights()
    return hashlib.sha256(stored).hexdigest()[:12] if stored else "none"


def load_net() -> NetSeparator | None:
    """Load the net, or return None if the package was built without its weights."""
    path = files(__package__).joinpath(WEIGHTS)
    if not path.is_file():
        return None
    import torch  # noqa: PLC0415 - only needed where the net is used
    from safetensors import safe_open  # noqa: PLC0415

    from stemline_server.engines.embedded.sound_net import SoundNet  # noqa: PLC0415

    with safe_open(str(path), framework="pt") as stored:
        classes = tuple(json.loads(stored.metadata()["classes"]))
        values: dict[str, Any] = {name: stored.get_tensor(name).to(torch.float32) for name in stored.keys()}  # noqa: SIM118
    network = SoundNet(len(classes))
    network.load_state_dict(values)
    return NetSeparator(network.eval(), classes)


def _read_weights() -> bytes:
    path = files(__package__).joinpath(WEIGHTS)
    return path.read_bytes() if path.is_file() else b""
