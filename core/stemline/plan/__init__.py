"""Plan a separation and place its stems: pure functions without input or output."""

from stemline.plan.file_names import plain_part, safe_part, stem_file_name
from stemline.plan.placement import PlacedStem, TrackOptions, place_stems
from stemline.plan.separation import (
    Extent,
    Finished,
    PlannedJob,
    PlanSettings,
    SeparationPlan,
    StemSegment,
    plan_separation,
)
from stemline_bridge.timeline import pack_lanes

__all__ = [
    "Extent",
    "Finished",
    "PlacedStem",
    "PlanSettings",
    "PlannedJob",
    "SeparationPlan",
    "StemSegment",
    "TrackOptions",
    "pack_lanes",
    "place_stems",
    "plain_part",
    "plan_separation",
    "safe_part",
    "stem_file_name",
]
