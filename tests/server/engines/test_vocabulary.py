"""Risks: a text matched to the wrong sound, a known sound refused, a refusal without advice."""

from __future__ import annotations

from pathlib import Path

import pytest

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError, WarningCode
from stemline_server.engines.base import EnginePrompt, Finding
from stemline_server.engines.embedded.confidence import warnings
from stemline_server.engines.embedded.evaluate import main as evaluate
from stemline_server.engines.embedded.meanings import related_phrases
from stemline_server.engines.embedded.routing import choose_route
from stemline_server.engines.embedded.translations import translations
from stemline_server.engines.embedded.vocabulary import match_sound, phrases

SPAN = (SampleRange(0, 10),)


def table(name: str) -> list[list[str]]:
    return [line.split("\t") for line in Path(__file__).parent.joinpath(name).read_text("utf-8").splitlines()[1:]]


TYPED = table("typed_prompts.tsv")
EVERYDAY = table("prompts/everyday.tsv") + table("prompts/fresh_everyday.tsv")
UNUSUAL = table("prompts/unusual.tsv") + table("prompts/fresh_unusual.tsv")


@pytest.mark.parametrize(("text", "sound"), TYPED)
def test_a_typed_prompt_matches_its_sound_or_is_refused(text: str, sound: str) -> None:
    try:
        found = match_sound(text).sound
    except UsageError as refused:
        assert refused.code is Code.PROMPT_UNKNOWN
        found = "-"
    assert found == sound


@pytest.mark.parametrize(("text", "sounds"), EVERYDAY + UNUSUAL)
def test_an_everyday_or_unusual_prompt_is_right_or_refused(text: str, sounds: str) -> None:
    try:
        found = match_sound(text).sound
    except UsageError as refused:
        assert '"' in refused.advice  # it suggests other sounds
        found = "-"
    assert found in sounds.split("|")


@pytest.mark.parametrize(
    ("text", "sound", "relation"),
    [
        ("chihuahua", "dog", "'chihuahua' is a kind of it"),
        ("affenpinschers", "dog", "'affenpinscher' is a kind of it"),
        ("an auctioneer in the distance", "speech", "'auctioneer' makes this sound"),
        ("the paper shredder", "machine", "'paper shredder' is a kind of it"),
        ("rain gutter", "water", "'rain gutter' makes this sound"),
    ],
)
def test_a_word_that_means_a_known_sound_is_taken_for_it_and_the_relation_is_said(
    text: str, sound: str, relation: str
) -> None:
    match = match_sound(text)
    assert (match.sound, match.is_substitute, match.reason) == (sound, True, relation)


@pytest.mark.parametrize(
    ("text", "sound"), [("laughing clown", "laughter"), ("barking labrador", "dog"), ("shotgun blast", "explosion")]
)
def test_the_sound_in_a_prompt_counts_more_than_its_source(text: str, sound: str) -> None:
    assert match_sound(text).sound == sound


@pytest.mark.parametrize(("text", "sounds", "language"), table("prompts/languages.tsv"))
def test_an_everyday_prompt_in_another_language_is_known(text: str, sounds: str, language: str) -> None:
    assert match_sound(text).sound in sounds.split("|"), language


