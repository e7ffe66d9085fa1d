"""OTIO documents: checked before the native parser reads them, repaired where it is harmless, written whole."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio

from stemline.errors import Code, EditError, OutputError
from stemline.files import output_errors
from stemline_bridge import atomic_path

# OpenTimelineIO's parser and its copying recurse in native code: text nested some ten thousand deep ends the process.
_MAX_JSON_DEPTH = 1000
_MAX_NESTING = 64
_NOT_MARKS = bytes(sorted(set(range(256)) - set(b'{}[]"')))
_NUMBER_LINE = re.compile(r'^(\s*(?:"(?:[^"\\]|\\.)*"\s*:\s*)?)(-?\d[\d.eE+-]*)(,?)$')
_SCHEMA = re.compile(r'"OTIO_SCHEMA"\s*:\s*"([A-Za-z_]\w*)\.(\d+)"')


_UNREADABLE = (otio.exceptions.OTIOError, ValueError, KeyError, TypeError, RuntimeError)


def read_timeline(path: Path) -> otio.schema.Timeline:
    """Return the timeline of an .otio file, as `read_document` does, without its notes."""
    return read_document(path)[0]


def read_document(path: Path) -> tuple[otio.schema.Timeline, tuple[str, ...]]:
    """Return the timeline of an .otio file, and what of it could not be read and is not needed.

    Raises EditError in one sentence for a file that is missing, no OTIO, of a newer schema, nested without end, or
    without exactly one timeline.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EditError(f"The edit {path} cannot be read: {error.strerror or error}.") from error
    _refuse_deep_json(data, path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EditError(f"{path} is not an OTIO file: it is not UTF-8 text.") from error
    try:
        return only_timeline(otio.core.deserialize_json_from_string(text), path), ()
    except _UNREADABLE as error:
        found = repaired(text)
        if found is None:
            raise _unreadable(path, text, error) from error
    try:
        return only_timeline(otio.core.deserialize_json_from_string(found[0]), path), found[1]
    except _UNREADABLE as error:
        raise _unreadable(path, found[0], error) from error


def _unreadable(path: Path, text: str, error: Exception) -> EditError:
    if isinstance(error, otio.exceptions.UnsupportedSchemaError):
        return EditError(
            f"{path} is of a newer OTIO schema ({_newer_schemas(text)}) than OpenTimelineIO {otio.__version__} reads.",
            code=Code.EDIT_SCHEMA_UNSUPPORTED,
            advice="Export it for an older OTIO version, or update OpenTimelineIO.",
        )
    reason = " ".join(str(error).split())[:200]
    return EditError(f"{path} is not a readable OTIO file ({reason}).", advice="Export it again.")


def refuse_endless_nesting(timeline: otio.schema.Timeline) -> None:
    """Refuse a composition that holds itself or nests deeper than any editor does.

    Must run before anything asks such an object for its duration, which would recurse in native code without end.

    Raises:
        EditError: EDIT_CYCLIC.
    """
    # An explicit stack of iterators, so that depth is what is counted here and not Python's own frames.
    pending: list[Iterator[Any]] = [iter([timeline.tracks])]
    while pending:
        child = next(pending[-1], None)
        if child is None:
            pending.pop()
        elif isinstance(child, otio.core.Composition):
            if len(pending) > _MAX_NESTING:
                raise EditError(
                    f"The edit nests sequences more than {_MAX_NESTING} deep, or one inside itself.",
                    code=Code.EDIT_CYCLIC,
                    advice="Take the sequence out of itself, or render the nest, and export again.",
                )
            pending.append(iter(list(child)))


def save_timeline(
    timeline: otio.schema.Timeline, path: Path, is_right: Callable[[otio.schema.Timeline], bool]
) -> otio.schema.Timeline:
    """Write a timeline to a temporary file, read it back, compare, and put it in place.

    Args:
        timeline: The timeline to write.
        path: The file to write; it is replaced as a whole.
        is_right: Check of what was read back, by other code than that which built it.

    Returns:
        The timeline as read back.

    Raises:
        OutputError: DISK_FULL, OUTPUT_UNWRITABLE or OUTPUT_DAMAGED; then no file of that name is new or changed.
    """
    text = otio.core.serialize_json_to_string(timeline, {}, 4)
    with output_errors(path), atomic_path(path, durable=True) as part:
        part.write_text(text, encoding="utf-8", newline="\n")
        back = otio.core.deserialize_json_from_string(part.read_text(encoding="utf-8"))
        if not _is_same(text, otio.core.serialize_json_to_string(back, {}, 4)) or not is_right(back):
            raise OutputError(f"{path} did not read back as it was written.", code=Code.OUTPUT_DAMAGED)
    return back


def _is_same(written: str, back: str) -> bool:
    """Return whether two documents have the same content.

    They are compared as text, because NaN in metadata is not equal to itself as an object. Numbers may differ in the
    last digit or two, which the native parser does not always read exactly.
    """
    if written == back:
        return True
    one, other = written.split("\n"), back.split("\n")
    return len(one) == len(other) and all(a == b or _is_same_number(a, b) for a, b in zip(one, other, strict=True))


def _is_same_number(one: str, other: str) -> bool:
    a, b = _NUMBER_LINE.match(one), _NUMBER_LINE.match(other)
    if a is None or b is None or (a[1], a[3]) != (b[1], b[3]):
        return False
    return math.isclose(float(a[2]), float(b[2]), rel_tol=1e-14)


def _refuse_deep_json(data: bytes, path: Path) -> None:
    unescaped = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = np.frombuffer(unescaped.translate(None, _NOT_MARKS), dtype=np.uint8)
    outside = np.cumsum(marks == ord('"')) % 2 == 0
    opens = outside & ((marks == ord("{")) | (marks == ord("[")))
    closes = outside & ((marks == ord("}")) | (marks == ord("]")))
    depth = np.cumsum(opens.astype(np.int8) - closes, dtype=np.int64).max(initial=0)
    if depth > _MAX_JSON_DEPTH:
        raise EditError(
            f"{path} is nested {depth} levels deep, more than any edit.",
            code=Code.EDIT_CYCLIC,
            advice="Take the sequence out of itself and export again.",
        )


def _newer_schemas(text: str) -> str:
    known = otio.core.type_version_map()
    newer = {
        f"{name}.{version}" for name, version in _SCHEMA.findall(text) if int(version) > known.get(name, int(version))
    }
    return ", ".join(sorted(newer)[:5]) or "unknown"


def only_timeline(root: object, path: Path) -> otio.schema.Timeline:
    """Return the one timeline of a document. Raises EditError for none, for several, and for one without tracks."""
    if isinstance(root, otio.schema.SerializableCollection):
        timelines = [child for child in root if isinstance(child, otio.schema.Timeline)]
        if len(timelines) != 1:
            raise EditError(
                f"{path} is a collection of {len(timelines)} timelines.",
                advice="Export the one you need on its own.",
            )
        root = timelines[0]
    if not isinstance(root, otio.schema.Timeline):
        raise EditError(f"{path} holds {_kind(root)} instead of a timeline.", advice="Export the whole timeline.")
    if root.tracks is None:
        raise EditError(f"{path} holds a timeline without tracks.", code=Code.EDIT_NO_CLIPS)
    return root


def _kind(root: object) -> str:
    return f"a {root.schema_name()}" if isinstance(root, otio.core.SerializableObject) else "plain data"


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
