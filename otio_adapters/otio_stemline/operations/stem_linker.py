"""Media linker `stemline`: finds the file of a stem clip by the metadata that Stemline wrote on the clip.

Arguments: `folder`, where the stems are now (default: the environment variable STEMLINE_STEMS). Other clips, and stems
that are not in the folder, keep their link. Nothing is separated here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import opentimelineio as otio

_STEMLINE = "stemline"
_Identity = tuple[str, str, int, int]


def link_media_reference(
    in_clip: otio.schema.Clip, media_linker_argument_map: Mapping[str, Any] | None = None
) -> otio.core.MediaReference | None:
    """Return the media reference of a stem clip with the link of its file, None to leave the clip as it is."""
    folder = (media_linker_argument_map or {}).get("folder") or os.environ.get("STEMLINE_STEMS")
    wanted = _identity(in_clip.metadata.get(_STEMLINE))
    if not folder or wanted is None:
        return None
    found = _index(Path(folder).absolute()).get(wanted)
    if found is None:
        return None
    reference = otio.schema.ExternalReference(found.as_uri(), in_clip.media_reference.available_range)
    reference.name = found.name
    return reference


@lru_cache(maxsize=8)
def _index(folder: Path) -> dict[_Identity, Path]:
    """Return the stem files under a folder, by their sidecars."""
    found: dict[_Identity, Path] = {}
    for sidecar in sorted(folder.rglob("*.json")):
        try:
            record = json.loads(sidecar.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        identity = _identity(record)
        named = record.get("file") if isinstance(record, dict) else None
        file = sidecar.with_name(Path(str(named.get("name", ""))).name) if isinstance(named, dict) else None
        if identity is not None and file is not None and file.is_file():
            found[identity] = file
    return found


def _identity(record: Any) -> _Identity | None:
    """Return what identifies a stem: its recipe and the range of the media that it holds."""
    if not isinstance(record, Mapping) or not isinstance(record.get("source"), Mapping):
        return None
    source = record["source"]
    start, end = source.get("start_sample"), source.get("end_sample")
    if not (record.get("key") and isinstance(start, int) and isinstance(end, int)):
        return None
    return str(record["key"]), str(record.get("stem", "")), start, end
