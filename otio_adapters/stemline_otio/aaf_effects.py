"""Effects, transitions and markers of an AAF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import opentimelineio as otio

from stemline_otio.aaf_media import AAF_KEY


def is_time_warp(group: Any) -> bool:
    """Return whether an effect changes the speed of its input."""
    operation = group.getvalue("Operation")
    return bool(operation is not None and operation.getvalue("IsTimeWarp"))


def effect_of(group: Any) -> otio.schema.Effect:
    """Return the effect of an operation group: a time warp of steady speed, a time effect, or any other by its name."""
    operation = group.getvalue("Operation")
    name = str(getattr(operation, "name", "") or "effect")
    if is_time_warp(group):
        speed = _speed(group)
        if speed is None:
            return otio.schema.TimeEffect(name=name, metadata={AAF_KEY: {"Operation": name}})
        if speed == 0:
            return otio.schema.FreezeFrame()
        return otio.schema.LinearTimeWarp(name=name, time_scalar=float(speed))
    return otio.schema.Effect(name=name, metadata={AAF_KEY: {"Operation": name}})


def _speed(group: Any) -> Fraction | None:
    """Return media seconds per record second, 0 for a freeze frame, None for a speed that changes or is not stated."""
    parameters = {parameter.name: parameter for parameter in group.getvalue("Parameters") or []}
    curve = parameters.get("PARAM_SPEED_OFFSET_MAP_U")
    points = list(curve.getvalue("PointList") or []) if curve is not None else []
    if len(points) == 2:  # the stated ratio is wrong in many files, the two points are right
        length = Fraction(points[1].time) - Fraction(points[0].time)
        return (Fraction(points[1].value) - Fraction(points[0].value)) / length if length else None
    ratio = getattr(parameters.get("SpeedRatio"), "value", None)
    if len(points) > 2 or ratio is None:
        return None
    stated = Fraction(ratio)
    if stated == group.length:
        return Fraction(0)
    return 1 / stated if stated else Fraction(0)


def transition_of(component: Any, rate: float) -> otio.schema.Transition:
    """Return a transition with its offsets around the cut, and what the AAF adapter needs to write it again."""
    length, cut = component.length or 0, component.getvalue("CutPoint") or 0
    group = component.getvalue("OperationGroup")
    operation = group.getvalue("Operation") if group is not None else None
    facts: dict[str, Any] = {"CutPoint": cut}
    if operation is not None:
        facts["OperationGroup"] = {"Operation": _operation_facts(operation)}
        points = [
            {"Time": str(point.time), "Value": str(point.value)}
            for parameter in group.getvalue("Parameters") or []
            for point in parameter.getvalue("PointList") or []
        ]
        facts["PointList"] = points[:2]
    return otio.schema.Transition(
        name=str(getattr(operation, "name", "") or "dissolve"),
        transition_type=otio.schema.TransitionTypes.SMPTE_Dissolve,
        in_offset=otio.opentime.RationalTime(cut, rate),
        out_offset=otio.opentime.RationalTime(length - cut, rate),
        metadata={AAF_KEY: facts},
    )


def _operation_facts(operation: Any) -> dict[str, Any]:
    names = ("Identification", "Name", "Description", "IsTimeWarp", "Bypass", "NumberInputs", "OperationCategory")
    values = {name: operation.getvalue(name) for name in names}
    facts = {name: v if isinstance(v, bool | int) else str(v) for name, v in values.items() if v is not None}
    definition = operation.getvalue("DataDefinition")
    return {**facts, "DataDefinition": {"Name": str(getattr(definition, "name", "") or "Sound")}}


Tracks = Mapping[tuple[int, int], otio.schema.Track]
"""The tracks of a composition by slot and track number."""


def attach_markers(timeline: otio.schema.Timeline, tracks: Tracks, composition: Any) -> None:
    """Put the markers of a composition on the clips that they describe; those that name no clip go on the edit."""
    clips: dict[tuple[int, int], list[tuple[float, float, otio.schema.Clip]]] = {}
    for marker, seconds, places in _markers(composition):
        for place in places:
            if place in tracks and place not in clips:
                clips[place] = list(_clips(tracks[place]))
        under = [entry for place in places for entry in clips.get(place, ()) if entry[0] <= seconds < entry[1]]
        if not under:
            timeline.tracks.markers.append(marker)
            continue
        start, _, clip = under[0]
        begin = clip.source_range.start_time
        inside = otio.opentime.RationalTime(round((seconds - start) * begin.rate), begin.rate)
        marker.marked_range = otio.opentime.TimeRange(begin + inside, marker.marked_range.duration)
        clip.markers.append(marker)


def _clips(track: otio.schema.Track) -> Iterator[tuple[float, float, otio.schema.Clip]]:
    ranges = track.range_of_all_children()
    for item in track:
        if isinstance(item, otio.schema.Clip):
            span = ranges[item]
            yield span.start_time.to_seconds(), span.end_time_exclusive().to_seconds(), item


def _markers(composition: Any) -> Iterator[tuple[otio.schema.Marker, float, list[tuple[int, int]]]]:
    """Yield each marker, its time in seconds, and the tracks it describes. Resolve's markers describe none."""
    for slot in composition.slots:
        if type(slot).__name__ != "EventMobSlot" or not slot.edit_rate:
            continue
        rate = float(slot.edit_rate)
        number = slot.getvalue("PhysicalTrackNumber") or 0
        for event in getattr(slot.segment, "components", [slot.segment]):
            position = event.getvalue("Position")
            if not isinstance(position, int):
                continue
            length = event.getvalue("Length")
            span = otio.opentime.TimeRange(
                otio.opentime.RationalTime(position, rate),
                otio.opentime.RationalTime(length if isinstance(length, int) else 1, rate),
            )
            marker = otio.schema.Marker(str(event.getvalue("Comment") or ""), span, _color(event))
            described = event.getvalue("DescribedSlots") or ()
            yield marker, position / rate, [(int(slot_id), number) for slot_id in sorted(described)]


def _color(event: Any) -> str:
    attributes = {item.name: item.value for item in event.getvalue("CommentMarkerAttributeList") or []}
    name = str(attributes.get("_ATN_CRM_COLOR", "")).upper()
    return name if hasattr(otio.schema.MarkerColor, name) else str(otio.schema.MarkerColor.RED)
