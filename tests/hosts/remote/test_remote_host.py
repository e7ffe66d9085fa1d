"""Answers of a remote host that are wrong: which of them skip a clip and which end the run."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import pytest

from hosts.remote.pipes import pair
from stemline.clips import ClipRange, MediaSource, TimeRange
from stemline.companion.jsonrpc import Params
from stemline.companion.remote import RemoteHost
from stemline.companion.wire import to_wire
from stemline.errors import Code, HostError
from stemline.hosts.base import HostCapabilities, RangeToRender, Selection, WriteOptions
from stemline_bridge.peers import RpcMethod

ABLE = HostCapabilities("Fake", "1", renders_ranges=True, removes_results=True)
SECOND = TimeRange(Fraction(10), Fraction(11))
CLIP = ClipRange("c1", "one", "A1", MediaSource("/media/one.wav"), TimeRange(Fraction(0), Fraction(1)), SECOND)


@contextmanager
def host_that(method: str, answer: Callable[[Params], object], able: HostCapabilities = ABLE) -> Iterator[RemoteHost]:
    with pair({}, {method: RpcMethod(answer)}) as (ours, _):
        yield RemoteHost(ours, able, tag="t")


def _changed(**changes: Any) -> Any:
    return to_wire(CLIP) | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"source": {"path": "one.wav"}}, Code.MEDIA_MISSING),
        ({"source": {"path": "/media/\0.wav"}}, Code.MEDIA_MISSING),
        ({"source": {"path": ""}}, Code.MEDIA_MISSING),
        ({"record_range": {"start": "10/1", "end": "12/1"}}, Code.CLIP_RETIMED),
        ({"record_range": {"start": "10/1", "end": "10/1"}}, Code.CLIP_EMPTY),
        ({"source_range": {"start": "1/1", "end": "0/1"}}, Code.CLIP_EMPTY),
    ],
)
def test_an_impossible_clip_is_skipped_and_the_rest_goes_on(changes: dict[str, Any], code: Code) -> None:
    wire = {"clips": [_changed(**changes), _changed(clip_id="c2")], "notes": ["from the host"]}
    with host_that("read_clips", lambda _: wire) as host:
        read = host.read_clips(Selection())
    assert [clip.clip_id for clip in read.clips] == ["c2"]
    assert [(skip.clip, skip.track, skip.record_start, skip.code) for skip in read.skipped] == [
        ("one", "A1", Fraction(10), code)
    ]
    assert read.notes == ("from the host",)


def test_clips_with_the_same_id_are_refused() -> None:
    with (
        host_that("read_clips", lambda _: {"clips": [_changed(), _changed()]}) as host,
        pytest.raises(HostError, match="two clips have the id 'c1'"),
    ):
        host.read_clips(Selection())


@pytest.mark.parametrize("answer", [None, [], "clips", {}, {"clips": None}])
def test_a_malformed_answer_is_named(answer: object) -> None:
    with host_that("read_clips", lambda _: answer) as host, pytest.raises(HostError, match=r"^read_clips"):
        host.read_clips(Selection())


def test_a_host_is_never_asked_for_a_missing_capability() -> None:
    calls: list[Params] = []
    with host_that("write_tracks", calls.append, HostCapabilities("Reader", "1", writes_tracks=False)) as host:
        for refused in (
            lambda: host.write_tracks([], WriteOptions()),
            lambda: host.render_range(RangeToRender(SECOND, "/out")),
            lambda: host.remove_result("r"),
        ):
            with pytest.raises(HostError, match="Reader cannot") as caught:
                refused()
            assert caught.value.code is Code.HOST_UNSUPPORTED
    assert calls == []


def test_a_rendered_range_is_a_clip_of_its_own_file() -> None:
    asked: list[Params] = []

    def render(params: Params) -> object:
        asked.append(copy.deepcopy(params))
        return _changed(source={"path": "/out/render.wav"}, notes=["The marks stay moved."])

    with host_that("render_range", render) as host:
        rendered = host.render_range(RangeToRender(SECOND, "/out", clip_id="c1"))
    assert rendered.clip.source == MediaSource("/out/render.wav")
    assert rendered.notes == ("The marks stay moved.",)
    expected = {"record_range": {"start": "10/1", "end": "11/1"}, "folder": "/out", "clip_id": "c1", "tracks": []}
    assert asked == [expected | {"tag": "t"}]


def test_a_rendered_range_other_than_the_requested_is_refused() -> None:
    with host_that("render_range", lambda _: _changed()) as host, pytest.raises(HostError, match="another range"):
        host.render_range(RangeToRender(TimeRange(Fraction(10), Fraction(12)), "/out"))


def test_removing_a_result_returns_the_notes() -> None:
    with host_that("remove_result", lambda params: {"notes": [f"kept {params['result']}"]}) as host:
        assert host.remove_result("result-1") == ("kept result-1",)
