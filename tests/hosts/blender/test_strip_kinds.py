"""Every other kind of strip, in every installed Blender."""

from __future__ import annotations

import pytest

from hosts.blender.blenders import Runner
from hosts.blender.test_plain import done

pytestmark = [pytest.mark.host, pytest.mark.slow]


@pytest.mark.parametrize("kind", ["meta", "scene", "retimed", "modifier"])
def test_strips_that_no_file_holds_are_rendered_first(blender: Runner, version: str, kind: str) -> None:
    if kind == "modifier" and version == "3.4":
        pytest.skip("Blender 3.4 has no modifiers of sound")
    tries = 4 if kind == "retimed" else 1  # 4.5.15 divides by zero in about one mixdown of a retimed strip in four
    saw = blender.run("sources.rendered", tries=tries, kind=kind)
    done(saw)
    assert saw["unchanged"], "rendering puts everything back"
    assert len(saw["stems"]) == 2
    assert all([stem["left"], stem["right"]] == saw["placed"] for stem in saw["stems"])
    assert saw["loudest"] > 0.1
    assert saw["loudness"] < 0.05 * saw["loudest"], "every frame is as loud as it was"
    if kind == "scene" or (kind == "meta" and version != "3.4"):  # 3.4 begins inner strips a sample apart by chance
        assert saw["null"]["peak"] < 1e-4, saw["null"]


def test_volume_pan_and_fades_are_carried(blender: Runner) -> None:
    saw = blender.run("sources.carried")
    done(saw)
    assert saw["curves"] == [1, 1]
    for null in (saw["null"], saw["again"]):
        assert null["peak"] < 1e-4, null
        assert null["loudest"] > 0.1
    assert saw["left_over"] == [0, 0]
    assert saw["curves_left"] == 1, "that of the original"


def test_strips_before_frame_one_and_longer_than_their_sound(blender: Runner, version: str) -> None:
    tries = 4 if version == "3.4" else 1  # 3.4 reads stray memory before the beginning of a sound, and may end of it
    saw = blender.run("sources.before_frame_one", tries=tries)
    done(saw)
    assert sorted((stem["left"], stem["right"]) for stem in saw["stems"]) == [(-20, 40)] * 2 + [(100, 240)] * 2
    for name in ("early", "wide"):
        assert saw[name]["peak"] < 1e-4, saw[name]
        assert saw[name]["loudest"] > 0.1
    assert saw["before"] == 0, "no sound before the strip's own begins"


def test_inside_a_meta_strip_that_the_user_opened(blender: Runner) -> None:
    saw = blender.run("sources.inside_meta")
    done(saw)
    assert saw["inside"] == ["inner", "inner residual", "inner tone"]
    assert saw["outside"] == ["meta"]
    assert saw["null"]["peak"] < 1e-4
    assert abs(saw["null"]["shift"]) <= 1


def test_a_strip_rendered_inside_nested_meta_strips_is_audible(blender: Runner) -> None:
    saw = blender.run("sources.inside_two_metas")
    done(saw)
    assert saw["unchanged"], "rendering puts everything back"
    assert saw["inside"] == ["beside", "original", "original residual", "original tone"]
    assert saw["loudest"] > 0.1
    assert saw["loudness"] < 0.05 * saw["loudest"], "every frame is as loud as it was"
