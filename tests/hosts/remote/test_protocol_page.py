"""docs/host-protocol.md, from which bridges are written, matches the code."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from stemline.clips import ClipRange, StemClip, StemTrack
from stemline.companion.process import Companion, Hello
from stemline.companion.services import EditServices, SeparateParams
from stemline.companion.wire import from_wire
from stemline.hosts.base import HostCapabilities, ReadClips, Selection, WriteOptions, Written
from stemline.plan import PlanSettings
from stemline.workflow import RunSettings
from stemline_bridge.constants import PROTOCOLS

PAGE = Path(__file__).parents[3] / "docs" / "host-protocol.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example(page: str) -> list[tuple[str, dict[str, Any]]]:
    return [(side, json.loads(line)) for side, line in re.findall(r"^    ([<>]) (\{.*\})$", page, re.MULTILINE)]


def _params(example: list[tuple[str, dict[str, Any]]], method: str) -> dict[str, Any]:
    return next(message["params"] for _, message in example if message.get("method") == method)


def _answer(example: list[tuple[str, dict[str, Any]]], method: str) -> dict[str, Any]:
    side, call = next(pair for pair in example if pair[1].get("method") == method)
    return next(m["result"] for s, m in example if s != side and "result" in m and m["id"] == call["id"])


def test_the_example_on_the_page_matches_the_code(example: list[tuple[str, dict[str, Any]]]) -> None:
    assert from_wire(Hello, _params(example, "hello"), "hello").protocols == PROTOCOLS
    assert from_wire(SeparateParams, _params(example, "separate"), "separate").stems[0].name == "speech"
    assert from_wire(Selection, _params(example, "read_clips")["selection"], "selection") == Selection()
    clip = from_wire(ReadClips, _answer(example, "read_clips"), "read_clips").clips[0]
    assert clip.source_range.duration == clip.record_range.duration
    written = _params(example, "write_tracks")
    stem = from_wire(tuple[StemTrack, ...], written["tracks"], "tracks")[0].clips[0]
    assert stem.file_range.start_sample == (clip.source_range.start - stem.file_start) * stem.sample_rate
    assert from_wire(WriteOptions, written["options"], "options").disable_clips == (clip.clip_id,)
    assert from_wire(Written, _answer(example, "write_tracks"), "write_tracks").result == "r1"


@pytest.mark.parametrize(
    ("kind", "but"),
    [
        (RunSettings, {"selection"}),
        (PlanSettings, set()),
        (HostCapabilities, set()),
        (Selection, set()),
        (ClipRange, set()),
        (StemTrack, set()),
        (StemClip, set()),
        (WriteOptions, set()),
        (Written, set()),
    ],
)
def test_every_field_of_the_wire_is_on_the_page(page: str, kind: type[Any], but: set[str]) -> None:
    missing = {field.name for field in dataclasses.fields(kind)} - but - set(re.findall(r"\w+", page))
    assert missing == set()


def test_every_method_of_the_companion_is_on_the_page(page: str) -> None:
    with PAGE.open("rb", buffering=0) as nothing:
        methods = Companion(nothing, nothing, EditServices()).methods()
    assert {name for name in methods if f"### `{name}` {{" not in page} == set()
