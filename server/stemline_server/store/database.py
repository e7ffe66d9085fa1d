"""One thread owns the SQLite connection; everybody else hands it work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from stemline.errors import Cancelled
from stemline_server.store.disk import full_disk_named

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Database:
    """Runs each piece of work as one transaction, in the order given, on a thread of its own.

    WAL with synchronous=NORMAL: what was committed survives the death of this process; after a power cut the last
    moments may be missing, never half there.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")
        self._folder = path.parent
        self._connection: sqlite3.Connection = self._executor.submit(_open, path, schema).result()

    def submit(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> Future[T]:
        """Queues `work`; `after` sees its result on the database thread, committed, before any later work runs.

        Raises Cancelled once the database is closed.
        """
        try:
            return self._executor.submit(self._transact, work, after)
        except RuntimeError as error:
            raise Cancelled("The server has stopped.") from error

    def call(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Runs `work` and waits: for threads only, never in the event loop."""
        return self.submit(work, after).result()

    async def run(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None = None) -> T:
        """Runs `work` while the event loop goes on. A caller that leaves does not undo it."""
        return await asyncio.shield(asyncio.wrap_future(self.submit(work, after)))

    def close(self) -> None:
        self._executor.submit(self._connection.close).result()
        self._executor.shutdown()

    def _transact(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] | None) -> T:
        with full_disk_named(self._folder), self._transaction():
            result = work(self._connection)
        if after is not None:
            after(result)
        return result

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise


def _open(path: Path, schema: str) -> sqlite3.Connection:
    """A damaged file is put aside: what it knew can be made again, a server that never starts cannot be used."""
    try:
        return _connect(path, schema)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        _log.warning("%s is damaged and was put aside", path)
        for damaged in path.parent.glob(f"{path.name}*"):
            damaged.replace(damaged.with_name(f"damaged-{damaged.name}"))
        return _connect(path, schema)


def _connect(path: Path, schema: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.executescript(schema)
    return connection
