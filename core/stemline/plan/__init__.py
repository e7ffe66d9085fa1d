"""Plan a separation and place its stems: pure functions without input or output."""

from stemline.plan.cells import Cell, CellGrid, Part, cells_of, prompt_in, undivided
from stemline.plan.file_names import plain_part, safe_part, stem_file_name
from stemline.plan.placement import PlacedStem, TrackOptions, place_stems
from stemline.plan.separation import (
    Extent,
    Finished,
    PlannedJob,
    PlanSettings,
    SeparationPlan,
    StemSegment,
    WholeClips,
    plan_separation,
)
from stemline_bridge.timeline import pack_lanes

__all__ = [
    "Cell",
    "CellGrid",
    "Extent",
    "Finished",
    "Part",
    "PlacedStem",
    "PlanSettings",
    "PlannedJob",
    "SeparationPlan",
    "StemSegment",
    "TrackOptions",
    "WholeClips",
    "cells_of",
    "pack_lanes",
    "place_stems",
    "plain_part",
    "plan_separation",
    "prompt_in",
    "safe_part",
    "stem_file_name",
    "undivided",
]
