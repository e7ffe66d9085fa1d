"""What the effects in an edit are, where OTIO itself only says that there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import opentimelineio as otio

from stemline_otio.format_metadata import as_mapping, fcp_facts

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
    """The name that tells most."""
    named = _resolve_settings(effect).get("Effect Name")
    return str(named or effect.effect_name or effect.name or effect.schema_name())


def is_idle(effect: otio.schema.Effect) -> bool:
    """Whether it does nothing.

    Resolve lists every effect that a clip could have, without parameters or switched off; Premiere may leave a time
    remap at full speed.
    """
    settings = _resolve_settings(effect)
    if settings:
        return not (settings.get("Enabled", True) and settings.get("Parameters"))
    return _remap_values(effect) == ("0", "100", "FALSE")


def is_carried(effect: otio.schema.Effect) -> bool:
    """Whether stems can take a copy."""
    if isinstance(effect, otio.schema.TimeEffect):
        return isinstance(effect, otio.schema.LinearTimeWarp)
    if is_idle(effect):
        return True
    if _resolve_settings(effect):
        return effect_name(effect) in _LINEAR_RESOLVE
    return bool(_LINEAR_NAME.search(_words(effect)))


def is_speed_curve(effect: otio.schema.Effect) -> bool:
    """Whether an effect that is no OTIO time effect changes the speed along the clip."""
    if not _SPEED_NAME.search(_words(effect)):
        return False
    settings = _resolve_settings(effect)
    if not settings:
        return not is_idle(effect)
    parameters: Any = settings.get("Parameters") or ()
    return not is_idle(effect) and any(isinstance(p, Mapping) and p.get("Key Frames") for p in parameters)


def _remap_values(effect: otio.schema.Effect) -> tuple[str, ...]:
    """What a time remap of Final Cut 7 XML says of variable speed, speed in percent, and reverse."""
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
