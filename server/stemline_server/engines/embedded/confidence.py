"""What can be said of a target once all of it is through."""

from __future__ import annotations

import numpy as np

from stemline_server.engines.base import Finding
from stemline_server.engines.embedded.fusion import Heard, Samples
from stemline_server.engines.embedded.routing import Route

LOW_CONFIDENCE = "LOW_CONFIDENCE"
ROUGH_BY_WORDS = "ROUGH_BY_WORDS"
_MOST_BY_WORDS = 0.5
"""Animals and effects by words alone are rough even where the net is sure that they are there."""
_UNSURE_BELOW = 0.4
_FAINT = 1e-6
"""A target 60 dB under the mix is not there."""


class Tally:
    """Energies of one prompt's target and of the mix around it."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._mix = 0.0
        self._mix_with_target = 0.0
        self._target = 0.0

    def add(self, heard: Heard, target: Samples) -> None:
        mix = np.square(heard.mix, dtype=np.float64)
        self._mix += float(mix.sum())
        self._mix_with_target += float(mix[target != 0].sum())
        self._target += float(np.square(target, dtype=np.float64).sum())

    def finding(self, sure: float | None) -> Finding:
        """`sure`: how sure what was asked by name is that the sound is there, 0..1; None where only marks were."""
        if self._target <= _FAINT * self._mix:
            return Finding(found=False, confidence=0.0, matched=self._route.matched)
        if sure is None:  # how much of the amplitude where it is marked is more than background
            sure = min(1.0, (self._target / self._mix_with_target) ** 0.5)
        elif self._route.is_rough and not self._route.marked:
            sure *= _MOST_BY_WORDS
        return Finding(found=True, confidence=round(self._route.confidence * sure, 3), matched=self._route.matched)


def warnings(route: Route, finding: Finding) -> list[tuple[str, str]]:
    """Codes and sentences for a target that may be worse than the mix."""
    if not finding.found:
        return []
    if route.net_class and not route.marked and route.is_rough:
        said = f"By words alone {finding.matched} is found roughly: mark where it sounds for a far better stem."
        return [(ROUGH_BY_WORDS, said)]
    if finding.confidence < _UNSURE_BELOW:
        said = f"It is not sure that {finding.matched} is in this sound: listen before you use this stem."
        return [(LOW_CONFIDENCE, said)]
    return []
