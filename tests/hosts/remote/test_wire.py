"""Values of the host protocol: exact in both directions, and wrong ones named."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemline.clips import ClipRange, MediaSource, SampleRange, Skip, StemClip, StemTrack, TimeRange
from stemline.companion.wire import from_wire, to_wire
from stemline.errors import Code, HostError
from stemline.hosts.base import (
    HostCapabilities,
    RangeToRender,
    ReadClips,
    Selection,
    WriteOptions,
    Written,
)
from stemline.plan import PlanSettings
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings
from stemline.workflow.replacing import Replace
from stemline_bridge.lines import dump, load

pytestmark = pytest.mark.smoke

texts = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates too: file names hold them
whole = st.integers(-(2**70), 2**70)
rates = st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)])
exact = st.builds(Fraction, st.integers(-(10**30), 10**30), st.integers(1, 10**30))
times = st.builds(TimeRange, exact, exact)
samples = st.builds(SampleRange, whole, whole)
json_values = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
mappings = st.dictionaries(texts, json_values, max_size=3)
sources = st.builds(MediaSource, texts, whole, st.lists(whole, max_size=3).map(tuple), st.booleans())
clips = st.builds(ClipRange, texts, texts, texts, sources, times, times, st.none() | rates, mappings)
stem_clips = st.builds(StemClip, texts, texts, texts, times, exact, samples, whole, mappings)
words = st.text("aé語 ", min_size=1, max_size=8).filter(str.strip)
spans = times.filter(lambda span: span.duration > 0)
prompts = st.builds(TimelinePrompt, words, st.lists(spans, max_size=2).map(tuple))
text_lists = st.lists(texts, max_size=3).map(tuple)
VALUES: list[tuple[type[Any], st.SearchStrategy[Any]]] = [
    (ClipRange, clips),
    (ReadClips, st.builds(ReadClips, st.lists(clips, max_size=2).map(tuple))),
    (Skip, st.builds(Skip, texts, texts, exact, st.sampled_from(list(Code)), texts)),
    (
        StemTrack,
        st.builds(
            StemTrack,
            texts,
            texts,
            texts,
            whole,
            whole,
            st.booleans(),
            st.lists(stem_clips, max_size=2).map(tuple),
            mappings,
        ),
    ),
    (StemRequest, st.builds(StemRequest, words, prompts)),
    (Selection, st.builds(Selection, text_lists, st.booleans())),
    (WriteOptions, st.builds(WriteOptions, text_lists, mappings)),
    (Written, st.builds(Written, text_lists, texts, text_lists, texts)),
    (HostCapabilities, st.builds(HostCapabilities, texts, texts, st.booleans(), st.booleans(), st.booleans())),
    (RangeToRender, st.builds(RangeToRender, times, texts, texts, text_lists)),
]


def _through_a_line(value: object) -> object:
    line = dump(to_wire(value))
    assert b"\n" not in line
    return load(line)


@given(st.sampled_from(VALUES).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1])))
def test_every_value_of_the_protocol_survives_the_wire(pair: tuple[type[Any], Any]) -> None:
    kind, value = pair
    back = from_wire(kind, _through_a_line(value), "value")
    assert back == value
    assert to_wire(back) == to_wire(value)  # `carry` and `metadata` do not take part in ==


@given(clips)
def test_times_are_written_as_fractions_and_never_as_decimals(clip: ClipRange) -> None:
    wire = to_wire(clip)
    for text in (*wire["source_range"].values(), *wire["record_range"].values()):
        numerator, denominator = text.split("/")
        assert math.gcd(int(numerator), int(denominator)) == 1


def test_settings_of_a_run_can_be_given_in_part() -> None:
    given_settings = {"output_dir": "/out", "plan": {"handle": "1/2"}, "seed": 7, "sample_format": None}
    expected = RunSettings(Path("/out"), plan=PlanSettings(handle=Fraction(1, 2)), seed=7)
    assert from_wire(RunSettings, given_settings, "settings") == expected
    assert from_wire(RunSettings, _through_a_line(expected), "settings") == expected


def test_unknown_fields_of_a_newer_peer_are_ignored() -> None:
    assert from_wire(Selection, {"tracks": ["A1"], "colour": "teal"}, "selection") == Selection(("A1",))


CLIP = to_wire(
    ClipRange(
        "c", "n", "A1", MediaSource("/m.wav"), TimeRange(Fraction(0), Fraction(1)), TimeRange(Fraction(0), Fraction(1))
    )
)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("clip_id",), None, "clips[0].clip_id must be text, not None."),
        (("clip_id",), ..., "clips[0].clip_id is missing."),
        (("source",), [], "clips[0].source must be an object, not a list."),
        (("source", "stream"), True, "clips[0].source.stream must be a whole number, not True."),
        (("source", "stream"), 1.0, "clips[0].source.stream must be a whole number, not 1.0."),
        (("source", "channels"), "01", "clips[0].source.channels must be a list, not '01'."),
        (("source", "channels"), [0, "1"], "clips[0].source.channels[1] must be a whole number, not '1'."),
        (("source", "mono"), 0, "clips[0].source.mono must be true or false, not 0."),
        (("carry",), None, "clips[0].carry must be an object, not None."),
    ],
)
def test_a_wrong_field_is_named(path: tuple[str, ...], value: object, sentence: str) -> None:
    clip = json.loads(json.dumps(CLIP))
    inner = clip
    for name in path[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    with pytest.raises(HostError) as caught:
        from_wire(ReadClips, {"clips": [clip]}, "read_clips")
    assert caught.value.message == f"read_clips.{sentence}"
    assert caught.value.code is Code.HOST_PROTOCOL


@pytest.mark.parametrize("text", [0, 1.5, "1", "1.5", "1/0", "1/-2", " 1/2", "1/2\n", "1e9/1", "٣/4", f"{'9' * 41}/1"])
def test_a_time_that_is_not_an_exact_fraction_is_refused(text: object) -> None:
    with pytest.raises(HostError, match="start must be a fraction"):
        from_wire(TimeRange, {"start": text, "end": "1/1"}, "range")


def test_an_unknown_code_is_refused() -> None:
    skip = {"clip": "c", "track": "A1", "record_start": "0/1", "code": "HOST_ON_FIRE", "reason": "x"}
    with pytest.raises(HostError, match=r"skip\.code must be one of .*CLIP_RETIMED.*, not 'HOST_ON_FIRE'"):
        from_wire(Skip, skip, "skip")


@dataclass(frozen=True)
class Opaque:
    value: complex


def test_a_value_that_json_cannot_hold_is_a_programming_error() -> None:
    with pytest.raises(TypeError, match="complex"):
        to_wire(Opaque(1j))
    with pytest.raises(TypeError, match="complex"):
        from_wire(Opaque, {"value": 1}, "opaque")


def test_settings_by_stem_name_have_values_of_their_own_kind() -> None:
    """A mapping that passes through untouched would reach the run as plain JSON and break it there."""
    wire = {"output_dir": "/films", "remix": {"music": -6}, "replace": {"dialogue": {"gain_db": 3.0}}}
    settings = from_wire(RunSettings, wire, "settings")
    assert settings.remix == {"music": -6.0}
    assert settings.replace == {"dialogue": Replace(gain_db=3.0)}
    with pytest.raises(HostError, match=r"settings\.replace\.dialogue\.gain_db must be a number"):
        from_wire(RunSettings, {**wire, "replace": {"dialogue": {"gain_db": "loud"}}}, "settings")
