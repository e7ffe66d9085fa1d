"""Repair of OTIO documents that hold objects which this OpenTimelineIO does not know and Stemline does not need.

The native parser refuses the whole document over one effect of a studio's plug-in, or one marker of a newer schema.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import opentimelineio as otio

_PLAIN = {"effects": "Effect.1", "markers": "Marker.2", "media_references": "MissingReference.1"}
"""The plain object that replaces an unknown one, by the field that holds it."""

_ZERO = {"OTIO_SCHEMA": "RationalTime.1", "rate": 1.0, "value": 0.0}
_FIELDS: dict[str, dict[str, Any]] = {
    "Effect.1": {"effect_name": "", "enabled": True},
    "Marker.2": {
        "color": "RED",
        "marked_range": {"OTIO_SCHEMA": "TimeRange.1", "start_time": _ZERO, "duration": _ZERO},
    },
    "MissingReference.1": {"available_range": None},
    "Gap.1": {"source_range": None, "effects": [], "markers": [], "enabled": True},
}
"""The fields of a plain object, with what they hold where the unknown one has nothing fitting."""


def repaired(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return a document without unknown effects, markers, media references and items, and what was replaced.

    None where nothing of the kind is in it. Timelines, tracks and clips are never replaced.
    """
    try:
        root = json.loads(text)
    except (ValueError, RecursionError):
        return None
    replaced: Counter[str] = Counter()
    _repair(root, replaced)
    if not replaced:
        return None
    notes = (
        f"The OTIO schema {schema} is unknown: {count} object{'s' * (count > 1)} of it left out."
        for schema, count in replaced.items()
    )
    return json.dumps(root), tuple(notes)


def _repair(root: Any, replaced: Counter[str]) -> None:
    known = otio.core.type_version_map()
    pending = [root]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += item
        if not isinstance(item, dict):
            continue
        for name, value in item.items():
            if name == "metadata":
                continue  # unknown objects are allowed there
            if name in _PLAIN or name == "children":
                _replace(value, _PLAIN.get(name, "Gap.1"), known, replaced)
            pending.append(value)


def _replace(values: Any, plain: str, known: dict[str, int], replaced: Counter[str]) -> None:
    places = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for place, value in list(places):
        schema = value.get("OTIO_SCHEMA") if isinstance(value, dict) else None
        if not isinstance(schema, str) or _is_known(schema, known) or (plain == "Gap.1" and _is_needed(schema)):
            continue
        replaced[schema] += 1
        made: dict[str, Any] = {"OTIO_SCHEMA": plain, "name": value.get("name") or schema}
        made["metadata"] = value["metadata"] if isinstance(value.get("metadata"), dict) else {}
        for field, default in _FIELDS[plain].items():
            own = value.get(field, default)
            made[field] = own if isinstance(own, type(default)) or default is None else default
        if plain == "Effect.1":
            made["effect_name"] = made["effect_name"] or schema
        values[place] = made


def _is_known(schema: str, known: dict[str, int]) -> bool:
    name, _, version = schema.rpartition(".")
    return name in known and version.isdecimal() and int(version) <= known[name]


def _is_needed(schema: str) -> bool:
    return schema.rpartition(".")[0] in ("Clip", "Track", "Stack", "Gap", "Transition", "Timeline")
