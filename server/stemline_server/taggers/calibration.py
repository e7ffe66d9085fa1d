"""Calibrations of taggers: from the score of a sound to the probability that it or a near relative occurs.

`python -m stemline_server.taggers.calibrate` fitted them to mixtures of recordings of games and of renders, which are
labelled by file name, and checked them on mixtures of other packages. No evaluation set took part.
"""

from __future__ import annotations

from collections.abc import Iterable

from stemline_server.taggers.spotting import CALIBRATION_SCORES, Calibration, known_sounds

Kind = str
_OTHER = "other"

AUDIOSET: dict[Kind, Calibration] = {
    "ambience": Calibration((0.024, 0.057, 0.114, 0.114, 0.137, 0.285, 0.522, 0.614, 0.726, 0.726)),
    "animal": Calibration((0.036, 0.079, 0.157, 0.181, 0.227, 0.328, 0.405, 0.405, 0.405, 0.622)),
    "instrument": Calibration((0.024, 0.086, 0.116, 0.231, 0.293, 0.468, 0.528, 0.528, 0.780, 0.852)),
    "music": Calibration((0.051, 0.066, 0.066, 0.066, 0.066, 0.131, 0.395, 0.430, 0.606, 0.943)),
    "speech": Calibration((0.002, 0.002, 0.002, 0.012, 0.077, 0.077, 0.306, 0.446, 0.446, 0.955)),
    _OTHER: Calibration((0.042, 0.064, 0.064, 0.080, 0.094, 0.148, 0.154, 0.155, 0.207, 0.207)),
}

EMBEDDED: dict[Kind, Calibration] = {
    "ambience": Calibration((0.023, 0.035, 0.035, 0.035, 0.053, 0.096, 0.111, 0.213, 0.351, 0.430)),
    "animal": Calibration((0.014, 0.053, 0.106, 0.106, 0.106, 0.106, 0.142, 0.180, 0.189, 0.362)),
    "music": Calibration((0.007, 0.014, 0.014, 0.076, 0.081, 0.203, 0.386, 0.386, 0.764, 0.764)),
    "speech": Calibration((0.003, 0.004, 0.006, 0.019, 0.042, 0.420, 0.428, 0.428, 0.428, 0.973)),
    _OTHER: Calibration((0.0,) * len(CALIBRATION_SCORES)),
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
