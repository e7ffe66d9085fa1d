"""Adapter `stemline`: what there is to separate in an edit, as JSON that people and programs can read and change.

Writing lists every clip of the edit's sounding tracks with its media, source and record range, and why it would be left
out; reading gives those clips back as a timeline at the same places, so that the list can be separated by itself.
Times are whole frames (or samples) of `rate`, or fractions of them written "p/q". Nothing here opens media.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import opentimelineio as otio

from stemline.plan import pack_lanes
from stemline_otio.document import refuse_endless_nesting
from stemline_otio.exact_time import Ticks, exact_rate, frame_ticks, rational_time, span_of, ticks_of
from stemline_otio.reading import STEMLINE, source_tracks
from stemline_otio.walk import Use, Walk, speed_of

VERSION = 1
_FALLBACK_RATE = 24.0


def write_to_string(input_otio: otio.schema.Timeline, stems: Mapping[str, str] | None = None) -> str:
    """Return the work list of a timeline.

    `stems` maps names of stems to what to separate; without it those of the edit's last run are used. Raises TypeError
    for an object that is not a timeline.
    """
    if not isinstance(input_otio, otio.schema.Timeline):
        raise TypeError("a Stemline work list is made from a timeline")
    refuse_endless_nesting(input_otio)
    run = input_otio.metadata.get(STEMLINE, {})
    asked = [{"name": name, "text": text} for name, text in stems.items()] if stems else _plain(run.get("stems", []))
    start = input_otio.global_start_time
    names = {track.index: track.name for track in source_tracks(input_otio)}
    uses = Walk(input_otio, lambda clip: None).uses(list(names))
    document = {
        "stemline_work": VERSION,
        "name": input_otio.name,
        "start": None if start is None else {"at": _count(ticks_of(start), start.rate), "rate": _rate(start.rate)},
        "stems": asked,
        "work": [_entry(use, names[use.track]) for use in uses],
        "files": [_file(clip, track.name) for track in input_otio.tracks if STEMLINE in track.metadata
                  for clip in track.find_clips()],
    }  # fmt: skip
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def read_from_string(input_str: str) -> otio.schema.Timeline:
    """Return the clips of a work list on tracks named after theirs. Raises ValueError for other text."""
    document = json.loads(input_str)
    if not isinstance(document, dict) or document.get("stemline_work") != VERSION:
        raise ValueError(f"this is no Stemline work list of version {VERSION}")
    timeline = otio.schema.Timeline(str(document.get("name", "")))
    start = document.get("start")
    if start is not None:
        timeline.global_start_time = _time(start["at"], start["rate"])
    timeline.metadata[STEMLINE] = {"version": VERSION, "stems": document.get("stems", [])}
    by_track: dict[str, list[dict[str, Any]]] = {}
    for entry in document["work"]:
        by_track.setdefault(str(entry["track"]), []).append(entry)
    for name, entries in by_track.items():
        for track in _lanes(name, entries):
            timeline.tracks.append(track)
    return timeline


def _entry(use: Use, track: str) -> dict[str, Any]:
    clip = use.clip
    used = clip.source_range or clip.trimmed_range()
    rate = used.duration.rate or _FALLBACK_RATE
    reference = clip.media_reference
    available = reference.available_range if reference is not None else None
    speed = speed_of(clip)
    inside = span_of(used).start + (use.record.start - use.origin) * (speed or 1)
    return {
        "id": ".".join(map(str, use.path)),
        "clip": clip.name,
        "track": track,
        "media": getattr(reference, "target_url", "") or "",
        "rate": _rate(rate),
        "source": {"start": _count(inside, rate), "length": _count(use.record.duration * (speed or 1), rate)},
        "record": {"start": _count(use.record.start, rate), "length": _count(use.record.duration, rate)},
        "available": None if available is None else {
            "start": _count(span_of(available).start, rate), "length": _count(span_of(available).duration, rate)
        },
        "left_out": use.blocked.reason if use.blocked else "" if speed == 1 else "It is not played at its own speed.",
    }  # fmt: skip


def _file(clip: otio.schema.Clip, track: str) -> dict[str, Any]:
    own = _plain(clip.metadata.get(STEMLINE, {}))
    kept = ("stem", "prompt", "key", "model", "seed", "source", "audio_sha256")
    return {
        "clip": clip.name,
        "track": track,
        "file": getattr(clip.media_reference, "target_url", "") or "",
        **{name: own[name] for name in kept if name in own},
    }


def _lanes(name: str, entries: list[dict[str, Any]]) -> list[otio.schema.Track]:
    """Return as few tracks as hold the entries without overlap."""
    tracks = []
    for number, lane in enumerate(pack_lanes(entries, _record), 1):
        track = otio.schema.Track(name=name if number == 1 else f"{name} {number}", kind=otio.schema.TrackKind.Audio)
        cursor: Ticks = 0
        for entry in lane:
            start, end = _record(entry)
            if start > cursor:
                track.append(otio.schema.Gap(duration=rational_time(start - cursor, float(Fraction(entry["rate"])))))
            track.append(_clip(entry))
            cursor = end
        tracks.append(track)
    return tracks


def _record(entry: Mapping[str, Any]) -> tuple[Ticks, Ticks]:
    start = ticks_of(_time(entry["record"]["start"], entry["rate"]))
    return start, start + ticks_of(_time(entry["record"]["length"], entry["rate"]))


def _clip(entry: Mapping[str, Any]) -> otio.schema.Clip:
    available = entry.get("available")
    reference = otio.schema.MissingReference()
    if entry["media"]:
        reference = otio.schema.ExternalReference(str(entry["media"]))
        if available is not None:
            reference.available_range = _span(available, entry["rate"])
    clip = otio.schema.Clip(str(entry["clip"]), reference, _span(entry["source"], entry["rate"]))
    clip.metadata[f"{STEMLINE}_work"] = {"id": str(entry["id"])}
    clip.enabled = not entry.get("left_out")
    return clip


def _span(span: Mapping[str, Any], rate: str) -> otio.opentime.TimeRange:
    return otio.opentime.TimeRange(_time(span["start"], rate), _time(span["length"], rate))


def _time(count: int | str, rate: str) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(float(Fraction(count)), float(Fraction(rate)))


def _count(ticks: Ticks, rate: float) -> int | str:
    count = Fraction(ticks) / frame_ticks(rate)
    return count.numerator if count.denominator == 1 else str(count)


def _rate(rate: float) -> str:
    return str(exact_rate(rate))


def _plain(value: Any) -> Any:
    """Return OTIO metadata containers as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str | int | float | bool) or value is None:
        return value
    return [_plain(item) for item in value]
