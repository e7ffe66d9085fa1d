"""Words that mean a known sound are understood as people write them; others are refused with something to go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.routing import route
from stemline_server.engines.embedded.vocabulary import match, phrases

SPAN = (SampleRange(0, 10),)
TYPED = [line.split("\t") for line in Path(__file__).with_name("typed_prompts.tsv").read_text("utf-8").splitlines()[1:]]


@pytest.mark.parametrize(("text", "sound"), TYPED)
def test_a_prompt_is_taken_for_what_it_names_or_refused(text: str, sound: str) -> None:
    try:
        found = match(text).sound
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
def test_other_words_are_refused_in_a_short_sentence(text: str, code: Code) -> None:
    with pytest.raises(UsageError) as refused:
        match(text)
    assert refused.value.code is code
    assert len(str(refused.value)) < 300


def test_an_unknown_prompt_names_the_nearest_known_ones() -> None:
    with pytest.raises(UsageError) as refused:
        match("fiddlesticks")
    assert any(f'"{phrase}"' in refused.value.advice for phrase in phrases())


def test_no_phrase_is_written_in_a_way_that_no_prompt_can_reach() -> None:
    for phrase, meaning in phrases().items():
        if meaning.kind == "none":
            with pytest.raises(UsageError):
                match(phrase)
        else:
            assert match(phrase).sound == meaning.sound, phrase


def test_what_is_to_be_left_over_is_refused_with_a_hint_to_the_residual() -> None:
    with pytest.raises(UsageError) as refused:
        match("everything but the dog")
    assert "residual" in refused.value.advice


def test_words_for_what_only_a_net_could_find_are_unsupported_without_it() -> None:
    with pytest.raises(UsageError) as refused:
        route(EnginePrompt("dog barking"), ())
    assert refused.value.code is Code.PROMPT_UNSUPPORTED
    assert "Mark" in refused.value.advice
    assert route(EnginePrompt("dog barking"), ("dog",)).net_class == "dog"
    assert route(EnginePrompt("dog barking", plus=SPAN), ()).marked


def test_marks_make_up_for_words_it_does_not_know() -> None:
    assert route(EnginePrompt("unicorn", plus=SPAN), ()).matched == "the marked sound"
    with pytest.raises(UsageError):
        route(EnginePrompt("x" * 1_000, plus=SPAN), ())


def test_marks_of_what_is_not_the_target_alone_take_that_away() -> None:
    assert route(EnginePrompt(minus=SPAN), ()).inverted
    assert not route(EnginePrompt(plus=SPAN, minus=SPAN), ()).inverted
    assert not route(EnginePrompt("speech", minus=SPAN), ()).inverted
