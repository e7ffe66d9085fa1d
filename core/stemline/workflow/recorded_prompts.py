"""The prompts of a run in the edit that it wrote, and how they are read from it to run again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.clips import TimeRange
from stemline.errors import Code, EditError, UsageError
from stemline.prompts import Box, Mask, StemRequest, TimelinePrompt
from stemline.trust.privacy import recorded_path, recorded_words
from stemline.workflow.settings import RunSettings
from stemline_bridge import read_json_object
from stemline_bridge.constants import METADATA_KEY

_MAX_BYTES = 1 << 30
_NUMBERS = ("x", "y", "width", "height", "time")
_HASHED = "hmac-sha256:"
_EXACT = re.compile(r"-?\d{1,30}(/\d{1,30})?")


def recorded_stem(stem: StemRequest, settings: RunSettings) -> dict[str, Any]:
    """Return name and prompt of a stem as an edit holds them, in exact seconds of the timeline.

    Paths and words are written as `settings.record_paths` and `settings.record_words` say.
    """
    prompt = stem.prompt
    held: dict[str, Any] = {"name": stem.name, "text": recorded_words(prompt.text, settings.record_words)}
    for name, spans in (("plus", prompt.plus), ("minus", prompt.minus)):
        if spans:
            held[name] = [[str(span.start), str(span.end)] for span in spans]
    if prompt.box is not None:
        held["box"] = {name: str(getattr(prompt.box, name)) for name in _NUMBERS} | {"percent": prompt.box.percent}
    if prompt.mask is not None and settings.record_paths != "omit":
        mask = prompt.mask
        start = {} if mask.start is None else {"start": str(mask.start)}
        path = mask.path if mask.path == "alpha" else recorded_path(mask.path, settings.record_paths)
        media = {"media": mask.media} if mask.media and settings.record_paths == "full" else {}
        held["mask"] = {"path": path, **start, **media}
    return held


def read_recorded_stems(edit: Path) -> list[StemRequest]:
    """Return the stems that Stemline's edit (.otio) names, with their marks and pictures.

    A mask that is recorded by name alone is looked for beside the edit and in the folder above.

    Raises:
        EditError: The file is not an edit that Stemline wrote.
        UsageError: Its words were recorded as hashes or not at all, or a mask is not there.
    """
    whole = read_json_object(edit, _MAX_BYTES) or {}
    metadata = whole.get("metadata")
    run = metadata.get(METADATA_KEY) if isinstance(metadata, Mapping) else None
    stems = run.get("stems") if isinstance(run, Mapping) else None
    if not isinstance(stems, list) or not stems:
        raise EditError(
            f"{edit.name} names no stems of Stemline.",
            code=Code.EDIT_UNREADABLE,
            advice="Give the .stems.otio file of an earlier run.",
        )
    try:
        return [_stem(value, edit) for value in stems]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise EditError(f"The stems that {edit.name} names cannot be read.", code=Code.EDIT_UNREADABLE) from error


def _stem(value: Mapping[str, Any], edit: Path) -> StemRequest:
    name, text = str(value["name"]), str(value.get("text", ""))
    plus, minus = (tuple(_span(span) for span in value.get(sign, ())) for sign in ("plus", "minus"))
    box = _box(value["box"]) if "box" in value else None
    mask = _mask(value["mask"], name, edit) if "mask" in value else None
    if text.startswith(_HASHED) or not (text or plus or minus or box or mask):
        raise UsageError(
            f"{edit.name} does not hold the prompt of {name}.", advice=f"Name it again: --stem {name}=TEXT."
        )
    return StemRequest(name, TimelinePrompt(text, plus, minus, box, mask))


def _span(span: list[str]) -> TimeRange:
    return TimeRange(_exact(span[0]), _exact(span[1]))


def _exact(text: object) -> Fraction:
    """Return the number of a text "num/den" or "num". Raises ValueError: "1e999999999" would take hours to read."""
    if not isinstance(text, str) or _EXACT.fullmatch(text) is None:
        raise ValueError(f"{str(text)[:40]!r} is not an exact number")
    return Fraction(text)


def _box(value: Mapping[str, Any]) -> Box:
    x, y, width, height, time = (_exact(value[name]) for name in _NUMBERS)
    return Box(x, y, width, height, time=time, percent=bool(value["percent"]))


def _mask(value: Mapping[str, Any], name: str, edit: Path) -> Mask:
    path, start = str(value["path"]), _exact(value["start"]) if "start" in value else None
    if path == "alpha":
        return Mask(path, start)
    places = (Path(path), edit.parent / path, edit.parent.parent / path)
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise UsageError(
            f"The mask {path} of {name} is not beside {edit.name}.", advice=f"Name it again: --mask {name}=PATH."
        )
    return Mask(str(found), start, str(value.get("media", "")))
