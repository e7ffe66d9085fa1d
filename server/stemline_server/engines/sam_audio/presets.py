"""What a request's quality stands for. Distances between the presets are in docs/sam-audio.md."""

from __future__ import annotations

from dataclasses import dataclass

from stemline.errors import UsageError
from stemline_server.engines.sam_audio.solver import Method, Schedule


@dataclass(frozen=True, slots=True)
class Preset:
    """`candidates` estimates are solved from noises of their own; the one nearest to all others is kept."""

    schedule: Schedule
    candidates: int = 1


PRESETS = {
    "fast": Preset(Schedule(Method.MIDPOINT, 6)),
    "standard": Preset(Schedule(Method.MIDPOINT, 16)),
    "best": Preset(Schedule(Method.MIDPOINT, 32), candidates=3),
}


def preset(quality: str) -> Preset:
    """Raises UsageError for a quality that there is not."""
    try:
        return PRESETS[quality]
    except KeyError:
        raise UsageError(f"There is no quality {quality!r}.", advice=f"Choose one of: {', '.join(PRESETS)}.") from None
