"""One prompt's target out of what each of the engine's means says, and what to tell of it in the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stemline_server.engines.embedded.routing import Route
from stemline_server.engines.embedded.span_context import presence

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heard:
    """The same samples [n] of the mix and of every means the prompt's route names; None for the others.

    `searched` is what the net was asked about, `speech_taken` (0..1) how much speech had been taken from it before.
    """

    start_sample: int
    mix: Samples
    speech: Samples | None = None
    vocals: Samples | None = None
    net: Samples | None = None
    searched: Samples | None = None
    speech_taken: Samples | None = None
    marked: Samples | None = None


def combine(route: Route, heard: Heard) -> Samples:
    """[n]: the mean of all that the route asks. Measured the best of the simple fusions."""
    estimates: list[Samples] = []
    if heard.speech is not None:
        estimates.append(heard.mix - heard.speech if route.not_speech else heard.speech)
    if heard.vocals is not None:
        estimates.append(heard.mix - heard.vocals if route.not_vocals else heard.vocals)
    if heard.net is not None:
        estimates.append(_trusted(heard, 0.95 if route.marked else 0.85))
    estimates = [estimate * _allowed(route, heard) for estimate in estimates]
    if heard.marked is not None:  # it keeps to the marks by itself
        estimates.append(heard.mix - heard.marked if route.inverted else heard.marked)
    return np.asarray(np.mean(estimates, axis=0, dtype=np.float32))


def _allowed(route: Route, heard: Heard) -> Samples:
    """[n], 0..1: where the marks let the target sound."""
    if route.inverted:
        return np.ones(heard.mix.size, np.float32)
    if route.plus and not route.minus:
        return presence(route.plus, heard.start_sample, heard.mix.size)
    return 1 - presence(route.minus, heard.start_sample, heard.mix.size)


def _trusted(heard: Heard, trust: float) -> Samples:
    """The net's answer with a little of what it was asked about: where it errs, that bounds the harm.

    Where speech is gone already most of the work is done, and the rest is worth more than the net's doubts.
    """
    if heard.net is None or heard.searched is None or heard.speech_taken is None:
        return heard.mix
    share = trust - (trust - 0.5) * heard.speech_taken
    return np.asarray(share * heard.net + (1 - share) * heard.searched, np.float32)
