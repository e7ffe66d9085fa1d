"""Copies what can still be read of a damaged database into a new one."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

_HEX_DIGITS = 16  # of the 64 of a digest: no two keys of one page differ only behind them
_CHUNK_ROWS = 256
_LARGEST_INTEGER = (1 << 63) - 1
_LARGEST_HEX = (1 << (4 * _HEX_DIGITS)) - 1


@dataclass(frozen=True, slots=True)
class _Table:
    """A table and the columns that its rows are ordered by."""

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]

    def query(self, where: str, limit: int) -> str:
        """Return the query for some rows in the order of the keys, which are its columns `salvage_0` and so on."""
        keys = ", ".join(f"{key} AS salvage_{number}" for number, key in enumerate(self.keys))
        return f"SELECT {keys}, * FROM {self.name} {where} ORDER BY {', '.join(self.keys)} LIMIT {limit}"  # noqa: S608


@dataclass(frozen=True, slots=True)
class _Start:
    """The condition from which rows are read on."""

    where: str
    values: list[object]


def salvage(damaged: Path, connection: sqlite3.Connection) -> None:
    """Copy every readable row of the file `damaged` into the tables of `connection`, which has the schema.

    A damaged page costs its own rows. Rows behind it are found by probing for the next key that can be read.
    """
    source = sqlite3.connect(damaged)
    source.row_factory = sqlite3.Row
    source.text_factory = _text
    try:
        for table in _tables(connection):
            copied = sum(_insert(connection, table, row) for row in _rows(source, table))
            _log.warning("%d rows of %s were salvaged", copied, table.name)
    finally:
        source.close()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _tables(connection: sqlite3.Connection) -> list[_Table]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    tables = []
    for (name,) in names.fetchall():
        columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
        primary = sorted((column["pk"], column["name"]) for column in columns if column["pk"])
        keys = tuple(column for _, column in primary) or ("rowid",)
        tables.append(_Table(name, keys, tuple(column["name"] for column in columns)))
    return tables


def _insert(connection: sqlite3.Connection, table: _Table, row: sqlite3.Row) -> bool:
    """Insert the columns that both databases have. False for a row that the new schema refuses."""
    shared = [column for column in table.columns if column in row.keys()]  # noqa: SIM118 - a Row iterates over values
    marks = ", ".join("?" * len(shared))
    command = f"INSERT OR REPLACE INTO {table.name} ({', '.join(shared)}) VALUES ({marks})"  # noqa: S608
    try:
        connection.execute(command, [row[column] for column in shared])
    except (sqlite3.IntegrityError, sqlite3.InterfaceError):
        return False
    return True


def _rows(source: sqlite3.Connection, table: _Table) -> Iterator[sqlite3.Row]:
    """Yield the readable rows in the order of their keys."""
    start, limit = _Start("", []), _CHUNK_ROWS
    while True:
        try:
            rows = source.execute(table.query(start.where, limit), start.values).fetchall()
        except sqlite3.DatabaseError as error:
            if limit > 1:
                limit = 1  # up to the damage row by row: a chunk that meets it is lost as a whole
                continue
            _log.warning("a part of %s cannot be read: %s", table.name, error)
            key = _behind_damage(source, table, start.values[0] if start.values else None)
            if key is None:
                return
            start, limit = _Start(f"WHERE {table.keys[0]} >= ?", [key]), _CHUNK_ROWS
            continue
        yield from rows
        if len(rows) < limit:
            return
        keys = ", ".join(table.keys)
        start = _Start(
            f"WHERE ({keys}) > ({', '.join('?' * len(table.keys))})",
            [rows[-1][f"salvage_{number}"] for number in range(len(table.keys))],
        )


def _behind_damage(source: sqlite3.Connection, table: _Table, after: object) -> object | None:
    """Return the smallest key from which rows can be read again; None where no such key is found."""
    keys = _key_space(source, table, after)
    if keys is None:
        return None
    number, largest, key_of = keys

    def readable(candidate: int) -> bool:
        try:
            source.execute(table.query(f"WHERE {table.keys[0]} >= ?", 1), [key_of(candidate)]).fetchall()
        except sqlite3.DatabaseError:
            return False
        return True

    step = 1
    while number + step <= largest and not readable(number + step):
        step *= 2
    if number + step > largest:
        return None
    low, high = number + step // 2, number + step  # `low` cannot be read, `high` can
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if readable(middle) else (middle, high)
    return key_of(high)


def _key_space(
    source: sqlite3.Connection, table: _Table, after: object
) -> tuple[int, int, Callable[[int], object]] | None:
    """Map keys to numbers: return that of `after`, the largest, and the inverse; None for other kinds of keys."""
    sample = after
    if sample is None:
        try:
            row = source.execute(f"SELECT max({table.keys[0]}) FROM {table.name}").fetchone()  # noqa: S608
        except sqlite3.DatabaseError:
            return None
        sample = row[0]
    if isinstance(sample, int):
        return (after if isinstance(after, int) else 0), _LARGEST_INTEGER, int
    if not isinstance(sample, str):
        return None
    prefix, slash, digits = sample.rpartition("/")
    try:
        number = int(digits[:_HEX_DIGITS], 16)
    except ValueError:
        return None
    return (number if after is not None else -1), _LARGEST_HEX, lambda key: f"{prefix}{slash}{key:0{_HEX_DIGITS}x}"
