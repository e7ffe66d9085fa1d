"""Derive a finding and warnings from a finished target."""

from __future__ import annotations

import numpy as np

from stemline.errors import WarningCode
from stemline_server.engines.base import Finding
from stemline_server.engines.embedded.fusion import Samples
from stemline_server.engines.embedded.routing import Route

_CERTAINTIES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.92, 1.0)
_GOOD_IF_ROUGH = (0.05, 0.15, 0.4, 0.5, 0.65, 0.75, 0.8, 0.82, 0.85)
_GOOD_IF_NOT = (0.02, 0.06, 0.1, 0.15, 0.2, 0.4, 0.5, 0.8, 0.95)
"""Probability that a target by name gains more than 3 dB, at the net's certainty that the sound occurs, for animals and
effects and for all others. Fitted to 44 mixtures of packages held out from training."""
_LOW_CONFIDENCE_BELOW = 0.4
_SILENT_ENERGY_RATIO = 1e-6
"""A target 60 dB below the mix counts as absent."""
_WHOLE_MIX_ENERGY_RATIO = 0.97
_WHOLE_MIX_CERTAINTY = 0.5
"""A target that is nearly the whole mix was either alone or was not separated; the estimators cannot tell which."""


class TargetMeter:
    """Measure the energies of one prompt's target and of the mix."""

    def __init__(self, route: Route) -> None:
        """Create a meter for the target of a route."""
        self._route = route
        self._mix = 0.0
        self._mix_with_target = 0.0
        self._target = 0.0

    def add(self, mix: Samples, target: Samples) -> None:
        """Measure the next block of the mix and the target, both [samples]."""
        energy = np.square(mix, dtype=np.float64)
        self._mix += float(energy.sum())
        self._mix_with_target += float(energy[target != 0].sum())
        self._target += float(np.square(target, dtype=np.float64).sum())

    @property
    def is_whole_mix(self) -> bool:
        """Whether the target has nearly all energy of the mix."""
        return self._target > _WHOLE_MIX_ENERGY_RATIO * self._mix

    def finding(self, certainty: float | None) -> Finding:
        """Return the outcome for the measured target.

        Args:
            certainty: The estimators' certainty that the sound occurs, 0..1. None for spans without a name.
        """
        if self._target <= _SILENT_ENERGY_RATIO * self._mix:
            return Finding(found=False, confidence=0.0, matched=self._route.matched)
        if certainty is None:  # the target's share of the amplitude in the spans
            certainty = min(1.0, (self._target / self._mix_with_target) ** 0.5)
        elif self._route.net_class and not self._route.uses_spans:
            good = _GOOD_IF_ROUGH if self._route.is_rough else _GOOD_IF_NOT
            certainty = float(np.interp(certainty, _CERTAINTIES, good))
        if self.is_whole_mix:
            certainty *= _WHOLE_MIX_CERTAINTY
        confidence = round(self._route.confidence * certainty, 3)
        return Finding(found=True, confidence=confidence, matched=self._route.matched)


def warnings(
    route: Route, finding: Finding, *, is_whole_mix: bool = False, has_rumble: bool = False
) -> list[tuple[WarningCode, str]]:
    """Return codes and messages of warnings about a target that may be another sound or worse than the mix.

    Args:
        route: The route of the target's prompt.
        finding: The outcome.
        is_whole_mix: Whether the target has nearly all energy of the mix.
        has_rumble: Whether rumble was found with the sound.
    """
    given = [(WarningCode.PROMPT_SUBSTITUTED, route.substituted)] if route.substituted else []
    if not finding.found:
        return given
    if is_whole_mix:
        message = (
            f'"{finding.matched}" is nearly the whole mix: either nothing else sounds here, or it was not separated.'
        )
        given.append((WarningCode.STEM_IS_MIX, message))
    if has_rumble:
        message = f'Rumble sounds together with "{finding.matched}": it was reduced, and some may be left in the stem.'
        given.append((WarningCode.RUMBLE_LEFT, message))
    is_rough = bool(route.net_class) and not route.uses_spans and route.is_rough
    if finding.confidence < _LOW_CONFIDENCE_BELOW and not is_whole_mix:
        advice = "mark where it occurs" if is_rough else "listen before you use the stem"
        message = f"It is uncertain whether this audio contains {finding.matched}; {advice}."
        given.append((WarningCode.LOW_CONFIDENCE, message))
    elif is_rough:
        message = (
            f'Found by name alone, "{finding.matched}" is only approximate; mark where it occurs for a better stem.'
        )
        given.append((WarningCode.ROUGH_BY_WORDS, message))
    return given
