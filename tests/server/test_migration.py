"""Job tables of the version before kinds and owners: read, resumed, and answered from."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import grpc
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import Caller, ServerProcess, job_request, samples_of
from stemline.v1 import separation_pb2 as pb

# The table `jobs` as the first published version made it.
FIRST_JOBS = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    request_id TEXT NOT NULL UNIQUE,
    batch_id TEXT NOT NULL,
    priority INTEGER NOT NULL,
    spec BLOB NOT NULL,
    key TEXT NOT NULL,
    group_key TEXT NOT NULL,
    model TEXT NOT NULL,
    revision TEXT NOT NULL,
    state INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 1,
    owner TEXT NOT NULL DEFAULT '',
    lost_leases INTEGER NOT NULL DEFAULT 0,
    claim TEXT NOT NULL DEFAULT '',
    solo INTEGER NOT NULL DEFAULT 0,
    error BLOB,
    stem BLOB,
    engine_s REAL NOT NULL DEFAULT 0,
    create_us INTEGER NOT NULL,
    start_us INTEGER,
    end_us INTEGER
);
"""


def make_older(path: Path) -> None:
    """Give the file the table of the first version, with the jobs that it holds."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ALTER TABLE jobs RENAME TO newer")
        connection.executescript(FIRST_JOBS)
        names = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(jobs)"))
        connection.execute(f"INSERT INTO jobs ({names}) SELECT {names} FROM newer")  # noqa: S608
        connection.execute("DROP TABLE newer")


def test_a_table_of_an_earlier_version_is_read_and_its_jobs_go_on(tmp_path: Path, noise: Path) -> None:
    process = ServerProcess(tmp_path / "state", "--private")
    try:
        media = process.caller.register(noise, 0, LENGTH_SAMPLES).name
        done = process.caller.done(process.caller.create(media, "done", "done").name)
        running = process.caller.create(media, "sleep:1", "running")
        waiting = process.caller.create(media, "waiting", "waiting", seed=1)
        process.caller.until(running.name, pb.STATE_RUNNING)
        process.kill()
        make_older(tmp_path / "state" / "jobs.sqlite")
        process.start()
        assert process.caller.create(media, "done", "done") == done
        for job in (running, waiting):
            finished = process.caller.done(job.name)
            assert (finished.kind, finished.owner) == (pb.JOB_KIND_SEPARATE, "local")
            assert process.caller.download(finished.stem.media) == (samples_of(noise) / 2).tobytes()
        assert process.caller.get(running.name).attempt == 2
    finally:
        process.close()


def test_a_job_has_a_kind_and_an_owner(server: Caller, noise: Path) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES).name
    request = job_request(media)
    assert server.call(server.jobs.CreateJob, request).kind == pb.JOB_KIND_SEPARATE
    request.kind = pb.JOB_KIND_SEPARATE
    again = server.call(server.jobs.CreateJob, request)
    assert (again.kind, again.owner) == (pb.JOB_KIND_SEPARATE, "local")


@pytest.mark.parametrize("kind", [pb.JOB_KIND_SUGGEST, pb.JOB_KIND_GENERATE, 99])
def test_kinds_that_the_server_cannot_run_are_refused(server: Caller, noise: Path, kind: int) -> None:
    request = job_request(server.register(noise, 0, LENGTH_SAMPLES).name)
    request.kind = kind  # type: ignore[assignment]
    code, message = server.refused(server.jobs.CreateJob, request)
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "This server runs no jobs of that kind.")
