"""Calibrations of taggers: from the score of a sound to the probability that it occurs.

They are fitted by `python -m stemline_server.taggers.calibrate` to mixtures of packages that no net was trained on. No
evaluation set took part.
"""

from __future__ import annotations

from collections.abc import Iterable

from stemline_server.taggers.spotting import CALIBRATION_SCORES, Calibration, known_sounds

Kind = str
_OTHER = "other"

AUDIOSET: dict[Kind, Calibration] = {
    _OTHER: Calibration(CALIBRATION_SCORES),
}

EMBEDDED: dict[Kind, Calibration] = {
    _OTHER: Calibration(CALIBRATION_SCORES),
}


def kind_of(prompt: str) -> Kind:
    """Return the kind of a sound that shares one calibration."""
    if prompt in ("speech", "music"):
        return prompt
    sound = known_sounds().get(prompt)
    return _KINDS.get(sound.family, _OTHER) if sound else _OTHER


_KINDS = {
    family: kind
    for kind, families in {
        "instrument": ("guitar", "keyboard instrument", "percussion", "strings", "wind instrument"),
        "animal": ("animal", "dog", "cat", "bird", "farm animal", "insect", "rodent", "whale"),
        "ambience": ("water", "noise", "fire", "people", "vehicle"),
    }.items()
    for family in families
}


def calibrations_for(kinds: dict[Kind, Calibration], prompts: Iterable[str]) -> dict[str, Calibration]:
    """Return the calibration of each prompt."""
    return {prompt: kinds.get(kind_of(prompt), kinds[_OTHER]) for prompt in prompts}
