"""What was written of a growing edit: the applied runs, and how to tell whether files were changed since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from stemline.clips import SampleRange, StemClip, StemTrack, TimeRange
from stemline_bridge import read_json_object

_VERSION = 1
_MAX_BYTES = 1 << 30  # the stems of a long edit take tens of megabytes


@dataclass(frozen=True, slots=True)
class AppliedPart:
    """The stems of one run in a growing edit.

    Attributes:
        key: Identifies the run.
        tracks: Its tracks, with the clips that are still in the edit.
        disabled: Ids of the clips whose originals are disabled for it.
        metadata: Settings of the run.
    """

    key: str
    tracks: tuple[StemTrack, ...]
    disabled: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, hash=False)

    @property
    def clip_ids(self) -> frozenset[str]:
        """Ids of the clips whose stems it holds."""
        return frozenset(clip.clip_id for track in self.tracks for clip in track.clips)

    def without(self, clip_ids: Collection[str]) -> AppliedPart:
        """Return the part without the stems of some clips."""
        tracks = []
        for track in self.tracks:
            clips = tuple(clip for clip in track.clips if clip.clip_id not in clip_ids)
            if clips:
                tracks.append(dataclasses.replace(track, clips=clips))
        disabled = tuple(clip_id for clip_id in self.disabled if clip_id not in clip_ids)
        return AppliedPart(self.key, tuple(tracks), disabled, self.metadata)


@dataclass(frozen=True, slots=True)
class GrowingState:
    """What was written last: parts, the hash of each file, and size and time of each copied stem file, by path.

    `positions` are the hashed positions of the clips with stems in the edit, by their ids.
    """

    parts: tuple[AppliedPart, ...] = ()
    output: str = ""
    hashes: Mapping[str, str] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    positions: Mapping[str, str] = field(default_factory=dict)


def state_to_json(state: GrowingState) -> dict[str, Any]:
    """Return the JSON form of a state; `read_state` reads it."""
    value = json.loads(json.dumps(dataclasses.asdict(state), default=str))  # exact seconds become texts
    return {"version": _VERSION, **value}


def read_state(place: Path) -> GrowingState:
    """Return the state in a file; an empty one if there is none, or it is damaged or of a later version."""
    value = read_json_object(place, _MAX_BYTES)
    if value is None or value.get("version") != _VERSION:
        return GrowingState()
    try:
        parts = tuple(
            AppliedPart(str(part["key"]), tuple(map(_track, part["tracks"])), tuple(part["disabled"]), part["metadata"])
            for part in value["parts"]
        )
        positions = dict(value.get("positions", {}))
        return GrowingState(parts, str(value["output"]), dict(value["hashes"]), dict(value["stamps"]), positions)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return GrowingState()


def _track(value: Mapping[str, Any]) -> StemTrack:
    return StemTrack(**{**value, "clips": tuple(map(_clip, value["clips"]))})


def _clip(value: Mapping[str, Any]) -> StemClip:
    record, held = value["record_range"], value["file_range"]
    return StemClip(
        **{
            **value,
            "record_range": TimeRange(Fraction(record["start"]), Fraction(record["end"])),
            "file_start": Fraction(value["file_start"]),
            "file_range": SampleRange(held["start_sample"], held["end_sample"]),
        }
    )
