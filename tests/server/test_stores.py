"""The job table on SQLite and the media store on files: each against the suite of its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from server.suites import LIMIT_BYTES, JobTableSuite, MediaStoreSuite
from stemline_server.jobs.job_table import JobTable, SqliteJobTable
from stemline_server.jobs.record import JobRecord
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database
from stemline_server.store.media_store import MediaStore


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
