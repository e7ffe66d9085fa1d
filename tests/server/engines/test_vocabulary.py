"""Risks: a text matched to the wrong sound, a known sound refused, a refusal without advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.routing import choose_route
from stemline_server.engines.embedded.vocabulary import match_sound, phrases

SPAN = (SampleRange(0, 10),)
TYPED = [line.split("\t") for line in Path(__file__).with_name("typed_prompts.tsv").read_text("utf-8").splitlines()[1:]]


@pytest.mark.parametrize(("text", "sound"), TYPED)
def test_a_typed_prompt_matches_its_sound_or_is_refused(text: str, sound: str) -> None:
    try:
        found = match_sound(text).sound
    except UsageError as refused:
        assert refused.code is Code.PROMPT_UNKNOWN
        found = "-"
    assert found == sound


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.PROMPT_EMPTY),
        ("  the ", Code.PROMPT_EMPTY),
        ("!!!\x00", Code.PROMPT_EMPTY),
        ("unicorn", Code.PROMPT_UNKNOWN),
        ("犬", Code.PROMPT_UNKNOWN),
        ("dog and cat", Code.PROMPT_UNKNOWN),
        ("x" * 10_000_000, Code.PROMPT_TOO_LONG),
    ],
)
def test_a_text_without_a_known_sound_is_refused_in_a_short_sentence(text: str, code: Code) -> None:
    with pytest.raises(UsageError) as refused:
        match_sound(text)
    assert refused.value.code is code
    assert len(str(refused.value)) < 300


def test_the_refusal_of_an_unknown_text_names_the_nearest_phrases() -> None:
    with pytest.raises(UsageError) as refused:
        match_sound("fiddlesticks")
    assert any(f'"{phrase}"' in refused.value.advice for phrase in phrases())


def test_every_phrase_of_the_table_can_be_matched() -> None:
    for phrase, match in phrases().items():
        if match.kind == "none":
            with pytest.raises(UsageError):
                match_sound(phrase)
        else:
            assert match_sound(phrase).sound == match.sound, phrase


def test_a_request_for_everything_else_is_refused_with_a_hint_to_the_residual() -> None:
    with pytest.raises(UsageError) as refused:
        match_sound("everything but the dog")
    assert "residual" in refused.value.advice


def test_a_sound_of_the_net_is_refused_if_the_net_does_not_know_it() -> None:
    with pytest.raises(UsageError) as refused:
        choose_route(EnginePrompt("dog barking"), ())
    assert refused.value.code is Code.PROMPT_UNSUPPORTED
    assert "Mark" in refused.value.advice
    assert choose_route(EnginePrompt("dog barking"), ("dog",)).net_class == "dog"
    assert choose_route(EnginePrompt("dog barking", plus=SPAN), ()).uses_spans


def test_spans_replace_an_unknown_text_but_not_one_that_is_too_long() -> None:
    assert choose_route(EnginePrompt("unicorn", plus=SPAN), ()).matched == "the marked sound"
    with pytest.raises(UsageError):
        choose_route(EnginePrompt("x" * 1_000, plus=SPAN), ())


def test_minus_spans_alone_mark_the_sound_to_remove() -> None:
    assert choose_route(EnginePrompt(minus=SPAN), ()).is_inverted
    assert not choose_route(EnginePrompt(plus=SPAN, minus=SPAN), ()).is_inverted
    assert not choose_route(EnginePrompt("speech", minus=SPAN), ()).is_inverted
