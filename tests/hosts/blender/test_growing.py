"""One result that grows in Blender's sequence, strip after strip, and is taken back."""

from __future__ import annotations

import pytest

from hosts.blender.blenders import Runner
from hosts.blender.test_plain import exact

pytestmark = pytest.mark.host

TONE = ("tone", "residual")


def stems(*originals: str) -> list[list[str]]:
    """The stems of strips, on one channel for each stem."""
    return [[stem, original, stem] for stem in TONE for original in originals]


def test_strip_after_strip_grows_on_the_same_channels_and_is_taken_back(blender: Runner, version: str) -> None:
    saw = blender.run("growing.grown")
    first, second, again, other = saw["steps"]
    assert first == ["done", ["tone: one"], stems("one"), [True, False]]
    assert second == ["done", ["tone: 2 strips"], stems("one", "two"), [True, True]]
    assert again[:3] == ["done", ["tone: 2 strips"], stems("one", "two")], "the earlier stems of the strip are gone"
    assert again[3] == [True, True]
    assert saw["kept"]
    exact(saw["null"], version == "3.4")
    assert len(other[2]) == 6, "another sound of a strip goes beside"
    assert saw["one_back"] == [stems("two"), False, True]
    assert saw["all_back"] == [[], False, False, ["one", "two"]]
    assert saw["nothing"] == ["CANCELLED"]


def test_a_stem_that_was_changed_alone_stays_when_its_result_is_taken_back(blender: Runner) -> None:
    saw = blender.run("growing.changed")
    assert saw["end"]["state"] == "done"
    assert saw["stays"] == [saw["trimmed"]]
    assert saw["muted"] == {"alone": True, "together": False}
    assert saw["again"]["state"] == "done"
    assert f"{saw['trimmed']} was changed since it was placed, so it stays." in saw["again"]["messages"]
    assert len(saw["stems"]) == 3
