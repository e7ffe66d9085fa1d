"""A run that is started: its blocks, its progress, its place in the queue, and its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import stemline
from stemline.clips import MediaSource
from stemline.media import open_audio
from stemline.workflow import estimate as estimating

PATIENCE_S = 60.0


def whole(path: str) -> np.ndarray:
    with open_audio(MediaSource(path)) as reader:
        return reader.read(0, reader.length_samples)


def test_blocks_are_the_sound_of_the_files_in_order(project: Path) -> None:
    with stemline.start("interview.wav", {"dialogue": "speech"}, range=(0.5, None), output="out") as run:
        blocks = list(run.blocks())
    result = run.result()
    assert isinstance(result, stemline.Result)
    paths = result.paths
    assert {block.stem for block in blocks} == set(paths)
    for stem, path in paths.items():
        own = [block for block in blocks if block.stem == stem]
        assert own[0].start_sample == 12_000, "counted in the media, not in the range"
        np.testing.assert_array_equal(np.concatenate([block.samples for block in own], axis=1), whole(path))


def test_blocks_of_finished_work_come_again(project: Path) -> None:
    stemline.separate("interview.wav", "speech", output="out")
    with stemline.start("interview.wav", "speech", output="out") as run:
        assert {block.stem for block in run.blocks()} == {"speech", "residual"}
    result = run.result()
    assert isinstance(result, stemline.Result)
    assert result.reused


def test_a_cancelled_run_ends_and_leaves_nothing_half_done(project: Path) -> None:
    with stemline.start("interview.wav", {"x": "sleep:60"}, output="out") as run:
        wait_until(lambda: run.queue_place() == 0)
        assert not run.done
        run.cancel()
        with pytest.raises(stemline.Cancelled):
            run.result(PATIENCE_S)
    assert list((project / "out").glob("*.wav")) == []


def test_leaving_the_block_stops_a_run(project: Path) -> None:
    with stemline.start("interview.wav", {"x": "sleep:60"}, output="out") as run:
        pass
    with pytest.raises(stemline.Cancelled):
        run.result(PATIENCE_S)


def test_waiting_for_a_result_can_end_before_the_run(project: Path) -> None:
    with stemline.start("interview.wav", {"x": "sleep:60"}, output="out") as run:
        with pytest.raises(TimeoutError):
            run.result(timeout_s=0.3)
        assert not run.done


def test_a_run_behind_others_knows_its_place(project: Path) -> None:
    stages: list[str] = []
    with stemline.start("interview.wav", {"x": "sleep:60"}, output="a") as first:
        wait_until(lambda: first.queue_place() == 0)
        with stemline.start(
            "interview.wav", {"x": "sleep:61"}, output="b", progress=lambda now: stages.append(now.stage)
        ) as second:
            wait_until(lambda: second.queue_place() == 1)
            wait_until(lambda: "waiting for 1 job" in stages)
            first.cancel()
            wait_until(lambda: second.queue_place() == 0)
    assert second.queue_place() is None, "it has ended"


def test_the_time_left_is_known_from_the_first_report_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimating, "known_speed", {"noop": 0.1}.get)
    seen: list[stemline.Progress] = []
    needed = stemline.estimate("interview.wav", "speech", output="out", settings=stemline.Settings(model="noop"))
    assert needed.engine_s == 20 and not (project / "out").exists()
    settings = stemline.Settings(model="noop")
    with stemline.start("interview.wav", "speech", output="out", settings=settings, progress=seen.append) as run:
        run.result(PATIENCE_S)
    assert seen[0].stage == "starting" and seen[0].left_s == pytest.approx(needed.total_s, abs=1)
    assert all(progress.left_s is not None for progress in seen)


def test_what_stops_a_run_is_raised_by_blocks_and_result(project: Path) -> None:
    settings = stemline.Settings(model="nonsense")
    with stemline.start("edit.otio", {"x": "speech"}, output="out", settings=settings) as run:
        with pytest.raises(stemline.UsageError, match="nonsense"):
            list(run.blocks())
        with pytest.raises(stemline.UsageError, match="nonsense"):
            run.result()


def test_a_file_with_range_is_not_taken_for_an_edit(project: Path) -> None:
    with pytest.raises(stemline.UsageError):
        stemline.start("edit.otio", {"x": "speech"}, output="out", range=(0, 1))
    with stemline.start("edit.otio", {"x": "speech"}, output="out") as run:
        assert isinstance(run.result(), stemline.EditResult)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
