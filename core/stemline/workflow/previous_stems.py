"""What earlier runs into the same folder made, so that an edit that was recut asks only for what is new."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from stemline.clips import RESIDUAL, MediaFacts, MediaSource, SampleRange
from stemline.plan import Finished

_Key = tuple[str, int, tuple[int, ...], bool, int]


def finished_sets(folder: Path, facts: Mapping[MediaSource, MediaFacts]) -> dict[MediaSource, tuple[Finished, ...]]:
    """The ranges of stem sets in `folder`, for each source whose name and channels they were made from.

    Media is matched by file name, because folders move between versions of an edit; the hash of its sound decides
    later. Sidecars that cannot be read are passed over.
    """
    found: dict[_Key, set[Finished]] = defaultdict(set)
    for record in _records(folder):
        key = _key_of_record(record)
        held = _finished(record) if key is not None else None
        if key is not None and held is not None:
            found[key].add(held)
    return {
        source: tuple(sorted(sets, key=lambda f: (f.range, f.extent)))
        for source, media in facts.items()
        if (sets := found.get(_key_of_source(source, media)))
    }


def _records(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(folder.glob(f"{RESIDUAL}_*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            yield record


def _key_of_record(record: Mapping[str, Any]) -> _Key | None:
    source, settings = record.get("source"), record.get("settings")
    if not (isinstance(source, dict) and isinstance(settings, dict) and isinstance(source.get("channels"), list)):
        return None
    media, stream, rate = source.get("media"), source.get("stream"), source.get("sample_rate")
    channels = tuple(channel for channel in source["channels"] if isinstance(channel, int))
    if not (isinstance(media, str) and isinstance(stream, int) and isinstance(rate, int)):
        return None
    name = PurePosixPath(unquote(media.rpartition("/")[2])).name
    return name, stream, channels, settings.get("channels") == "mono", rate


def _key_of_source(source: MediaSource, media: MediaFacts) -> _Key:
    return Path(source.path).name, source.stream, media.channels_of(source), source.mono, media.sample_rate


def _finished(record: Mapping[str, Any]) -> Finished | None:
    source, extent = record["source"], record.get("extent")
    bounds = [source.get("start_sample"), source.get("end_sample"), *(extent if isinstance(extent, list) else ())]
    if len(bounds) != 4 or not all(isinstance(bound, int) for bound in bounds):
        return None
    held, taken = SampleRange(bounds[0], bounds[1]), SampleRange(bounds[2], bounds[3])
    return Finished(held, taken) if held.length > 0 and taken.length > 0 else None
