"""What an original clip has beside its media, copied to its stems where they still add up to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import opentimelineio as otio

from stemline.errors import EditError
from stemline_otio.effects import effect_name, is_carried, is_idle
from stemline_otio.exact_time import Ticks, rational_time, ticks_of
from stemline_otio.format_metadata import FCP_KEY, fcp_facts


def copy_effects(original: otio.core.Item, skipped_frames: int = 0) -> tuple[list[otio.schema.Effect], list[str]]:
    """Copies of the effects that stems can take, and the names of those that they cannot.

    `skipped_frames` is how far into the media the stem file begins.
    """
    copies: list[otio.schema.Effect] = []
    left: list[str] = []
    if not len(original.effects):
        return copies, left
    for effect in original.effects:
        if is_carried(effect):
            copies.append(_copy(effect, skipped_frames))
        elif effect.enabled:
            left.append(effect_name(effect))
    return copies, left


def _copy(effect: otio.schema.Effect, skipped_frames: int) -> otio.schema.Effect:
    """Final Cut 7 XML counts key frames from the start of the file."""
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
    """Names of effects on the nested sequences around a clip, which flattened stems do not get."""
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
