"""A server that stops in the middle of a long step: no job loses an attempt."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from server.conftest import LENGTH_SAMPLES, Behaviour
from server.harness import CALL_TIMEOUT_S, server_in_thread
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.jobs.table import MAX_LOST_LEASES


class LongStep:
    """A step of an engine that lasts until it is let go."""

    def __init__(self, behave: list[Behaviour]) -> None:
        self._begun = threading.Semaphore(0)
        self._gate = threading.Event()
        behave.append(self._step)

    def wait_begun(self) -> None:
        assert self._begun.acquire(timeout=CALL_TIMEOUT_S)

    def let_go(self) -> None:
        """From now on there are no long steps, and the engines of servers that have gone reach their next."""
        self._gate.set()
        for thread in threading.enumerate():
            if thread.name.startswith("worker-"):
                thread.join(CALL_TIMEOUT_S)
                assert not thread.is_alive()

    def _step(self, *_: object) -> None:
        self._begun.release()
        assert self._gate.wait(CALL_TIMEOUT_S)


@pytest.fixture
def step(behave: list[Behaviour]) -> LongStep:
    return LongStep(behave)


@pytest.fixture
def config(tmp_path: Path) -> ServerConfig:
    return ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))


def test_a_stop_that_does_not_wait_for_the_step_is_not_a_crash(
    step: LongStep, config: ServerConfig, noise: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stemline_server.server._STEP_TIMEOUT_S", 0.0)
    for _ in range(MAX_LOST_LEASES):
        with server_in_thread(config) as server:
            job = server.create(server.register(noise, 0, LENGTH_SAMPLES).name, request_id="long")
            step.wait_begun()
    step.let_go()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    with server_in_thread(config) as server:
        assert server.done(job.name).attempt == 1


def test_a_job_is_back_in_the_queue_before_the_step_is_over(
    step: LongStep, config: ServerConfig, noise: Path, tmp_path: Path
) -> None:
    """A kill of the server while it waits for the step costs the job nothing."""
    with contextlib.ExitStack() as running:
        server = running.enter_context(server_in_thread(config))
        server.create(server.register(noise, 0, LENGTH_SAMPLES).name)
        step.wait_begun()
        stopping = threading.Thread(target=running.pop_all().close)
    stopping.start()
    try:
        until_queued(tmp_path / "state" / "jobs.sqlite")
    finally:
        step.let_go()
        stopping.join()


def until_queued(database: Path) -> None:
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    with contextlib.closing(sqlite3.connect(database)) as table:
        while table.execute("SELECT state FROM jobs").fetchall() != [(pb.STATE_QUEUED,)]:
            assert time.monotonic() < deadline_s, "the job is still leased"
            time.sleep(0.02)
