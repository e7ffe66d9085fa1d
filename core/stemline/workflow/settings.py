"""Settings of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stemline.errors import UsageError
from stemline.hosts.base import Selection
from stemline.options import CHANNELS, FORMATS, MAX_PRIORITY, MAX_SEED, PLAYS, QUALITIES
from stemline.plan import PlanSettings


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything but the host and the stems.

    `channels` is "linked", "each" or "mono"; `sample_format` "wav24", "wav32f" or "flac" (None: wav24, but wav32f for
    media that hold more than 24 bits). `model` empty means the server's default; `server` None means the private one.
    With `checkerboard` neighbours never share a stem track. `audition_s` above 0 separates only so many seconds from
    the start of each clip and writes no tracks. Raises UsageError for what no run could take.
    """

    output_dir: Path
    selection: Selection = field(default_factory=Selection)
    plan: PlanSettings = field(default_factory=PlanSettings)
    server: str | None = None
    model: str = ""
    seed: int = 0
    quality: str = "standard"
    channels: str = "linked"
    sample_format: str | None = None
    chain: bool = False
    play: str = "all"
    checkerboard: bool = False
    disable_originals: bool = True
    overwrite: bool = False
    audition_s: int = 0
    priority: int = 0

    def __post_init__(self) -> None:
        _check_choice("quality", self.quality, QUALITIES)
        _check_choice("channels", self.channels, CHANNELS)
        _check_choice("sample_format", self.sample_format, (None, *FORMATS))
        _check_choice("play", self.play, PLAYS)
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"seed must be a whole number from 0 to {MAX_SEED}, not {self.seed}.")
        if self.audition_s < 0:
            raise UsageError(f"audition_s must be 0 or more, not {self.audition_s}.")
        if abs(self.priority) > MAX_PRIORITY:
            raise UsageError(f"priority must be -{MAX_PRIORITY} to {MAX_PRIORITY}, not {self.priority}.")


def _check_choice(name: str, chosen: str | None, choices: tuple[str | None, ...]) -> None:
    if chosen not in choices:
        raise UsageError(f"{name} must be one of {', '.join(filter(None, choices))}, not {chosen!r}.")
