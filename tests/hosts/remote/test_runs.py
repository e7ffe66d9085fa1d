"""The queue of runs: one after the other, each reported to its end, whatever one of them does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from stemline.companion.runs import Report, Runs
from stemline.errors import Code, MediaError, UsageError

Told = list[tuple[str, dict[str, Any]]]


class Listener:
    """Keeps what is told; `ended` counts `done` and `failed`."""

    def __init__(self) -> None:
        self.told: Told = []
        self.ended = threading.Semaphore(0)
        self.runs = Runs(self, progress_every_s=3600)
        self.runs.start()

    def __call__(self, name: str, params: Mapping[str, Any]) -> None:
        self.told.append((name, dict(params)))
        if name in ("done", "failed"):
            self.ended.release()

    def wait(self, count: int) -> Told:
        assert all(self.ended.acquire(timeout=60) for _ in range(count))
        return self.told


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    assert made.runs.stop(20)


def test_progress_is_throttled_but_every_stage_is_reported(listener: Listener) -> None:
    def work(report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
        for stage in ("read", "separate", "place"):
            for step in range(500):
                report({"stage": stage, "done": step, "total": 500})
        return {}

    name = listener.runs.add(work, "tag")
    told = listener.wait(1)
    assert [(what, params.get("stage")) for what, params in told] == [
        ("progress", "read"),
        ("progress", "separate"),
        ("progress", "place"),
        ("done", None),
    ]
    assert listener.runs.status(name)[0]["progress"] == {"stage": "place", "done": 499, "total": 500}


def test_a_crashed_run_is_reported_and_the_next_goes_on(listener: Listener, caplog: pytest.LogCaptureFixture) -> None:
    def broken(report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
        raise ZeroDivisionError

    def refused(report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
        raise MediaError("No such file.", code=Code.MEDIA_MISSING, advice="Relink it.")

    names = [listener.runs.add(work) for work in (broken, refused, lambda report, cancelled: {"x": 1})]
    told = listener.wait(3)
    assert [params["run"] for _, params in told] == names
    assert [params.get("error", {}).get("code") for _, params in told] == ["INTERNAL", "MEDIA_MISSING", None]
    assert told[1][1]["error"] == {"code": "MEDIA_MISSING", "message": "No such file.", "advice": "Relink it."}
    assert [run["state"] for run in listener.runs.status()] == ["failed", "failed", "done"]
    assert "ZeroDivisionError" in caplog.text


def test_stopping_ends_running_and_waiting_runs() -> None:
    listener, run_lock = Listener(), threading.Event()

    def until_cancelled(report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
        run_lock.set()
        while not cancelled():
            threading.Event().wait(0.01)
        return {"stopped": True}

    waits: list[str] = []

    def notes_that_it_ran(report: Report, cancelled: Callable[[], bool]) -> dict[str, Any]:
        waits.append("ran")
        return {"ran": None}

    listener.runs.add(until_cancelled)
    listener.runs.add(notes_that_it_ran)
    assert run_lock.wait(20)
    assert listener.runs.stop(20)
    assert [name for name, _ in listener.told] == ["done", "failed"]
    assert waits == []


def test_an_unknown_run_is_refused(listener: Listener) -> None:
    for ask in (listener.runs.status, listener.runs.cancel):
        with pytest.raises(UsageError) as caught:
            ask("run-7")
        assert caught.value.code is Code.JOB_UNKNOWN


def test_old_runs_are_forgotten(listener: Listener) -> None:
    for _ in range(250):
        listener.runs.add(lambda report, cancelled: {})
    listener.wait(250)
    listener.runs.add(lambda report, cancelled: {})
    remembered = [run["run"] for run in listener.runs.status()]
    assert len(remembered) <= 201
    assert remembered[-1] == "run-251"
