"""Words that mean a known sound are understood as people write them; others are refused with something to go on."""

from __future__ import annotations

import pytest

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.routes import route
from stemline_server.engines.embedded.words import match, phrases

SPAN = (SampleRange(0, 10),)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("speech", "speech"),
        ("Remove the voices!", "speech"),
        ("a person talking", "speech"),
        ("a man talking on the phone", "speech"),
        ("people talking in a crowd", "speech"),
        ("isolate the dog barking", "dog"),
        ("dogs", "dog"),
        ("a barking dog", "dog"),
        ("birds singing in the background", "bird"),
        ("please get rid of the background noise", "background"),
        ("everything except the speech", "background"),
        ("noise", "noise"),
        ("the sound of rain", "rain"),
        ("rain on a tin roof", "rain"),
        ("wind noise", "wind"),
        ("guitar music", "guitar"),
        ("a guitr", "guitar"),
        ("bass guitar", "bass"),
        ("someone playing piano", "piano"),
        ("footsteps on gravel", "footsteps"),
        ("car horns", "car horn"),
    ],
)
def test_a_prompt_is_taken_for_what_it_names(text: str, sound: str) -> None:
    assert match(text).sound == sound


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
        assert match(phrase).sound == meaning.sound, phrase


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
