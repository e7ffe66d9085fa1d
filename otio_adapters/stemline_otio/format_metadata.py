"""Metadata that formats keep beside OTIO's own fields: names, flags, markers, drop frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import opentimelineio as otio

FCP_KEY = "fcp_xml"
EDL_KEY = "cmx_3600"
_DROPPED = "DROP FRAME"


def apply_fcp_metadata(timeline: otio.schema.Timeline) -> None:
    """Set track names and the enabled flags of tracks and clips, which the adapter reads into metadata alone."""
    for track in timeline.find_children(descended_from_type=otio.schema.Track):
        facts = fcp_facts(track)
        track.name = str(facts.get("@MZ.TrackName") or "") or _unnamed(track.name)
        track.enabled = track.enabled and not _says_no(facts.get("enabled"))
    for clip in timeline.find_clips():
        clip.enabled = clip.enabled and not _says_no(fcp_facts(clip).get("enabled"))
        _move_markers(clip, 1)


def markers_from_file(clip: otio.schema.Clip) -> None:
    """Count a clip's markers from the start of its file, as the format does when written; OTIO uses the clip's time."""
    _move_markers(clip, -1)


def _move_markers(clip: otio.schema.Clip, direction: int) -> None:
    reference = clip.media_reference
    available = reference.available_range if reference is not None else None
    if available is not None and available.start_time.value:
        for marker in clip.markers:
            span = marker.marked_range
            start = span.start_time + otio.opentime.RationalTime(
                direction * available.start_time.value, available.start_time.rate
            )
            marker.marked_range = otio.opentime.TimeRange(start, span.duration)


def fcp_facts(item: otio.core.SerializableObjectWithMetadata) -> Mapping[str, Any]:
    """Return the metadata that the Final Cut adapter keeps of an element; empty where there is none."""
    return as_mapping(item.metadata.get(FCP_KEY)) if len(item.metadata) else {}


def note_drop_frame(timeline: otio.schema.Timeline) -> None:
    """Note that the edit's file counts its timecode with dropped labels."""
    timeline.metadata[EDL_KEY] = {**as_mapping(timeline.metadata.get(EDL_KEY)), "fcm": _DROPPED}


def is_drop_frame(timeline: otio.schema.Timeline) -> bool:
    """Return whether the edit's timecode is counted with dropped labels, as far as its file states it."""
    if as_mapping(timeline.metadata.get(EDL_KEY)).get("fcm") == _DROPPED:
        return True
    if as_mapping(timeline.metadata.get("AAF")).get("Drop") is True:
        return True
    return as_mapping(fcp_facts(timeline).get("timecode")).get("displayformat") == "DF"


def is_drop_clip(clip: otio.schema.Clip) -> bool:
    """Return whether an edit list counts the source timecode of a clip with dropped labels."""
    return len(clip.metadata) > 0 and as_mapping(clip.metadata.get(EDL_KEY)).get("drop_frame") is True


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a value of a file that should be a mapping; empty for anything else."""
    return value if isinstance(value, Mapping) else {}


def _unnamed(name: str) -> str:
    """Return the name of a track, empty where the adapter named it after its kind."""
    return "" if name in ("Video", "Audio") else name


def _says_no(value: object) -> bool:
    return str(value).strip().upper() == "FALSE"
