"""The tables of media in SQL: names, shapes, stored files, and ranges of other files, within an open transaction."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, MediaError
from stemline.media import SAMPLE_BYTES, MediaHasher
from stemline.media.pictures.picture_track import PictureTrackHasher

LOWEST_RATE, HIGHEST_RATE = 4_000, 768_000
_UNUSED = "stored_bytes > 0 AND NOT EXISTS (SELECT 1 FROM pins WHERE pins.media = media.name)"
_NAME = re.compile(r"media/([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class MediaShape:
    """Rate in Hz, channel count, samples per channel. A picture track has the rate 0."""

    sample_rate: int
    channels: int
    length_samples: int

    @classmethod
    def of_pictures(cls, size_bytes: int) -> MediaShape:
        """Return the shape of a picture track: the rate 0, and its bytes counted like samples of one channel.

        Raises:
            MediaError: Its size is not a multiple of four bytes (MEDIA_UNREADABLE).
        """
        if size_bytes <= 0 or size_bytes % SAMPLE_BYTES:
            raise MediaError("The size of that picture track is impossible.", advice="Make the picture track again.")
        return cls(0, 1, size_bytes // SAMPLE_BYTES)

    @property
    def is_pictures(self) -> bool:
        """Whether it is the shape of a picture track."""
        return self.sample_rate == 0

    @property
    def size_bytes(self) -> int:
        """Return the size of the bare samples."""
        return self.length_samples * self.channels * SAMPLE_BYTES

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return self.length_samples / self.sample_rate if self.sample_rate else 0.0

    def check_rate(self) -> None:
        """Raise MediaError (MEDIA_UNSUPPORTED) for a rate that no engine works at."""
        if self.is_pictures:
            return
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            raise MediaError(
                f"A sample rate of {self.sample_rate} Hz is outside {LOWEST_RATE} to {HIGHEST_RATE} Hz.",
                code=Code.MEDIA_UNSUPPORTED,
                advice="Check the file, or convert it to 48000 Hz.",
            )


@dataclass(frozen=True, slots=True)
class MediaRow:
    """A known sound. `stored_bytes` is 0 when only references lead to it."""

    name: str
    shape: MediaShape
    stored_bytes: int
    create_us: int


@dataclass(frozen=True, slots=True)
class MediaReference:
    """A range of a file outside the store, and the identity of that file when the range was hashed."""

    source: MediaSource
    range: SampleRange
    identity: str


def now_us() -> int:
    """Return the microseconds since 1970, as the database stores moments."""
    return time.time_ns() // 1000


def find(connection: sqlite3.Connection, name: str) -> MediaRow | None:
    """Return the media of that name."""
    row = connection.execute("SELECT * FROM media WHERE name = ?", (name,)).fetchone()
    return None if row is None else _media(row)


def mark_used(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Note the use of sounds, in a transaction of its own: a full disk must not keep them from being read."""
    connection.executemany("UPDATE media SET used_us = ? WHERE name = ?", [(now_us(), name) for name in names])


def find_many(connection: sqlite3.Connection, names: set[str]) -> dict[str, MediaRow]:
    """Return those of the names that are known."""
    found = ((name, find(connection, name)) for name in names)
    return {name: row for name, row in found if row is not None}


def put(connection: sqlite3.Connection, name: str, shape: MediaShape, stored_bytes: int) -> MediaRow:
    """Make a sound known, or known as stored when only references led to it."""
    connection.execute(
        "INSERT INTO media VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
        " stored_bytes = max(stored_bytes, excluded.stored_bytes), used_us = excluded.used_us",
        (name, shape.sample_rate, shape.channels, shape.length_samples, stored_bytes, now_us(), now_us()),
    )
    return _media(connection.execute("SELECT * FROM media WHERE name = ?", (name,)).fetchone())


def put_reference(connection: sqlite3.Connection, media: str, reference: MediaReference) -> None:
    """Note that a range of a file is this sound."""
    connection.execute(
        "INSERT OR REPLACE INTO media_references VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*_reference_key(reference.source, reference.range), reference.identity, media),
    )


def find_reference(
    connection: sqlite3.Connection, source: MediaSource, wanted: SampleRange, identity: str
) -> MediaRow | None:
    """Return the media that this range of this file was hashed to; None when the file's identity is another."""
    row = connection.execute(
        "SELECT media FROM media_references WHERE (path, stream, channels, mono, start_sample, end_sample)"
        " = (?, ?, ?, ?, ?, ?) AND identity = ?",
        (*_reference_key(source, wanted), identity),
    ).fetchone()
    return None if row is None else find(connection, row["media"])


def references(connection: sqlite3.Connection, media: str) -> list[MediaReference]:
    """Return the ranges of files where this sound was found."""
    rows = connection.execute("SELECT * FROM media_references WHERE media = ?", (media,))
    return [
        MediaReference(
            source=MediaSource(
                row["path"],
                row["stream"],
                tuple(int(channel) for channel in row["channels"].split(",") if channel),
                bool(row["mono"]),
            ),
            range=SampleRange(row["start_sample"], row["end_sample"]),
            identity=row["identity"],
        )
        for row in rows
    ]


