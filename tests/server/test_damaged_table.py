"""A job table with damaged pages: the server starts, keeps what can be read, and computes the rest again."""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import ServerProcess, job_request, samples_of
from stemline.v1 import separation_pb2 as pb
from stemline_server.jobs import table
from stemline_server.jobs.claims import next_group
from stemline_server.jobs.record import NewJob, Result
from stemline_server.jobs.specs import keys_of
from stemline_server.store import media_table
from stemline_server.store.database import Database
from stemline_server.store.media_table import MediaShape
from stemline_server.store.schema import SCHEMA

JOBS = 600
DONE = 300
Damage = Callable[[bytearray], None]


def media_name(number: int) -> str:
    return f"media/{hashlib.sha256(str(number).encode()).hexdigest()}"


def fill(connection: sqlite3.Connection) -> None:
    """600 jobs on as many sounds; the first 300 are done."""
    for number in range(JOBS):
        media = media_name(number)
        spec = pb.SeparationSpec(media=media, prompt=pb.Prompt(text="x" * 100), channels=pb.CHANNEL_POLICY_LINKED)
        keys = keys_of(spec, "noop", "1", 1)
        media_table.put(connection, media, MediaShape(48_000, 1, 10), 0)
        table.create(connection, NewJob(f"r{number}", "b", 0, spec, keys, "noop", "1"), lambda _: False)
        if number < DONE:
            media_table.put(connection, media_name(-number), MediaShape(48_000, 1, 10), 40)
            table.succeed(connection, Result(keys.key, pb.Stem(media=media_name(-number), found=True), 1.0, "1"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("table") / "jobs.sqlite"
    database = Database(path, SCHEMA, table.mend)
    database.call(fill)
    database.close()
    return path.read_bytes()


def page_size(data: bytes | bytearray) -> int:
    return int.from_bytes(data[16:18], "big")


def overwrite(page: int, value: int | None) -> Damage:
    """Fill a page with one byte, or with noise."""

    def damage(data: bytearray) -> None:
        size = page_size(data)
        junk = random.Random(page).randbytes(size) if value is None else bytes([value]) * size
        data[page * size : (page + 1) * size] = junk

    return damage


def count(connection: sqlite3.Connection, what: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608


@pytest.mark.parametrize("value", [0, 0xFF, None])
def test_one_damaged_page_costs_its_own_rows_only(tmp_path: Path, whole: bytes, value: int | None) -> None:
    pages = len(whole) // page_size(whole)
    for page in random.Random(5).sample(range(1, pages), 6):
        data = bytearray(whole)
        overwrite(page, value)(data)
        path = tmp_path / f"{page}" / "jobs.sqlite"
        path.parent.mkdir()
        path.write_bytes(data)
        database = Database(path, SCHEMA, table.mend)
        jobs = database.call(lambda connection: count(connection, "jobs"))
        live = database.call(lambda connection: count(connection, "jobs WHERE state = 1"))
        assert jobs >= JOBS - 40, f"page {page}: {jobs} jobs are left"
        assert database.call(lambda connection: count(connection, "media")) >= JOBS + DONE - 150
        assert database.call(lambda connection: count(connection, "results")) >= DONE - 60
        assert database.call(lambda connection: count(connection, "pins")) == live
        (highest,) = database.call(lambda c: tuple(c.execute("SELECT max(sequence) FROM jobs").fetchone()))
        group = database.call(lambda connection: next_group(connection, "me"))
        assert group is not None
        assert group.jobs[0].sequence > highest
        database.close()


@pytest.mark.parametrize("left", [0, 1, 100, 4096, 40_000])
def test_a_table_that_was_cut_short_is_put_aside(tmp_path: Path, whole: bytes, left: int) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(whole[:left])
    database = Database(path, SCHEMA, table.mend)
    assert database.call(lambda connection: count(connection, "jobs")) < JOBS
    database.close()
    assert left < 512 or (tmp_path / "damaged-jobs.sqlite").read_bytes() == whole[:left]


def test_damage_found_while_running_is_healed_and_the_work_done(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(whole)
    database = Database(path, SCHEMA, table.mend)
    with contextlib.closing(sqlite3.connect(path)) as other:
        (root,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'jobs_by_turn'").fetchone()
    data = bytearray(path.read_bytes())
    overwrite(root - 1, 0)(data)
    with path.open("r+b") as file:
        file.write(data)
    database.submit(lambda connection: connection.execute("PRAGMA shrink_memory")).result()  # nothing stays cached
    group = database.call(lambda connection: next_group(connection, "me"))
    assert group is not None
    assert database.call(lambda connection: count(connection, "jobs")) == JOBS
    database.close()
    assert (tmp_path / "damaged-jobs.sqlite").exists()


def test_a_death_while_the_table_is_healed_loses_nothing(tmp_path: Path, whole: bytes) -> None:
    """The process dies when the damaged file was put aside, and the new one was not yet in its place."""
    (tmp_path / "jobs.sqlite.salvaged").write_bytes(whole)
    database = Database(tmp_path / "jobs.sqlite", SCHEMA, table.mend)
    assert database.call(lambda connection: count(connection, "jobs")) == JOBS
    database.close()


@pytest.mark.parametrize("name", ["jobs", "media", "results", "counters", "pins", "media_references", "jobs_by_turn"])
def test_a_server_whose_table_has_a_damaged_page_starts_and_finishes_the_run(
    tmp_path: Path, noise: Path, name: str
) -> None:
    process = ServerProcess(tmp_path / "state", "--private")
    try:
        media = process.caller.register(noise, 0, LENGTH_SAMPLES).name
        requests = [job_request(media, f"text {number}", f"request {number}") for number in range(5)]
        for request in requests:
            process.caller.done(process.caller.call(process.caller.jobs.CreateJob, request).name)
        process.terminate()
        path = tmp_path / "state" / "jobs.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (name,)).fetchone()
        data = bytearray(path.read_bytes())
        overwrite(root - 1, None)(data)
        path.write_bytes(data)
        process.start()
        assert process.caller.register(noise, 0, LENGTH_SAMPLES).name == media
        for request in requests:
            job = process.caller.done(process.caller.call(process.caller.jobs.CreateJob, request).name)
            assert process.caller.download(job.stem.media) == (samples_of(noise) / 2).tobytes()
    finally:
        process.close()
