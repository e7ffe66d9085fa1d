"""Measure whether doubtful stems carry a warning: of absent sounds, and of stems that are nearly the whole mix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemline.errors import WarningCode
from stemline_server.engines.base import EnginePrompt, EngineRequest, Finding
from stemline_server.engines.embedded import EmbeddedEngine
from stemline_server.engines.embedded.evaluation_clips import Clip, Wave, read_clips

WHOLE_MIX_SHARE = 0.97
NOT_IN_SETS = (
    "sheep", "rooster", "frog", "owl", "elephant", "telephone", "helicopter", "train", "applause", "saw", "glass",
    "laughter", "car horn", "keyboard typing", "thunder", "waves", "hum", "cat", "clock", "camera",
)  # fmt: skip
"""Sounds to ask for where they are absent: none that may hide in music or speech."""
PER_CLIP = 3


@dataclass
class Outcome:
    """Hold what the engine reports of one stem.

    Attributes:
        finding: The finding; None before the stem is finished.
        codes: Codes of its warnings.
    """

    finding: Finding | None = None
    codes: list[str] = field(default_factory=list)


class OutcomeControl:
    """Collect the outcomes of all prompts of a request."""

    def __init__(self, prompts: int) -> None:
        """Create an empty outcome for each prompt."""
        self.outcomes = [Outcome() for _ in range(prompts)]

    def step(self, done: int, total: int) -> None:
        """Ignore progress."""

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Note the code of a warning."""
        self.outcomes[prompt].codes.append(str(code))

    def find(self, prompt: int, finding: Finding) -> None:
        """Note a finding."""
        self.outcomes[prompt].finding = finding


def absent_sounds(clip: Clip, number: int, rest: str) -> tuple[str, ...]:
    """Return names of sounds that are not in a clip; they rotate with its number."""
    heard = {clip.prompt, rest}
    rotated = [NOT_IN_SETS[(PER_CLIP * number + i) % len(NOT_IN_SETS)] for i in range(2 * PER_CLIP)]
    return tuple(name for name in rotated if name not in heard)[:PER_CLIP]


def outcomes(engine: EmbeddedEngine, clip: Clip, texts: tuple[str, ...]) -> Iterator[tuple[Outcome, Wave]]:
    """Yield the outcome and the stem of each text."""
    control = OutcomeControl(len(texts))
    request = EngineRequest(clip.source(), tuple(map(EnginePrompt, texts)))
    stems = np.concatenate(list(engine.separate(request, control)), axis=-1)[:, 0]
    yield from zip(control.outcomes, stems, strict=True)


def measure_warnings(folder: Path) -> dict[str, int]:
    """Return counts over the clips of a folder.

    Returns:
        Counts "absent", of these "silent", "doubted" (LOW_CONFIDENCE or STEM_IS_MIX) and "unnoticed" (not silent, no
        warning of any kind); "stems" of all sounds, of these "whole mix" and "whole mix without a warning"; "rumble".
    """
    engine = EmbeddedEngine()
    engine.load("cpu")
    rests = {item["id"]: str(item.get("rest", "")) for item in json.loads((folder / "manifest.json").read_text())}
    names = ("absent", "silent", "doubted", "unnoticed", "stems", "whole mix", "whole mix without a warning", "rumble")
    counts = dict.fromkeys(names, 0)
    for number, clip in enumerate(read_clips(folder)):
        absent = absent_sounds(clip, number, rests[clip.name])
        for text, (outcome, stem) in zip(
            (clip.prompt, *absent), outcomes(engine, clip, (clip.prompt, *absent)), strict=True
        ):
            counts["stems"] += 1
            counts["rumble"] += WarningCode.RUMBLE_LEFT in outcome.codes
            if np.square(stem).sum() > WHOLE_MIX_SHARE * np.square(clip.mixture).sum():
                counts["whole mix"] += 1
                counts["whole mix without a warning"] += WarningCode.STEM_IS_MIX not in outcome.codes
            if text in absent:
                counts["absent"] += 1
                is_silent = outcome.finding is not None and not outcome.finding.found
                is_doubted = bool({WarningCode.LOW_CONFIDENCE, WarningCode.STEM_IS_MIX} & set(outcome.codes))
                counts["silent"] += is_silent
                counts["doubted"] += is_doubted and not is_silent
                counts["unnoticed"] += not is_silent and not outcome.codes
    return counts
