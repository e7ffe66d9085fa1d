"""The SQLite database: one thread owns the connection, and other threads hand it work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stemline.errors import Cancelled
from stemline_server.store.disk import full_disk_named
from stemline_server.store.salvage import salvage

_log = logging.getLogger(__name__)

T = TypeVar("T")


async def result_of(future: Future[T]) -> T:
    """Wait for a future of another thread. A caller that leaves does not cancel the work."""
    return await asyncio.shield(asyncio.wrap_future(future))


class Database:
    """Runs each piece of work as one transaction, in the order given, on its own thread.

    WAL with synchronous=NORMAL: what was committed survives the death of this process. After a power cut the last
    changes may be missing, but none is half there.
    """

    def __init__(self, path: Path, schema: str, mend: Callable[[sqlite3.Connection], object] | None = None) -> None:
        """Open the database at `path`, salvaged if it is damaged.

        Args:
            path: The file; it is made where it is missing.
            schema: SQL that makes the tables where they are missing.
            mend: Called with a salvaged database to make its tables agree again.
        """
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._folder = path.parent
        self._file = _DatabaseFile(path, schema, mend)
        self._connection: sqlite3.Connection = self._executor.submit(self._file.open).result()

    def submit(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> Future[T]:
        """Queue `work`. `after` gets its result on the database thread, committed, before any later work runs.

        Raises:
            Cancelled: The database is closed.
        """
        try:
            return self._executor.submit(self._transact, work, after)
        except RuntimeError as error:
            raise Cancelled("The server has stopped.") from error

    def call(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Run `work` and wait. For threads only, never in the event loop."""
        return self.submit(work, after).result()

    async def run(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Run `work` while the event loop goes on. A caller that leaves does not undo it."""
        return await result_of(self.submit(work, after))

    def close(self) -> None:
        """Finish the queued work and close the file."""
        self._executor.submit(self._connection.close).result()
        self._executor.shutdown()

    def _transact(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None) -> T:
        with full_disk_named(self._folder):
            try:
                with self._transaction():
                    result = work(self._connection)
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise
                self._connection.close()
                self._connection = self._file.heal()
                with self._transaction():
                    result = work(self._connection)
        if after is not None:
            after(result)
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            if self._connection.in_transaction:  # a full disk ends it when something was written
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


@dataclass(frozen=True, slots=True)
class _DatabaseFile:
    """Opens the file, or makes a new one from the rows that can be read where it is damaged."""

    path: Path
    schema: str
    mend: Callable[[sqlite3.Connection], object] | None

    def open(self) -> sqlite3.Connection:
        if self._salvaged.exists() and not self.path.exists():  # the process died between the two moves of `heal`
            self._salvaged.replace(self.path)
        try:
            connection = _connect(self.path, self.schema)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            return self.heal()
        if _is_sound(connection):
            return connection
        connection.close()
        return self.heal()

    def heal(self) -> sqlite3.Connection:
        """Put the damaged file aside as `damaged-NAME`, and open a new one with the rows that could be read."""
        _log.error("%s is damaged: it is put aside, and what can be read of it is salvaged", self.path)
        draft = self.path.with_name(f"{self.path.name}.draft")
        draft.unlink(missing_ok=True)
        with contextlib.closing(_connect(draft, self.schema, journal_mode="DELETE")) as connection:
            connection.execute("BEGIN")
            salvage(self.path, connection)
            if self.mend is not None:
                self.mend(connection)
            connection.execute("COMMIT")
        draft.replace(self._salvaged)
        for ending in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                damaged = self.path.with_name(f"{self.path.name}{ending}")
                damaged.replace(damaged.with_name(f"damaged-{damaged.name}"))
        self._salvaged.replace(self.path)
        return _connect(self.path, self.schema)

    @property
    def _salvaged(self) -> Path:
        return self.path.with_name(f"{self.path.name}.salvaged")


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _is_sound(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return False
        raise


def _connect(path: Path, schema: str, journal_mode: str = "WAL") -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA journal_mode={journal_mode}")
        connection.execute("PRAGMA synchronous=NORMAL")
        _add_missing_columns(connection, schema)
        connection.executescript(schema)
    except BaseException:
        connection.close()
        raise
    return connection


def _add_missing_columns(connection: sqlite3.Connection, schema: str) -> None:
    """Bring the tables of an older version up to the schema."""
    with contextlib.closing(sqlite3.connect(":memory:")) as wanted:
        wanted.executescript(schema)
        for (table,) in wanted.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            there = {column["name"] for column in connection.execute(f"PRAGMA table_info({table})")}
            for _, name, kind, required, default, _ in wanted.execute(f"PRAGMA table_info({table})").fetchall():
                if there and name not in there:
                    rule = f"{'NOT NULL' if required else ''} DEFAULT {'NULL' if default is None else default}"
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind} {rule}")
