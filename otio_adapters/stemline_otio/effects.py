"""Effects and markers of clips: what they do to the sound, and copies of them for stems."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import opentimelineio as otio

from stemline.errors import EditError
from stemline_otio.exact_time import Ticks, rational_time, ticks_of
from stemline_otio.format_metadata import FCP_KEY, as_mapping, fcp_facts

RESOLVE_KEY = "Resolve_OTIO"
# Linear in the sound: applied to each stem they add up to the effect on the original.
_LINEAR_NAME = re.compile(r"\b(volume|gain|levels?|fades?|pan(ner|ning)?|balance|mute)\b", re.IGNORECASE)
_LINEAR_RESOLVE = frozenset(
    {
        "Fairlight Clip Volume and Fades",
        "Fairlight Clip Pan",
        "Fairlight Clip Equaliser",
        "Fairlight Equaliser Band",
    }
)
_SPEED_NAME = re.compile(r"\b(retim(e|ing)|time ?(warp|remap(ping)?)|speed)\b", re.IGNORECASE)


def effect_name(effect: otio.schema.Effect) -> str:
    """Return the most telling name of an effect."""
    named = _resolve_settings(effect).get("Effect Name")
    return str(named or effect.effect_name or effect.name or effect.schema_name())


def is_idle(effect: otio.schema.Effect) -> bool:
    """Return whether an effect does nothing.

    Resolve lists every effect that a clip could have, without parameters or switched off; Premiere may leave a time
    remap at full speed.
    """
    settings = _resolve_settings(effect)
    if settings:
        return not (settings.get("Enabled", True) and settings.get("Parameters"))
    return _remap_values(effect) == ("0", "100", "FALSE")


def is_linear(effect: otio.schema.Effect) -> bool:
    """Return whether stems can take a copy of an effect: it is linear, so that they still add up."""
    if isinstance(effect, otio.schema.TimeEffect):
        return isinstance(effect, otio.schema.LinearTimeWarp)
    if is_idle(effect):
        return True
    if _resolve_settings(effect):
        return effect_name(effect) in _LINEAR_RESOLVE
    return bool(_LINEAR_NAME.search(_words(effect)))


def is_speed_curve(effect: otio.schema.Effect) -> bool:
    """Return whether an effect other than an OTIO time effect changes the speed along the clip."""
    if not _SPEED_NAME.search(_words(effect)):
        return False
    settings = _resolve_settings(effect)
    if not settings:
        return not is_idle(effect)
    parameters: Any = settings.get("Parameters") or ()
    return not is_idle(effect) and any(isinstance(p, Mapping) and p.get("Key Frames") for p in parameters)


def _remap_values(effect: otio.schema.Effect) -> tuple[str, ...]:
    """Return variable speed, speed in percent, and reverse from a time remap of Final Cut 7 XML."""
    facts = fcp_facts(effect)
    listed = facts.get("parameter")
    if facts.get("effectid") != "timeremap" or not isinstance(listed, Sequence) or isinstance(listed, str):
        return ()
    values = {p.get("parameterid"): str(p.get("value")) for p in listed if isinstance(p, Mapping)}
    return tuple(values.get(name, "") for name in ("variablespeed", "speed", "reverse"))


def _words(effect: otio.schema.Effect) -> str:
    return f"{effect_name(effect)} {effect.effect_name} {effect.name}".replace("_", " ")


def _resolve_settings(effect: otio.schema.Effect) -> Mapping[str, Any]:
    return as_mapping(effect.metadata.get(RESOLVE_KEY)) if len(effect.metadata) else {}


def copy_effects(original: otio.core.Item, skipped_frames: int = 0) -> tuple[list[otio.schema.Effect], list[str]]:
    """Return copies of the effects that stems can take, and the names of the others.

    `skipped_frames` is how far into the media the stem file begins.
    """
    copies: list[otio.schema.Effect] = []
    left: list[str] = []
    if not len(original.effects):
        return copies, left
    for effect in original.effects:
        if is_linear(effect):
            copies.append(_copy(effect, skipped_frames))
        elif effect.enabled:
            left.append(effect_name(effect))
    return copies, left


def _copy(effect: otio.schema.Effect, skipped_frames: int) -> otio.schema.Effect:
    """Copy an effect for a stem file. Final Cut 7 XML counts key frames from the start of the file."""
    twin = copy.deepcopy(effect)
    facts = fcp_facts(effect)
    if facts and skipped_frames:
        twin.metadata[FCP_KEY] = _moved_keys(facts, -skipped_frames)
    return twin


def _moved_keys(facts: Any, frames: int) -> Any:
    if isinstance(facts, Mapping):
        return {
            name: str(int(value) + frames) if name == "when" and str(value).isdecimal() else _moved_keys(value, frames)
            for name, value in facts.items()
        }
    if isinstance(facts, Sequence) and not isinstance(facts, str):
        return [_moved_keys(item, frames) for item in facts]
    return facts


def effects_of_nests(clip: otio.core.Composable) -> Iterator[str]:
    """Yield the names of effects on the nested sequences around a clip, which flattened stems do not get."""
    parent = clip.parent()
    while parent is not None and parent.parent() is not None and parent.parent().parent() is not None:
        for effect in parent.effects:
            if effect.enabled and not is_idle(effect):
                yield effect_name(effect)
        parent = parent.parent()


def copy_markers(original: otio.core.Item, shift: Ticks) -> list[otio.schema.Marker]:
    """Return copies of the markers, moved by the difference between the clip's time and its stem's.

    A marker whose time cannot be read is left out.
    """
    markers: list[otio.schema.Marker] = []
    if not len(original.markers):
        return markers
    for marker in original.markers:
        span = marker.marked_range
        try:
            start = rational_time(ticks_of(span.start_time) + shift, span.start_time.rate)
        except EditError:
            continue
        twin = copy.deepcopy(marker)
        twin.marked_range = otio.opentime.TimeRange(start, span.duration)
        markers.append(twin)
    return markers
