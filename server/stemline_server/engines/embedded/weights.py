"""The shipped weights of the sound net: its classes, its digest, and loading it."""

from __future__ import annotations

import hashlib
import json
import struct
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from stemline.errors import Code, SeparationError
from stemline_server.engines.embedded.net_separator import Gate, NetSeparator

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
    """Load the net, or return None if the package was built without its weights.

    Raises:
        SeparationError: The weights cannot be used; see `read_net`.
    """
    path = files(__package__).joinpath(WEIGHTS)
    return read_net(Path(str(path))) if path.is_file() else None


def read_net(path: Path) -> NetSeparator:
    """Load the net that a weights file describes: its trunk, teachers, classes and gate.

    Args:
        path: A file by `training.train.export`. Files without a trunk, teachers and a gate have the net, and the gate,
            of the first version.

    Raises:
        SeparationError: The file is damaged or from a newer version, or a teacher is missing or has other weights
            (MODEL_UNAVAILABLE).
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - only needed where the net is used

    from stemline_server.engines.embedded.dual_path_net import build_net  # noqa: PLC0415 - it imports torch
    from stemline_server.engines.embedded.teachers import stored_teachers  # noqa: PLC0415

    try:
        with safe_open(str(path), framework="pt") as stored:
            described = stored.metadata()
            values: dict[str, Any] = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
        classes = tuple(json.loads(described["classes"]))
        teachers = stored_teachers(json.loads(described.get("teachers", "{}")))
        network = build_net(described.get("trunk", "gru"), len(classes), teachers.channels if teachers else 0)
        network.load_state_dict(values)
        gate = Gate(**json.loads(described.get("gate", "{}")))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = f"The weights {path.name} cannot be used ({error}); install Stemline again or train them again."
        raise SeparationError(reason, code=Code.MODEL_UNAVAILABLE) from error
    return NetSeparator(network.eval(), classes, teachers, gate)


def _read_weights() -> bytes:
    path = files(__package__).joinpath(WEIGHTS)
    return path.read_bytes() if path.is_file() else b""
