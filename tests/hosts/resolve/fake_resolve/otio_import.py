"""File > Import > Timeline for OpenTimelineIO, as picky as Resolve's (quirk 18): whatever is not shaped as its own
exports is refused without a word."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .item import Item
from .pool import PoolItem
from .sound import time_reference
from .timeline import Timeline, Track

if TYPE_CHECKING:
    from .project import Project

_KEY = "Resolve_OTIO"


def imported(project: Project, path: Path) -> Timeline | None:
    """The timeline of the document, None when it is not one that Resolve takes."""
    document = json.loads(path.read_text(encoding="utf-8"))
    start, tracks = document.get("global_start_time"), document["tracks"]["children"]
    clips = [one for track in tracks for one in track["children"] if one["OTIO_SCHEMA"].startswith("Clip.")]
    if start is None or not all(track.get("name") for track in tracks) or not all(map(_is_taken, clips)):
        return None
    rate = _rate(start["rate"])
    timeline = Timeline(project, document["name"], float(start["rate"]), rate, round(start["value"]))
    for track in tracks:
        if track["kind"] == "Audio":
            timeline.audio.append(_track(project, timeline, track))
    return timeline


def _is_taken(clip: dict[str, Any]) -> bool:
    if clip["OTIO_SCHEMA"] != "Clip.2" or clip.get("source_range") is None:
        return False
    reference = clip.get("media_references", {}).get(clip.get("active_media_reference_key"))
    if not reference or reference.get("available_range") is None:
        return False
    link = reference.get("target_url", "")
    if not (link.startswith("/") and Path(link).is_file()):
        return False
    used, held = clip["source_range"]["start_time"], reference["available_range"]["start_time"]
    return bool(_seconds(used) >= _seconds(held) and abs(_seconds(held) - time_reference(link)) < Fraction(1, 20))


def _track(project: Project, timeline: Timeline, facts: dict[str, Any]) -> Track:
    kind = facts.get("metadata", {}).get(_KEY, {}).get("Audio Type", "Mono")
    track, at = Track(kind.lower(), facts["name"]), Fraction(timeline.zero)
    track.enabled = facts.get("enabled", True)
    for child in facts["children"]:
        frames = _seconds(child["source_range"]["duration"]) * timeline.rate
        if child["OTIO_SCHEMA"] == "Clip.2":
            link = child["media_references"][child["active_media_reference_key"]]["target_url"]
            item = Item(timeline, track, PoolItem(link, project.rate), at, frames)
            item.source = _seconds(child["source_range"]["start_time"]) - time_reference(link)
            item.enabled = child.get("enabled", True)
            track.items.append(item)
        at += frames
    return track


def _seconds(time: dict[str, Any]) -> Fraction:
    return Fraction(time["value"]) / _rate(time["rate"])


def _rate(value: float) -> Fraction:
    exact = Fraction(value).limit_denominator(1001)
    return exact if exact.denominator in (1, 1001) else Fraction(round(value * 1001), 1001)
