"""The job table refuses for a while: jobs wait for it, and the device works on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.conftest import LENGTH_SAMPLES, Behaviour
from server.harness import CALL_TIMEOUT_S, Caller
from stemline.v1 import models_pb2
from stemline.v1 import separation_pb2 as pb

Told = Callable[[str], None]


@pytest.fixture
def media(behave: list[Behaviour], server: Caller, noise: Path) -> str:
    return server.register(noise, 0, LENGTH_SAMPLES).name


@pytest.fixture
def table(server: Caller, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The server's job table, as another program opens it."""
    connection = sqlite3.connect(
        tmp_path / "state" / "jobs.sqlite", isolation_level=None, timeout=CALL_TIMEOUT_S, check_same_thread=False
    )
    yield connection
    connection.close()


@pytest.fixture
def until_told(caplog: pytest.LogCaptureFixture) -> Told:
    """Waits until the server has logged such a line."""

    def wait(words: str) -> None:
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while not any(words in record.getMessage() for record in caplog.records):
            assert time.monotonic() < deadline_s, f"nothing was said of {words!r}"
            time.sleep(0.02)

    return wait


def refuse(table: sqlite3.Connection, *states: int) -> None:
    """No job can come into these states any more."""
    table.execute(
        f"CREATE TRIGGER refused BEFORE UPDATE OF state ON jobs WHEN NEW.state IN ({', '.join(map(str, states))})"
        " BEGIN SELECT RAISE(ABORT, 'refused'); END"
    )


def test_a_table_that_cannot_be_read_for_a_while_stops_no_device(
    server: Caller, media: str, table: sqlite3.Connection, until_told: Told
) -> None:
    table.execute("ALTER TABLE jobs RENAME TO away")
    server.call(server.models.LoadModel, models_pb2.LoadModelRequest(name="models/noop"))  # wakes the worker
    until_told("the job table cannot be written")
    table.execute("ALTER TABLE away RENAME TO jobs")
    assert server.done(server.create(media).name).attempt == 1


def test_a_stem_that_is_done_waits_for_the_table(
    server: Caller, media: str, table: sqlite3.Connection, until_told: Told, behave: list[Behaviour]
) -> None:
    def take_it_away(*_: object) -> None:
        table.execute("ALTER TABLE jobs RENAME TO away")

    behave.append(take_it_away)
    job = server.create(media)
    until_told("the job table cannot be written")
    behave.clear()
    table.execute("ALTER TABLE away RENAME TO jobs")
    assert server.done(job.name).attempt == 1


def test_a_job_that_cannot_be_leased_waits_and_the_device_survives(
    server: Caller, media: str, table: sqlite3.Connection, until_told: Told
) -> None:
    refuse(table, pb.STATE_RUNNING)
    job = server.create(media)
    until_told("goes on after an error that was not foreseen")
    table.execute("DROP TRIGGER refused")
    assert server.done(job.name).attempt == 1


def test_a_job_whose_end_cannot_be_written_fails_in_the_end_and_the_next_one_runs(
    server: Caller, media: str, table: sqlite3.Connection, until_told: Told
) -> None:
    refuse(table, pb.STATE_SUCCEEDED, pb.STATE_FAILED)
    job = server.create(media)
    until_told("goes on after an error that was not foreseen")
    assert server.get(job.name).state == pb.STATE_RUNNING
    table.execute("DROP TRIGGER refused")
    assert server.until(job.name, pb.STATE_FAILED).error.reason == "INTERNAL"
    assert server.done(server.create(media, "next").name)
