"""Reads stored sound again and again, slowly, so that damage on the disk is found before the sound is needed."""

from __future__ import annotations

import logging
import sqlite3
import threading
from functools import partial

from stemline.errors import Cancelled
from stemline_server.store import media_table
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database

_log = logging.getLogger(__name__)

_BYTES_PER_S = 8 << 20  # 50 GiB take two hours
_PAUSE_S = 60.0  # after the last file, and while there is none


class Scrubber(threading.Thread):
    """Scrubs a store until `stop`."""

    def __init__(self, store: ContentStore, database: Database, bytes_per_s: int = _BYTES_PER_S) -> None:
        """Scrub `store`, whose table is in `database`, at `bytes_per_s`."""
        super().__init__(name="scrubber", daemon=True)
        self._store = store
        self._database = database
        self._bytes_per_s = bytes_per_s
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the current file."""
        self._stopping.set()

    def run(self) -> None:
        """Read file after file, in the order of their names."""
        after = ""
        while not self._stopping.is_set():
            try:
                row = self._database.call(partial(media_table.stored_after, name=after))
                whole = row is None or self._store.scrub(row)
            except Cancelled:  # the database is closed
                return
            except (OSError, sqlite3.Error) as error:
                _log.warning("the store cannot be scrubbed now: %s", error)
                row, whole = None, True
            if row is not None and not whole:
                _log.error("%s was damaged on the disk; it is computed again when it is needed", row.name)
            after = "" if row is None else row.name
            self._stopping.wait(_PAUSE_S if row is None else row.stored_bytes / self._bytes_per_s)