def forget_stored(connection: sqlite3.Connection, name: str) -> None:
    """Note that the store no longer holds the file, and forget the results that it was."""
    connection.execute("UPDATE media SET stored_bytes = 0 WHERE name = ?", (name,))
    connection.execute("DELETE FROM results WHERE media = ?", (name,))
    connection.execute(
        "DELETE FROM media WHERE name = ? AND NOT EXISTS (SELECT 1 FROM media_references WHERE media = ?)", (name, name)
    )


def forget(connection: sqlite3.Connection, name: str) -> None:
    """Forget a sound and every reference to it."""
    connection.execute("DELETE FROM media_references WHERE media = ?", (name,))
    forget_stored(connection, name)


def grant(connection: sqlite3.Connection, names: Iterable[str], holder: str) -> None:
    """Note that a seat or project holds these sounds; the operator, whose name is empty, needs no note."""
    if holder:
        connection.executemany("INSERT OR IGNORE INTO grants VALUES (?, ?)", [(name, holder) for name in names])


def granted(connection: sqlite3.Connection, names: Iterable[str], holder: str) -> set[str]:
    """Return those of the sounds that a seat or project holds."""
    query = "SELECT 1 FROM grants WHERE media = ? AND holder = ?"
    return {name for name in names if connection.execute(query, (name, holder)).fetchone() is not None}


def revoke(connection: sqlite3.Connection, name: str, holder: str) -> bool:
    """Take a sound from a holder, and return whether anyone else holds it. The operator takes it from all."""
    if not holder:
        connection.execute("DELETE FROM grants WHERE media = ?", (name,))
        return False
    connection.execute("DELETE FROM grants WHERE media = ? AND holder = ?", (name, holder))
    return connection.execute("SELECT 1 FROM grants WHERE media = ?", (name,)).fetchone() is not None


def held_bytes(connection: sqlite3.Connection, holder: str) -> int:
    """Return how much of the store a holder has."""
    row = connection.execute(
        "SELECT coalesce(sum(stored_bytes), 0) FROM media JOIN grants ON media = name WHERE holder = ?", (holder,)
    ).fetchone()
    return int(row[0])


def least_recently_used_of(connection: sqlite3.Connection, holder: str, wanted_bytes: int) -> list[str]:
    """Return stored sounds that this holder alone has and no job needs, as `least_recently_used`."""
    rows = connection.execute(
        f"SELECT name, stored_bytes FROM media WHERE {_UNUSED}"  # noqa: S608
        " AND EXISTS (SELECT 1 FROM grants WHERE grants.media = media.name AND holder = ?)"
        " AND NOT EXISTS (SELECT 1 FROM grants WHERE grants.media = media.name AND holder != ?) ORDER BY used_us",
        (holder, holder),
    )
    return _until(rows, wanted_bytes)


def stored_after(connection: sqlite3.Connection, name: str) -> MediaRow | None:
    """Return the first stored media after a name, in the order of names."""
    row = connection.execute(
        "SELECT * FROM media WHERE name > ? AND stored_bytes > 0 ORDER BY name LIMIT 1", (name,)
    ).fetchone()
    return None if row is None else _media(row)


def is_pinned(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether a job that has not ended needs the sound."""
    return connection.execute("SELECT 1 FROM pins WHERE media = ?", (name,)).fetchone() is not None


def stored_bytes(connection: sqlite3.Connection) -> int:
    """Return how much the store holds."""
    return int(connection.execute("SELECT coalesce(sum(stored_bytes), 0) FROM media").fetchone()[0])


def unused_bytes(connection: sqlite3.Connection) -> int:
    """Return how much of the store no job needs."""
    return int(connection.execute(f"SELECT coalesce(sum(stored_bytes), 0) FROM media WHERE {_UNUSED}").fetchone()[0])  # noqa: S608


def least_recently_used(connection: sqlite3.Connection, wanted_bytes: int) -> list[str]:
    """Return stored media that no job needs, the longest unused first, until they make up `wanted_bytes`."""
    rows = connection.execute(f"SELECT name, stored_bytes FROM media WHERE {_UNUSED} ORDER BY used_us")  # noqa: S608
    return _until(rows, wanted_bytes)


def _until(rows: Iterable[sqlite3.Row], wanted_bytes: int) -> list[str]:
    """Return the names of the first rows that make up so much."""
    names: list[str] = []
    total = 0
    for row in rows:
        if total >= wanted_bytes:
            break
        names.append(row["name"])
        total += row["stored_bytes"]
    return names


def _reference_key(source: MediaSource, wanted: SampleRange) -> tuple[str, int, str, int, int, int]:
    channels = ",".join(str(channel) for channel in source.channels)
    return source.path, source.stream, channels, int(source.mono), wanted.start_sample, wanted.end_sample


def _media(row: sqlite3.Row) -> MediaRow:
    shape = MediaShape(row["sample_rate"], row["channels"], row["length_samples"])
    return MediaRow(row["name"], shape, row["stored_bytes"], row["create_us"])


def hasher_of(shape: MediaShape) -> MediaHasher | PictureTrackHasher:
    """Return what names a file of that shape by its bytes."""
    return PictureTrackHasher() if shape.is_pictures else MediaHasher(shape.sample_rate, shape.channels)


def media_id(name: str) -> str:
    """Return the id in a media name. Raises InputError for anything else, so that no name can become another path."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            "A media name is 'media/' and 64 hexadecimal digits.", advice="Use the name that the server gave."
        )
    return match[1]
