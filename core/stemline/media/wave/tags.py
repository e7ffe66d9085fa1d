"""What a stem file says of itself, beside its audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class StemTags:
    """Goes into `bext` and `iXML` (FLAC: Vorbis comments).

    `time_reference_sample` is the source timecode of the first sample, in samples since midnight. `metadata` is the
    JSON object that stands under `stemline` elsewhere. `reference` (cut to 32 characters in `bext`) names the job.
    """

    description: str = ""
    reference: str = ""
    time_reference_sample: int = 0
    coding_history: str = ""
    project: str = ""
    scene: str = ""
    take: str = ""
    note: str = ""
    track_names: tuple[str, ...] = ()
    frame_rate: Fraction | None = None
    drop_frame: bool = False
    created: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
