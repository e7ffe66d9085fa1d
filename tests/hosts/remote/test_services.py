"""A host's request is checked before it is queued, so that no run fails or loops over a bad value."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from conftest import ROOT
from stemline.clips import ClipRange, MediaSource, TimeRange
from stemline.companion.services import EditServices
from stemline.errors import Cancelled, Code, HostError, UsageError
from stemline.media import SampleFormat
from stemline.options import FORMATS
from stemline.testing import MemoryHost
from stemline_bridge import from_exact

SPEECH = {"name": "speech", "prompt": {"text": "speech"}}
BACKWARDS = {"start": "2/1", "end": "1/1"}


def prepared(stems: list[Any], **settings: Any) -> object:
    return EditServices().prepare({"stems": stems, "settings": {"output_dir": "/film/stems", **settings}})


@pytest.mark.parametrize(
    ("stem", "code"),
    [
        ({**SPEECH, "name": "Residual"}, Code.INVALID_ARGUMENT),
        ({**SPEECH, "name": "../../speech"}, Code.INVALID_ARGUMENT),
        ({**SPEECH, "name": ""}, Code.INVALID_ARGUMENT),
        ({"name": "a", "prompt": {"text": "  "}}, Code.PROMPT_EMPTY),
        ({"name": "a", "prompt": {"text": "x" * 1001}}, Code.PROMPT_TOO_LONG),
        ({"name": "a", "prompt": {"text": "bell\x07"}}, Code.INVALID_ARGUMENT),
        ({"name": "a", "prompt": {"text": "dog", "plus": [BACKWARDS]}}, Code.INVALID_ARGUMENT),
    ],
)
def test_a_stem_that_the_command_line_would_refuse_is_refused_here_too(stem: dict[str, Any], code: Code) -> None:
    with pytest.raises(UsageError) as refused:
        prepared([stem])
    assert refused.value.code is code


def test_names_that_differ_only_in_spaces_or_case_are_duplicates() -> None:
    with pytest.raises(UsageError, match="Duplicate stem name"):
        prepared([SPEECH, {**SPEECH, "name": " Speech "}])


@pytest.mark.parametrize(
    "settings",
    [
        {"sample_format": "mp3"},
        {"sample_format": ""},
        {"channels": "foo"},
        {"play": "bar"},
        {"quality": "zzz"},
        {"seed": -1},
        {"seed": 1 << 64},
        {"audition_s": -1},
        {"priority": 1 << 31},
        {"plan": {"extent_grid_s": -5}},
        {"plan": {"handle": "-3/1"}},
        {"plan": {"handle": "601/1"}},
        {"plan": {"context": "-1/2"}},
    ],
    ids=str,
)
def test_settings_that_no_run_can_take_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        prepared([SPEECH], **settings)
    assert refused.value.code is Code.INVALID_ARGUMENT
    name = next(iter(settings.get("plan", settings)))
    assert refused.value.message.startswith(f"{name} must be ")


def test_every_writable_format_can_be_requested() -> None:
    assert tuple(SampleFormat) == FORMATS
    assert all(callable(prepared([SPEECH], sample_format=chosen)) for chosen in (None, *FORMATS))


def test_the_checks_are_those_of_the_program_that_started_the_companion() -> None:
    """The library must not import the application: without its checks the host is told so."""
    assert EditServices(doctor=lambda: {"works": True}).doctor() == {"works": True}
    with pytest.raises(HostError) as refused:
        EditServices().doctor()
    assert (refused.value.code, refused.value.advice) == (
        Code.HOST_UNSUPPORTED,
        "Run `stemline doctor` in a terminal.",
    )


@pytest.mark.usefixtures("shared_server")
def test_the_sounds_of_a_hosts_clips_are_listed_in_the_times_of_its_timeline() -> None:
    media = MediaSource(str(ROOT / "examples" / "interview" / "recorder.wav"))
    played, placed = TimeRange(Fraction(1), Fraction(5)), TimeRange(Fraction(100), Fraction(104))
    host = MemoryHost([ClipRange("1", "interview", "A1", media, played, placed)])
    seen: list[dict[str, Any]] = []
    answer = EditServices().suggest({})(host, seen.append, lambda: False)
    sounds = {sound["sound"]: sound for sound in answer["sounds"]}
    spans = [(from_exact(span["start"]), from_exact(span["end"])) for span in sounds["speech"]["spans"]]
    assert spans and all(100 <= start < end <= 104 for start, end in spans)
    assert (sounds["speech"]["clip"], answer["skipped"]) == ("interview", [])
    assert seen
    with pytest.raises(Cancelled):
        EditServices().suggest({})(host, seen.append, lambda: True)


@pytest.mark.usefixtures("shared_server")
def test_words_are_checked_for_a_host() -> None:
    answer = EditServices().check_prompts({"texts": ["speech", "qwertzuiop"], "model": "embedded"})
    known, unknown = answer["checks"]
    assert (known["status"], unknown["status"]) == ("known", "refused")
    assert unknown["message"] and unknown["code"] == Code.PROMPT_UNKNOWN
