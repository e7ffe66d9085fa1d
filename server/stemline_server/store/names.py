"""The names of media, made from the hash of their samples, rate and channel count."""

from __future__ import annotations

import re

from stemline.errors import InputError
from stemline.media import MediaHasher
from stemline.media.pictures.picture_track import PictureTrackHasher
from stemline_server.store.media_table import MediaShape

_NAME = re.compile(r"media/([0-9a-f]{64})")


def hasher_of(shape: MediaShape) -> MediaHasher | PictureTrackHasher:
    """Return what names a file of that shape by its bytes."""
    return PictureTrackHasher() if shape.is_pictures else MediaHasher(shape.sample_rate, shape.channels)


def media_id(name: str) -> str:
    """Return the id in a media name. Raises InputError for anything else, so that no name can become another path."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            "A media name is 'media/' and 64 hexadecimal digits.", advice="Use the name that the server gave."
        )
    return match[1]
