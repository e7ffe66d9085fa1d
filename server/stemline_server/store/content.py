"""The media store on files: bare samples, named by their hash, under a quota."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, OutputError
from stemline.media import pcm_bytes
from stemline_server.engines.base import Waveform
from stemline_server.store import media_table
from stemline_server.store.database import Database
from stemline_server.store.disk import disk_full, full_disk_named
from stemline_server.store.media_store import KnownMedia, MediaStore
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape, hasher_of, media_id

T = TypeVar("T")
_log = logging.getLogger(__name__)

_READ_BYTES = 1 << 20
_SPARE_DISK_BYTES = 64 * 1024 * 1024  # left free for the database, the log and other programs


@dataclass(frozen=True, slots=True)
class _Stamp:
    """The facts of a file that change with its content."""

    size_bytes: int
    modified_ns: int
    inode: int


class ContentStore:
    """A `MediaStore` on files. They are written under `draft/`, hashed, and then renamed to `<id>.f32`."""

    def __init__(self, root: Path, database: Database, limit_bytes: int) -> None:
        """Keep files under `root` and their table in `database`. Drafts of an earlier process are removed."""
        self._root = root
        self._database = database
        self.limit_bytes = limit_bytes
        self._verified: dict[str, _Stamp] = {}
        self.drop_abandoned: Callable[[], object] = lambda: None  # set by what keeps unfinished files
        self._reserved_bytes = 0  # of stems being written; touched on the database thread only
        self._part_bytes = 0  # of uploads that are not whole; likewise
        self.drafts = root / "draft"
        shutil.rmtree(self.drafts, ignore_errors=True)
        self.drafts.mkdir(parents=True)

    def path(self, name: str) -> Path:
        """Return where the store keeps the file of a sound, whether or not it has one. Raises InputError."""
        identity = media_id(name)
        return self._root / identity[:2] / f"{identity}.f32"

    def is_verified(self, name: str) -> bool:
        """Return whether the file is there and is the one that this process wrote or verified. Never reads the file."""
        stamp = self._stamp(name)
        return stamp is not None and self._verified.get(name) == stamp

    def verify(self, row: MediaRow) -> bool:
        """Return whether the store holds the sound, whole and unchanged. For threads: it may read all of the file.

        Reads each file once per process, and again only where it was changed since. A damaged file is removed and
        forgotten, with the results that it was, so that they are computed again.
        """
        if row.stored_bytes == 0:
            return False
        if self.is_verified(row.name):
            return True
        stamp = self._stamp(row.name)
        whole = stamp is not None and stamp.size_bytes == row.shape.size_bytes and self._hash_of(row) == row.name
        if stamp is not None and whole:
            self._verified[row.name] = stamp
        else:
            self._drop_damaged(row.name, stamp)
        return whole

    def scrub(self, row: MediaRow) -> bool:
        """Read a stored file again, whether or not it was verified, and return whether it is whole.

        For threads. A damaged file is dropped, as by `verify`.
        """
        stamp = self._stamp(row.name)
        if row.stored_bytes == 0 or stamp is None or self._hash_of(row) == row.name:
            return True
        self._drop_damaged(row.name, stamp)
        return False

    def _hash_of(self, row: MediaRow) -> str:
        """Return the name that the file deserves; empty where it can't be read."""
        hasher = hasher_of(row.shape)
        try:
            with self.path(row.name).open("rb") as file:
                while data := file.read(_READ_BYTES):
                    hasher.update_pcm(data)
        except OSError:
            return ""
        return hasher.name()

    def _drop_damaged(self, name: str, stamp: _Stamp | None) -> None:
        def work(connection: sqlite3.Connection) -> list[str]:
            if self._stamp(name) != stamp:  # it was written again since it was read
                return []
            _log.warning("%s is damaged on the disk and was removed", self.path(name))
            media_table.forget_stored(connection, name)
            return [name]

        self._database.call(work, self._unlink)

    def _stamp(self, name: str) -> _Stamp | None:
        try:
            status = self.path(name).stat()
        except OSError:
            return None
        return _Stamp(status.st_size, status.st_mtime_ns, status.st_ino)

    def check_fits(self, size_bytes: int) -> None:
        """Check that room for so much could be made, and make none. For threads.

        Raises:
            OutputError: The limit or the disk leaves no such room (DISK_QUOTA, DISK_FULL).
        """
        self._database.call(lambda connection: self._shortage_bytes(connection, size_bytes))

    def reserve(self, size_bytes: int, *, part: bool = False) -> None:
        """Set room aside until `release`, at the cost of abandoned uploads, then of the longest unused media.

        For threads.

        Args:
            size_bytes: How much.
            part: Whether it is for a part of an upload, which is written at once: the disk's free space counts it.

        Raises:
            OutputError: There can be no such room (DISK_QUOTA, DISK_FULL); then no media is dropped.
        """

        def work(connection: sqlite3.Connection) -> list[str]:
            dropped = media_table.least_recently_used(connection, self._shortage_bytes(connection, size_bytes))
            for name in dropped:
                media_table.forget_stored(connection, name)
            return dropped

        def after(dropped: list[str]) -> None:
            self._unlink(dropped)
            self._count(size_bytes, part=part)

        if self._database.call(lambda connection: self._is_short(connection, size_bytes)):
            self.drop_abandoned()
        self._database.call(work, after)

    def charge_part(self, size_bytes: int) -> None:
        """Count a part of an upload that is on the disk already, until `release`."""
        self._database.submit(lambda _: self._count(size_bytes, part=True))

    def release(self, size_bytes: int, *, part: bool = False) -> None:
        """Give up what `reserve` or `charge_part` counted: the file is in the store now, or gone."""
        self._database.submit(lambda _: self._count(-size_bytes, part=part))

    def _count(self, size_bytes: int, *, part: bool) -> None:
        if part:
            self._part_bytes += size_bytes
        else:
            self._reserved_bytes += size_bytes

    def lookup(self, name: str) -> Future[KnownMedia | None]:
        """See `MediaStore`."""

        def work(connection: sqlite3.Connection) -> KnownMedia | None:
            row = media_table.find(connection, name)
            return None if row is None else KnownMedia(row, tuple(media_table.references(connection, name)))

        return self._reading([name], work)

    def known(self, names: Iterable[str]) -> Future[dict[str, MediaRow]]:
        """See `MediaStore`."""
        wanted = set(names)
        return self._reading(wanted, lambda connection: media_table.find_many(connection, wanted))

    def _reading(self, names: Iterable[str], work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Read the table, and note the use of the sounds, as far as the disk takes it."""
        found = self._database.submit(work)
        self._database.submit(lambda connection: media_table.mark_used(connection, names))
        return found

    def find_reference(self, source: MediaSource, wanted: SampleRange, identity: str) -> Future[MediaRow | None]:
        """See `MediaStore`."""
        return self._database.submit(
            lambda connection: media_table.find_reference(connection, source, wanted, identity)
        )

    def keep_reference(self, name: str, shape: MediaShape, reference: MediaReference) -> Future[MediaRow]:
        """See `MediaStore`."""

        def work(connection: sqlite3.Connection) -> MediaRow:
            media_table.put_reference(connection, name, reference)
            return media_table.put(connection, name, shape, 0)

        return self._database.submit(work)

    def delete(self, name: str, holder: str = "") -> Future[None]:
        """See `MediaStore`."""
        dropped: list[str] = []

        def work(connection: sqlite3.Connection) -> None:
            if media_table.is_pinned(connection, name):
                raise InputError("A job that has not ended needs this media.", advice="Cancel the job first.")
            if not media_table.revoke(connection, name, holder):
                media_table.forget(connection, name)
                dropped.append(name)

        return self._database.submit(work, lambda _: self._unlink(dropped))

    def grant(self, name: str, holder: str) -> Future[None]:
        """See `MediaStore`."""
        return self._database.submit(lambda connection: media_table.grant(connection, [name], holder))

    def granted(self, names: Iterable[str], holder: str) -> Future[set[str]]:
        """See `MediaStore`."""
        return self._database.submit(lambda connection: media_table.granted(connection, names, holder))

    def make_room_of(self, holder: str, size_bytes: int, limit_bytes: int) -> None:
        """See `MediaStore`."""

        def work(connection: sqlite3.Connection) -> list[str]:
            over = media_table.held_bytes(connection, holder) + size_bytes - limit_bytes
            names = media_table.least_recently_used_of(connection, holder, over) if over > 0 else []
            for name in names:
                media_table.forget_stored(connection, name)
            if media_table.held_bytes(connection, holder) + size_bytes > limit_bytes:
                raise OutputError(
                    f"This seat may hold {limit_bytes} bytes of sound on the server, and {size_bytes} more do not fit.",
                    code=Code.DISK_QUOTA,
                    advice="Wait for the jobs that still need its sound, or ask the operator for a higher limit.",
                )
            return names

        self._database.call(work, self._unlink)

    def stored_bytes(self) -> Future[int]:
        """See `MediaStore`."""
        return self._database.submit(media_table.stored_bytes)

    def _is_short(self, connection: sqlite3.Connection, size_bytes: int) -> bool:
        try:
            return self._shortage_bytes(connection, size_bytes) > 0
        except OutputError:
            return True

    def _shortage_bytes(self, connection: sqlite3.Connection, size_bytes: int) -> int:
        """Return how much must be dropped before so much fits in. Raises OutputError where that is too much."""
        wanted_bytes = size_bytes + self._reserved_bytes
        over = media_table.stored_bytes(connection) + self._part_bytes + wanted_bytes - self.limit_bytes
        short = wanted_bytes + _SPARE_DISK_BYTES - shutil.disk_usage(self._root).free
        if over <= 0 and short <= 0:
            return 0
        unused = media_table.unused_bytes(connection)
        if over > unused:
            raise OutputError(
                f"The server's store is full: {size_bytes} bytes do not fit into its limit of {self.limit_bytes}.",
                code=Code.DISK_QUOTA,
                advice="Raise --store-limit, or wait for the jobs that still need what it holds.",
            )
        if short > unused:
            raise disk_full(self._root)
        return max(over, short)

    def _unlink(self, names: Iterable[str]) -> None:
        """Remove the files of sounds that the table has forgotten. `sweep` removes what can't be removed now."""
        for name in names:
            self._verified.pop(name, None)
            with contextlib.suppress(OSError):
                self.path(name).unlink(missing_ok=True)

    def adopt(self, draft: Path, name: str, shape: MediaShape) -> MediaRow:
        """Give a whole, verified file its final name and make it known. For threads."""
        target = self.path(name)

        def work(connection: sqlite3.Connection) -> MediaRow:
            target.parent.mkdir(exist_ok=True)
            try:
                draft.replace(target)
            except PermissionError:  # Windows replaces nothing that a client has open, be it the same sound
                if not target.is_file() or target.stat().st_size != shape.size_bytes:
                    raise
                draft.unlink()
            stamp = self._stamp(name)
            if stamp is not None:
                self._verified[name] = stamp
            return media_table.put(connection, name, shape, shape.size_bytes)

        return self._database.call(work)

    def sweep(self) -> None:
        """Make files and table agree again after a process died. Call this at start, before anything is served."""
        there = {path: path.stat().st_size for path in self._root.glob("??/*.f32")}

        def work(connection: sqlite3.Connection) -> set[Path]:
            listed = connection.execute("SELECT name, stored_bytes FROM media WHERE stored_bytes > 0").fetchall()
            known = {self.path(row["name"]): row for row in listed}
            whole = {path for path, row in known.items() if there.get(path) == row["stored_bytes"]}
            for path in known.keys() - whole:
                media_table.forget_stored(connection, known[path]["name"])
            return whole

        for path in there.keys() - self._database.call(work):
            path.unlink()


class Draft:
    """A stem or picture track that one thread writes: data in, then `close`. Call `discard` in any case.

    Attributes:
        frame_bytes: Bytes of one sample of all channels.
        written_samples: How many samples any thread can `read`.
    """

    def __init__(self, store: MediaStore, shape: MediaShape) -> None:
        """Set room aside for media of that shape, and open a file. Raises OutputError (DISK_QUOTA, DISK_FULL)."""
        self._store = store
        self._shape = shape
        self._hasher = hasher_of(shape)
        self._written = 0
        self.frame_bytes = shape.size_bytes // max(1, shape.length_samples)
        self.written_samples = 0
        store.reserve(shape.size_bytes)
        try:
            with full_disk_named(self._store.drafts):
                self._file: IO[bytes] = tempfile.NamedTemporaryFile(  # noqa: SIM115 - open until `close`
                    dir=store.drafts, suffix=".f32", delete=False
                )
        except BaseException:
            store.release(shape.size_bytes)
            raise

    def write(self, block: Waveform) -> None:
        """Append [channels, samples]. Raises OutputError (DISK_FULL)."""
        self.append(pcm_bytes(block))
        self.written_samples += block.shape[1]

    def append(self, data: bytes | memoryview) -> None:
        """Append bytes of the file. Raises OutputError (DISK_FULL)."""
        self._hasher.update_pcm(data)
        self._written += len(memoryview(data).cast("B"))
        with full_disk_named(self._store.drafts):
            self._file.write(data)
            self._file.flush()

    @property
    def path(self) -> Path:
        """The file until `close`."""
        return Path(self._file.name)

    @property
    def name(self) -> str:
        """The name that the bytes so far have on the server."""
        return self._hasher.name()

    def read(self, start_sample: int, max_bytes: int) -> bytes:
        """Return written samples from `start_sample` on, interleaved float32, at most `max_bytes`, from any thread.

        Empty where the file has its final name already, or is gone.
        """
        end_sample = min(self.written_samples, start_sample + max_bytes // self.frame_bytes)
        try:
            with self.path.open("rb") as file:
                file.seek(start_sample * self.frame_bytes)
                return file.read((end_sample - start_sample) * self.frame_bytes)
        except OSError:
            return b""

    def close(self) -> MediaRow:
        """Return the finished media. Raises ValueError for more or fewer samples than were announced."""
        if self._written != self._shape.size_bytes:
            raise ValueError(f"{self._written} bytes were written of {self._shape.size_bytes}")
        with full_disk_named(self._store.drafts):
            self._file.close()
        return self._store.adopt(self.path, self.name, self._shape)

    def discard(self) -> None:
        """Remove what has no final name, and give up its room. Call this once."""
        with contextlib.suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)
        self._store.release(self._shape.size_bytes)
