"""What Final Cut 7 XML and AAF say of tracks and clips, put where OTIO keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import opentimelineio as otio

FCP_KEY = "fcp_xml"
_CLASS_NAMES = re.compile(r"^(Sequence|TimelineMobSlot|NestedScope|OperationGroup)?$")


def settle_fcp(timeline: otio.schema.Timeline) -> None:
    """Track names and enabled flags of tracks and clips, which the adapter reads into metadata alone."""
    for track in timeline.find_children(descended_from_type=otio.schema.Track):
        facts = fcp_facts(track)
        track.name = str(facts.get("@MZ.TrackName") or "") or _unnamed(track.name)
        track.enabled = track.enabled and not _says_no(facts.get("enabled"))
    for clip in timeline.find_clips():
        clip.enabled = clip.enabled and not _says_no(fcp_facts(clip).get("enabled"))


def settle_aaf(timeline: otio.schema.Timeline) -> None:
    """Tracks that the adapter names after a class of AAF have no name."""
    for track in timeline.tracks:
        if _CLASS_NAMES.match(track.name):
            track.name = ""


def fcp_facts(item: otio.core.SerializableObjectWithMetadata) -> Mapping[str, Any]:
    """The metadata that the Final Cut adapter keeps of an element; empty where there is none."""
    facts = item.metadata.get(FCP_KEY) if len(item.metadata) else None
    return facts if isinstance(facts, Mapping) else {}


def _unnamed(name: str) -> str:
    """The adapter calls tracks without a name after their kind."""
    return "" if name in ("Video", "Audio") else name


def _says_no(value: object) -> bool:
    return str(value).strip().upper() == "FALSE"
