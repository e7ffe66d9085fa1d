"""What a user gets before the run in Blender: sounds that are heard, checked words, and the fields of fills."""

from __future__ import annotations

import pytest

from conftest import ROOT
from hosts.blender.blenders import Runner

pytestmark = pytest.mark.host


def test_the_sounds_of_a_strip_become_prompts_and_marks(blender: Runner) -> None:
    media = str(ROOT / "examples" / "interview" / "recorder.wav")
    saw = blender.run("suggestions.heard", media=media)
    assert saw["end"]["state"] == "done", saw["end"]
    assert (saw["nothing"], saw["asked"], saw["stems"]) == (["CANCELLED"], ["FINISHED"], 0)
    assert saw["sounds"][0][0] == "speech"
    assert 0 < saw["sounds"][0][1] <= 1
    assert saw["prompt"] == "speech"
    assert saw["marks"], "heard somewhere"
    assert all(sign == "PLUS" and 100 <= start < end <= 250 for sign, start, end in saw["marks"]), saw["marks"]
    assert saw["without"] == 0
    assert saw["cancelled"]["state"] == "failed"


def test_words_are_checked_while_they_are_typed(blender: Runner) -> None:
    saw = blender.run("suggestions.words", texts=["speech", "qwertzuiop"])
    assert saw["found"]["speech"]["status"] == "known"
    unknown = saw["found"]["qwertzuiop"]
    assert unknown["status"] == "refused"
    assert "qwertzuiop" in unknown["message"]
    assert " ".join(saw["lines"]) == unknown["message"], "the whole sentence"
    assert set(unknown["proposals"]) <= set(saw["offered"])
    assert saw["empty"] == {}


def test_every_field_of_fills_and_amounts_reaches_the_run(blender: Runner) -> None:
    saw = blender.run("suggestions.fields")
    fill = saw["asked"]["replace"]["tone"]
    assert fill == {
        "gain_db": 0.0,
        "instead": False,
        "nudge_s": 0.0,
        "at": "clip",
        "match_eq": 0.5,
        "room": "small",
        "path": saw["fill"],
        "duck": "Dog barking",
        "duck_db": -9.0,
    }
    assert saw["asked"]["remix"] == {"tone": -6.0}
    assert saw["end"]["state"] == "done", saw["end"]
    assert saw["stems"] == ["Dog barking", "fill tone", "remix", "residual", "tone"]
    assert (saw["missing"], saw["itself"]) == (["CANCELLED"], ["CANCELLED"])
