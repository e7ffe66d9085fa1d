"""The job table on SQLite and the media store on files: each against the suite of its protocol."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from server.suites import LIMIT_BYTES, JobTableSuite, MediaStoreSuite
from stemline_server.jobs.job_table import JobTable, SqliteJobTable
from stemline_server.jobs.record import JobRecord
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database
from stemline_server.store.media_store import MediaStore

pytestmark = pytest.mark.smoke


@pytest.fixture
def published() -> list[Sequence[JobRecord]]:
    return []


class TestSqliteJobTable(JobTableSuite):
    """The table of a server."""

    @pytest.fixture
    def jobs(self, database: Database, published: list[Sequence[JobRecord]]) -> JobTable:
        return SqliteJobTable(database, published.append)


class TestContentStore(MediaStoreSuite):
    """The store of a server."""

    @pytest.fixture
    def store(self, tmp_path: Path, database: Database) -> MediaStore:
        return ContentStore(tmp_path / "store", database, LIMIT_BYTES)

    @pytest.fixture
    def full_disk(self, database: Database) -> Callable[[], None]:
        """From then on a note of the use of a sound finds no room."""

        def fill(connection: sqlite3.Connection) -> None:
            connection.execute("CREATE TABLE filler (data BLOB)")
            connection.execute(
                "CREATE TRIGGER fill BEFORE UPDATE OF used_us ON media"
                " BEGIN INSERT INTO filler VALUES (zeroblob(1000000)); END"
            )
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages + 1}")

        return lambda: database.call(fill)
