"""How media are named: by what they sound like, rate and channel count included."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from stemline.errors import InputError

if TYPE_CHECKING:
    from hashlib import _Hash

BYTES_PER_SAMPLE = 4
_NAME = re.compile(r"media/([0-9a-f]{64})")


def new_digest(sample_rate: int, channels: int) -> _Hash:
    """Feed it interleaved little-endian float32; its hex digest is the id of the media (media.proto, `Media.name`)."""
    return hashlib.sha256(f"{sample_rate}:{channels}:".encode("ascii"))


def media_id(name: str) -> str:
    """The id in a media name. Raises InputError for anything else, so that no name can become a path of its own."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            "A media name is 'media/' and 64 hexadecimal digits.", advice="Use the name that the server gave."
        )
    return match[1]
