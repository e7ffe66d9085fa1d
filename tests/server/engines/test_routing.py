"""What is said of a target that may be worse than the mix it came from, and what marks without information become."""

from __future__ import annotations

import numpy as np
import pytest

from stemline.clips import SampleRange
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.confidence import Tally, warnings
from stemline_server.engines.embedded.fusion import Heard
from stemline_server.engines.embedded.routing import route, settled

MIX = np.ones(1_000, np.float32)
SPAN = (SampleRange(0, 48_000),)


@pytest.mark.parametrize(
    ("prompt", "sure", "code"),
    [
        (EnginePrompt("dog"), 0.9, "ROUGH_BY_WORDS"),
        (EnginePrompt("dog", plus=SPAN), 0.9, ""),
        (EnginePrompt("rain"), 0.9, ""),
        (EnginePrompt("rain"), 0.1, "LOW_CONFIDENCE"),
        (EnginePrompt("speech"), 0.1, "LOW_CONFIDENCE"),
    ],
)
def test_a_doubtful_stem_comes_with_a_warning(prompt: EnginePrompt, sure: float, code: str) -> None:
    chosen = route(prompt, ("dog", "rain"))
    tally = Tally(chosen)
    tally.add(Heard(0, MIX), 0.5 * MIX)
    finding = tally.finding(sure)
    assert finding.found
    assert [given for given, _ in warnings(chosen, finding)] == ([code] if code else [])


def test_silence_is_told_as_not_found_and_without_a_warning() -> None:
    chosen = route(EnginePrompt("dog"), ("dog",))
    tally = Tally(chosen)
    tally.add(Heard(0, MIX), 0 * MIX)
    finding = tally.finding(0.9)
    assert (finding.found, finding.confidence) == (False, 0.0)
    assert warnings(chosen, finding) == []


def test_marks_over_everything_leave_the_words_to_decide() -> None:
    words_and_marks = route(EnginePrompt("dog", plus=SPAN), ("dog",))
    assert not settled(words_and_marks, 48_000).marked
    assert settled(words_and_marks, 96_000).marked
    assert settled(route(EnginePrompt("speech", plus=SPAN), ()), 48_000).speech
    assert settled(route(EnginePrompt(plus=SPAN), ()), 48_000).marked
