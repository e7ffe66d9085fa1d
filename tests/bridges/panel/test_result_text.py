"""What is said about a result of one clip or of many."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from bridges.panel.factories import clip, outcome, session
from stemline.clips import MediaSource, SampleRange, TimeRange
from stemline.workflow import ClipPlace, RunResult
from stemline.workflow.results import ClipOutcome, Failure, Notice, Null, StemOutcome
from stemline_panel.model.formatting import format_null
from stemline_panel.model.request import RefusedStem, RunOutcome
from stemline_panel.model.result_text import found_texts, result_messages

SECOND = SampleRange(0, 48000)


def clip_outcome(number: int, name: str, *, found: bool, confidence: float = 0.9) -> ClipOutcome:
    stem = StemOutcome("speech", "speech", f"/s/{number}.wav", found, confidence if found else 0.0, "speech")
    return ClipOutcome(
        f"c{number}", name, "A1", "0", "/m/talk.mov", 48000, 2, 48000, 0, "embedded", Null.of(0.0), (stem,),
        "/s/residual.wav", (), (), False, 1.0, 1.0,
        ClipPlace(MediaSource("/m/talk.mov"), SECOND, SECOND, TimeRange(Fraction(0), Fraction(1))),
    )  # fmt: skip


def finished(*clips: ClipOutcome, notices: tuple[Notice, ...] = (), failed: tuple[Failure, ...] = ()) -> RunOutcome:
    made = session(*(clip(number) for number in range(1, len(clips) + 1)))
    made.all_clips = True
    made.stems.add("speech")
    result = RunResult(clips, (), failed, notices, (), "", (), "embedded", 1.0, 1.0, 1.0)
    return replace(outcome(made.request()), result=result)


def not_found(name: str) -> Notice:
    return Notice(name, "speech", "NOT_FOUND", "speech was not heard here; its stem is silent.")


def test_a_clip_whose_sound_was_found_has_no_message_of_another_clip() -> None:
    """The clips of one file have one name, and each of them counts."""
    run = finished(
        clip_outcome(1, "talk.mov", found=True),
        clip_outcome(2, "talk.mov", found=False),
        clip_outcome(3, "talk.mov", found=False),
        clip_outcome(4, "rain.wav", found=False),
        notices=(not_found("talk.mov"), not_found("rain.wav")),
    )
    assert result_messages(run, "c1") == ["speech was not found in 3 other clips: talk.mov, rain.wav."]
    assert result_messages(run, "c2") == [
        "speech was not found; its stem is silent.",
        "speech was not found in 2 other clips: talk.mov, rain.wav.",
    ]
    assert found_texts(run.result, "c1") == {"speech": "speech, sure"}
    assert found_texts(run.result, "c2") == {"speech": "not found"}


def test_a_single_clip_is_not_named() -> None:
    run = finished(clip_outcome(1, "talk.mov", found=False), notices=(not_found("talk.mov"),))
    assert result_messages(run, "c1") == ["speech was not found; its stem is silent."]


def test_warnings_of_other_clips_name_them_and_come_later() -> None:
    run = finished(
        clip_outcome(1, "a.wav", found=True),
        clip_outcome(2, "b.wav", found=True),
        notices=(
            Notice("b.wav", "speech", "ROUGH", "This is rough."),
            Notice("a.wav", "speech", "UNSURE", "Listen to it."),
        ),
        failed=(Failure("c.wav", "A1", "0", "MEDIA_DAMAGED", "It is damaged."),),
    )
    assert result_messages(run, "c1") == [
        "speech: Listen to it.",
        "speech: This is rough. (b.wav)",
        "c.wav: It is damaged.",
    ]


def test_a_confidence_is_words_and_never_a_percentage() -> None:
    for confidence, word in ((1.0, "sure"), (0.5, "sure"), (0.49, "unsure"), (0.05, "unsure")):
        run = finished(clip_outcome(1, "a.wav", found=True, confidence=confidence))
        assert found_texts(run.result, "c1") == {"speech": f"speech, {word}"}


def test_a_refused_stem_is_named_with_its_reason() -> None:
    run = replace(finished(clip_outcome(1, "a.wav", found=True)), refused=(RefusedStem("vuvuzela", "Unknown."),))
    assert result_messages(run, "c1") == ["vuvuzela: Unknown."]


def test_how_far_the_layers_add_up_is_a_word_with_the_figure_in_the_tooltip() -> None:
    assert format_null(-300.0)[0] == "Nothing lost"
    text, tip = format_null(-144.4)
    assert text == "Nothing lost"
    assert "-144 dBFS" in tip
    assert format_null(-60.0)[0] == "Differs by -60 dBFS"
