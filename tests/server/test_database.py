"""The database thread: whole transactions in order, and a full disk reported by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stemline.errors import Code, OutputError
from stemline_server.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "test.sqlite", "CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)")
    yield opened
    opened.close()


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM notes").fetchone()[0])


def gives(number: int) -> Callable[[sqlite3.Connection], int]:
    return lambda _: number


def test_work_that_fails_changes_and_publishes_nothing(database: Database) -> None:
    told: list[object] = []

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('half')")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        database.call(work, after=told.append)
    assert database.call(count) == 0
    assert told == []


def test_results_are_published_in_the_order_of_the_work(database: Database) -> None:
    told: list[int] = []
    for number in range(50):
        database.submit(gives(number), after=told.append)
    database.call(count)
    assert told == list(range(50))


def test_a_full_disk_is_reported_and_the_database_goes_on(database: Database) -> None:
    database.call(lambda connection: connection.execute("INSERT INTO notes VALUES ('first')"))

    def limit(connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")

    def fill(connection: sqlite3.Connection) -> None:
        connection.executemany("INSERT INTO notes VALUES (?)", [("x" * 4000,)] * 100)

    database.call(limit)
    with pytest.raises(OutputError) as refused:
        database.call(fill)
    assert refused.value.code is Code.DISK_FULL
    assert database.call(count) == 1
