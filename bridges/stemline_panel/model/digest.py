# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests that stay the same when fields with defaults are added to what they are made of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from stemline.companion.wire import to_wire

_FIRST_FIELDS = frozenset((
    "stems", "clips", "settings", "audition", "name", "prompt", "text", "plus", "minus", "start", "end", "clip_id",
    "track", "source", "path", "stream", "channels", "mono", "source_range", "record_range", "frame_rate", "carry",
    "output_dir", "selection", "tracks", "include_disabled", "plan", "handle", "context", "extent_grid_s", "server",
    "model", "seed", "quality", "sample_format", "chain", "play", "checkerboard", "disable_originals", "overwrite",
    "audition_s", "priority",
))  # fmt: skip
"""The fields of a request when the first digests were written. They are always part of it."""


def stable_digest(value: object) -> str:
    """Return the SHA-256 of a dataclass. Fields that are newer than the first digests count unless at their default."""
    return hashlib.sha256(json.dumps(_as_json(value), sort_keys=True).encode()).hexdigest()


def _as_json(value: object) -> Any:
    if isinstance(value, tuple):
        return [_as_json(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return to_wire(value)
    items = [(item, getattr(value, item.name)) for item in dataclasses.fields(value)]
    return {
        item.name: _as_json(content)
        for item, content in items
        if item.name in _FIRST_FIELDS or content != _default_of(item)
    }


def _default_of(item: dataclasses.Field[Any]) -> object:
    return item.default_factory() if item.default_factory is not dataclasses.MISSING else item.default
