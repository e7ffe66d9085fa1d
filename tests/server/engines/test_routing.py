"""Risks: a poor stem without a warning, a warning about silence, spans over everything that hide the text."""

from __future__ import annotations

import numpy as np
import pytest

from stemline.clips import SampleRange
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.confidence import TargetMeter, warnings
from stemline_server.engines.embedded.routing import choose_route, without_full_spans

pytestmark = pytest.mark.smoke

MIX = np.ones(1_000, np.float32)
SPAN = (SampleRange(0, 48_000),)


@pytest.mark.parametrize(
    ("prompt", "certainty", "code"),
    [
        (EnginePrompt("dog"), 0.9, "ROUGH_BY_WORDS"),
        (EnginePrompt("dog"), 0.2, "LOW_CONFIDENCE"),
        (EnginePrompt("dog", plus=SPAN), 0.9, ""),
        (EnginePrompt("rain"), 0.9, ""),
        (EnginePrompt("rain"), 0.1, "LOW_CONFIDENCE"),
        (EnginePrompt("speech"), 0.1, "LOW_CONFIDENCE"),
    ],
)
def test_a_doubtful_stem_has_a_warning(prompt: EnginePrompt, certainty: float, code: str) -> None:
    route = choose_route(prompt, ("dog", "rain"))
    meter = TargetMeter(route)
    meter.add(MIX, 0.5 * MIX)
    finding = meter.finding(certainty)
    assert finding.found
    assert [given for given, _ in warnings(route, finding)] == ([code] if code else [])


@pytest.mark.parametrize("prompt", [EnginePrompt("rain"), EnginePrompt("dog"), EnginePrompt(plus=SPAN)])
def test_a_stem_that_is_the_whole_mix_has_a_warning_and_half_the_confidence(prompt: EnginePrompt) -> None:
    route = choose_route(prompt, ("dog", "rain"))
    findings, codes = {}, {}
    for share in (0.96, 0.98, 1.0):
        meter = TargetMeter(route)
        meter.add(MIX, np.float32(share**0.5) * MIX)
        findings[share] = meter.finding(0.9)
        given = warnings(route, findings[share], is_whole_mix=meter.is_whole_mix)
        codes[share] = "STEM_IS_MIX" in dict(given)
    assert codes == {0.96: False, 0.98: True, 1.0: True}
    assert findings[1.0].confidence == pytest.approx(findings[0.96].confidence / 2, abs=0.001)


def test_rumble_is_said() -> None:
    route = choose_route(EnginePrompt("rain"), ("rain",))
    meter = TargetMeter(route)
    meter.add(MIX, 0.5 * MIX)
    assert [code for code, _ in warnings(route, meter.finding(1.0), has_rumble=True)] == ["RUMBLE_LEFT"]


def test_silence_is_reported_as_not_found_without_a_warning() -> None:
    route = choose_route(EnginePrompt("dog"), ("dog",))
    meter = TargetMeter(route)
    meter.add(MIX, 0 * MIX)
    finding = meter.finding(0.9)
    assert (finding.found, finding.confidence) == (False, 0.0)
    assert warnings(route, finding) == []


def test_spans_over_all_audio_are_ignored_if_there_is_a_text() -> None:
    both = choose_route(EnginePrompt("dog", plus=SPAN), ("dog",))
    assert not without_full_spans(both, 48_000).uses_spans
    assert without_full_spans(both, 96_000).uses_spans
    assert without_full_spans(choose_route(EnginePrompt("speech", plus=SPAN), ()), 48_000).speech
    assert without_full_spans(choose_route(EnginePrompt(plus=SPAN), ()), 48_000).uses_spans
