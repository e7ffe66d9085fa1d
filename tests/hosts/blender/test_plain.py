"""A plain sound strip from Blender to stems and back: the tests that CI runs on every change."""

from __future__ import annotations

from typing import Any

import pytest

from hosts.blender.blenders import CAMERA, Runner, decoded_camera

pytestmark = pytest.mark.host


def done(saw: Any) -> None:
    assert saw["end"]["ended"], saw["end"]
    assert saw["end"]["state"] == "done", saw["end"]
    assert saw["end"]["null"]["peak"] < 1e-6


def exact(null: Any, old: bool) -> None:
    """The very samples of the media. Blender 3.4 has no place below the frame: a sample to either side there."""
    assert null["peak"] < 1e-6, null
    assert abs(null["shift"]) <= (1 if old else 0), null


def test_a_strip_comes_back_as_stems_with_the_real_engine(blender: Runner, version: str) -> None:
    saw = blender.run("sources.plain_strip", case=[25, 1.0, 10, 30, 100], model="embedded")
    done(saw)
    exact(saw["null"], version == "3.4")
    assert saw["kept"], "stems are the same after saving and opening again"
    assert saw["muted"]
    assert [(stem["stem"], stem["channel"], stem["channel_name"]) for stem in saw["stems"]] == [
        ("tone", 2, "tone"),
        ("residual", 3, "residual"),
    ]
    assert all((stem["left"], stem["right"]) == (10, 110) for stem in saw["stems"])
    assert all(stem["path"].startswith("//stemline/stems/") and stem["there"] for stem in saw["stems"])
    assert len({stem["colour"] for stem in saw["stems"]}) == 2


@pytest.mark.parametrize("rate", [(25, 1.0), (30, 1.001), (24, 1.001)], ids=["25", "29.97", "23.976"])
def test_a_dozen_cuts_of_one_file_are_one_job_and_sample_true(blender: Runner, version: str, rate: Any) -> None:
    saw = blender.run("sources.many_places", rate=rate)
    done(saw)
    assert saw["stems"] == 24
    assert saw["jobs"] == 1
    assert saw["channels"] == ["residual", "tone"]
    for null in saw["nulls"]:
        exact(null, version == "3.4")


def test_a_movie_strip_selects_its_sound_strip(blender: Runner, version: str) -> None:
    decoded = decoded_camera(blender.folder / "decoded.wav")
    saw = blender.run("sources.movie", movie=str(CAMERA), decoded=str(decoded))
    done(saw)
    assert len(saw["stems"]) == 2
    assert saw["sound_muted"]
    assert not saw["picture_muted"]
    assert saw["from_both"] == 1
    assert saw["alone"] == ["CANCELLED"], "a movie without a sound beside it is refused in words"
    exact(saw["null"], version == "3.4")


def test_packed_relative_missing_and_multichannel_media(blender: Runner, version: str) -> None:
    saw = blender.run("sources.files")
    done(saw)
    assert sorted(saw["end"]["skipped"]) == [["missing", "MEDIA_MISSING"], ["title", "CLIP_NOT_MEDIA"]]
    assert saw["muted"] == ["packed", "relative", "surround"]
    exact(saw["packed"], version == "3.4")
    exact(saw["surround"], version == "3.4")
    assert saw["relative"]["peak"] < 1e-3, "44.1 kHz in a mix of 48 kHz"


def test_words_take_the_place_of_a_sound_and_only_the_first_take_plays(blender: Runner) -> None:
    saw = blender.run("sources.filled")
    done(saw)
    assert saw["empty"] == "{'CANCELLED'}", "no words, no job"
    playing = {stem["stem"]: not stem["mute"] for stem in saw["stems"]}
    assert playing == {"tone": False, "residual": True, "fill tone": True, "fill tone take 2": False}
    assert all(stem["left"] == 10 and stem["right"] == 110 and stem["there"] for stem in saw["stems"])
    assert max(saw["loudness"]) > 0, "Blender hears the fill"
    assert saw["unmarked"] == "{'CANCELLED'}", "no preview range, no job"
    assert saw["room_end"]["state"] == "done", saw["room_end"]
    assert saw["room"], "the sound never pauses: its room tone is that of the preview range"
    assert min(saw["room"]) > 0
