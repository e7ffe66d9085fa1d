"""The names of media, made from the hash of their samples, rate and channel count."""

from __future__ import annotations

import re

from stemline.errors import InputError

_NAME = re.compile(r"media/([0-9a-f]{64})")


def media_id(name: str) -> str:
    """Return the id in a media name. Raises InputError for anything else, so that no name can become another path."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            "A media name is 'media/' and 64 hexadecimal digits.", advice="Use the name that the server gave."
        )
    return match[1]
