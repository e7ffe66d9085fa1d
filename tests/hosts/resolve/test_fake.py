"""The fake is strict: a call that the documentation does not allow fails the test."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from hosts.resolve.fake_resolve import Fake, build
from hosts.resolve.fake_resolve.signatures import OBJECTS, signatures_of
from hosts.resolve.harness import stubs

Config = dict[str, Any]

FORBIDDEN = {
    "undocumented": lambda r, t: t.GetSelectedClips(),
    "too few": lambda r, t: t.GetTrackCount(),
    "too many": lambda r, t: t.GetName("x"),
    "text for a number": lambda r, t: t.GetTrackName("audio", "1"),
    "a number for text": lambda r, t: r.OpenPage(1),
    "no such page": lambda r, t: r.OpenPage("edits"),
    "no such kind": lambda r, t: t.GetTrackCount("sound"),
    "another object": lambda r, t: t.DeleteClips([t], False),
    "an unknown key": lambda r, t: t.AddTrack("audio", {"audiotype": "stereo"}),
    "true for a number": lambda r, t: t.GetTrackName("audio", True),
}


@pytest.fixture
def fake(cut: Config) -> Fake:
    return build(stubs(), cut)


@pytest.mark.parametrize("call", FORBIDDEN.values(), ids=FORBIDDEN)
def test_an_undocumented_call_fails_the_test(fake: Fake, call: Any) -> None:
    resolve = fake.resolve()
    timeline = resolve.GetProjectManager().GetCurrentProject().GetCurrentTimeline()
    assert fake.referee.faults == []
    call(resolve, timeline)
    assert len(fake.referee.faults) == 1


def test_every_object_has_every_attribute_as_in_resolve(fake: Fake) -> None:
    assert hasattr(fake.resolve(), "MakeCoffee")
    assert "MakeCoffee" not in dir(fake.resolve())


def test_every_documented_method_of_the_stubs_is_known() -> None:
    """21.0.0 has as many methods as the stub file has definitions, each once."""
    module = ast.parse(stubs().read_text(encoding="utf-8"))
    known = signatures_of(stubs(), (21, 0, 0))
    for node in module.body:
        if isinstance(node, ast.ClassDef) and node.name in OBJECTS:
            defined = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
            assert set(known.names(node.name)) == defined
            assert len(defined) > 10


def test_versions_differ_as_the_overrides_say() -> None:
    def has(version: tuple[int, ...], name: str) -> bool:
        return name in signatures_of(stubs(), version).names("Timeline")

    assert not has((19, 1, 0), "GetMarkInOut")
    assert has((20, 0, 0), "GetMarkInOut")
    assert not has((21, 0, 3), "GetSelectedClips")
    assert has((21, 0, 4), "GetSelectedClips")


def test_a_paid_call_blocks_the_free_edition(cut: Config, folder: Path) -> None:
    cut["product"] = "DaVinci Resolve"
    fake = build(stubs(), cut)
    timeline = fake.resolve().GetProjectManager().GetCurrentProject().GetCurrentTimeline()
    item = timeline.GetItemListInTrack("audio", 1)[0]
    assert item.CreateMagicMask("F") is False
    assert timeline.GetName() is False