def test_the_command_prints_how_many_prompts_are_right(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tmp_path.joinpath("some.tsv").write_text("# comment\nspeech\tspeech\nchihuahua\tcat\nunicorn\t-\n")
    assert evaluate([str(tmp_path), "--prompts"]) == 0
    table, failure = capsys.readouterr().out.splitlines()[1:]
    assert table.split() == ["some", "3", "2", "1", "1", "1", "0"]
    assert "'chihuahua' was taken for 'dog'" in failure


@pytest.mark.parametrize("text", ["belly", "mousse", "harmonic", "matching", "canon", "rein", "sneaking", "boating"])
def test_an_english_word_is_never_taken_for_a_typing_error(text: str) -> None:
    with pytest.raises(UsageError):
        match_sound(text)


@pytest.mark.parametrize(
    ("text", "sound"),
    [("spech", "speech"), ("violn", "violin"), ("gitar", "guitar"), ("dog brking", "dog"), ("trafic niose", "engine")],
)
def test_a_typing_error_is_corrected_and_the_correction_is_said(text: str, sound: str) -> None:
    match = match_sound(text)
    assert (match.sound, match.is_substitute) == (sound, True)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (EnginePrompt("espresso maker"), "'espresso maker' was taken for machine ('espresso maker' is a kind of it)."),
        (EnginePrompt("paper shredder"), "'paper shredder' was taken for machine ('paper shredder' is a kind of it)."),
        (EnginePrompt("my labrador playing"), "'my labrador playing' was taken for dog ('labrador' is a kind of it)."),
        (EnginePrompt("helicoptor"), "'helicoptor' was taken for helicopter."),
        (EnginePrompt("unicorn", plus=SPAN), "This model doesn't know 'unicorn'; it used only the marked spans."),
        (EnginePrompt("remove the dogs barking"), ""),
        (EnginePrompt("the guy in the red jacket"), ""),
        (EnginePrompt(plus=SPAN), ""),
    ],
)
def test_a_substitution_is_said_in_a_warning(prompt: EnginePrompt, message: str) -> None:
    route = choose_route(prompt, ("machine", "helicopter", "dog"))
    codes = dict(warnings(route, Finding(found=False, confidence=0)))
    assert codes.get(WarningCode.PROMPT_SUBSTITUTED, "").startswith(message)
    assert bool(codes) == bool(message)


@pytest.mark.parametrize(("text", "near"), [("kettle", "water steam appliance"), ("electric kettles", "water steam")])
def test_a_refusal_suggests_related_sounds_not_similar_spellings(text: str, near: str) -> None:
    with pytest.raises(UsageError) as refused:
        match_sound(text)
    assert all(f'"{phrase}"' in refused.value.advice for phrase in near.split())
    assert "motor bike" not in refused.value.advice


def test_every_suggested_phrase_is_known_and_no_known_word_has_suggestions() -> None:
    for word, suggestions in related_phrases().items():
        assert all(match_sound(phrase).confidence == 1 for phrase in suggestions)
        with pytest.raises(UsageError):
            match_sound(word)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.PROMPT_EMPTY),
        ("  the ", Code.PROMPT_EMPTY),
        ("!!!\x00", Code.PROMPT_EMPTY),
        ("unicorn", Code.PROMPT_UNKNOWN),
        ("森", Code.PROMPT_UNKNOWN),
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


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("der Hund", "dog"),
        ("Hundegebell", "dog"),
        ("Schritte", "footsteps"),
        ("LES OISEAUX", "bird"),
        ("le bruit de la pluie", "rain"),
        ("l\u2019eau", "water"),
        ("ruido del viento", "wind"),
        ("p\u00e1jaro", "bird"),
        ("pa\u0301jaro", "bird"),  # decomposed
        ("\u72ac\u306e\u9cf4\u304d\u58f0", "dog"),
        ("\u96e8\u306e\u97f3", "rain"),
        ("\u8bf4\u8bdd\u58f0", "speech"),
        ("\u6383\u9664\u6a5f", "machine"),
    ],
)
def test_a_known_sound_is_known_in_five_other_languages(text: str, sound: str) -> None:
    match = match_sound(text)
    assert (match.sound, match.is_substitute) == (sound, False)


@pytest.mark.parametrize("text", ["Schmetterling", "\u8336\u58fa", "bouilloire", "Hund und Katze", "tetera"])
def test_other_words_of_these_languages_are_refused_not_guessed(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        match_sound(text)
    assert refused.value.code is Code.PROMPT_UNKNOWN


def test_no_translation_changes_what_an_english_phrase_means() -> None:
    for phrase, sound in translations().items():
        known = phrases().get(phrase, phrases()[sound])
        assert known.kind == "none" or match_sound(phrase).sound == known.sound
