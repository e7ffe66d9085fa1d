"""The store's room: what the table says is there is there, whatever is asked for and wherever it breaks off."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from stemline.errors import Code, OutputError
from stemline_server.store import media_table
from stemline_server.store.content import ContentStore, Draft
from stemline_server.store.database import Database
from stemline_server.store.media_table import MediaShape

SOUND = MediaShape(48_000, 1, 1000)
LIMIT_BYTES = 5 * SOUND.size_bytes


@pytest.fixture
def store(tmp_path: Path, database: Database) -> ContentStore:
    return ContentStore(tmp_path / "store", database, LIMIT_BYTES)


@pytest.fixture
def names(store: ContentStore) -> list[str]:
    """Five sounds, the longest unused first: the store is full."""
    return [keep(store, number / 10) for number in range(5)]


def keep(store: ContentStore, value: float) -> str:
    draft = Draft(store, SOUND)
    draft.write(np.full((1, SOUND.length_samples), value, np.float32))
    name = draft.close().name
    draft.discard()
    return name


def there(store: ContentStore, names: list[str]) -> list[bool]:
    return [store.path(name).exists() for name in names]


def claimed(database: Database) -> int:
    return database.call(media_table.stored_bytes)


def test_a_reservation_beyond_the_limit_drops_no_media(
    store: ContentStore, database: Database, names: list[str]
) -> None:
    with pytest.raises(OutputError) as refused:
        store.reserve(LIMIT_BYTES + 4)
    assert refused.value.code is Code.DISK_QUOTA
    assert there(store, names) == [True] * 5
    assert claimed(database) == LIMIT_BYTES


def test_a_reservation_beyond_unpinned_media_drops_no_media(
    store: ContentStore, database: Database, names: list[str]
) -> None:
    database.call(lambda connection: connection.execute("INSERT INTO pins VALUES (?, 1)", (names[4],)))
    with pytest.raises(OutputError) as refused:
        store.reserve(LIMIT_BYTES)
    assert refused.value.code is Code.DISK_QUOTA
    assert there(store, names) == [True] * 5
    store.reserve(LIMIT_BYTES - SOUND.size_bytes)
    assert there(store, names) == [False] * 4 + [True]


def test_a_reservation_beyond_the_disk_drops_no_media(
    store: ContentStore, database: Database, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemline_server.store.content.shutil.disk_usage", lambda _: type("Usage", (), {"free": 0})())
    with pytest.raises(OutputError) as refused:
        store.reserve(SOUND.size_bytes)
    assert refused.value.code is Code.DISK_FULL
    assert there(store, names) == [True] * 5
    assert claimed(database) == LIMIT_BYTES


def test_room_is_made_by_the_longest_unused_only(store: ContentStore, database: Database, names: list[str]) -> None:
    store.lookup(names[0]).result()
    store.reserve(SOUND.size_bytes + 4)
    assert there(store, names) == [True, False, False, True, True]
    assert claimed(database) == 3 * SOUND.size_bytes


def test_files_are_removed_only_after_the_table_has_forgotten_them(
    store: ContentStore, database: Database, names: list[str]
) -> None:
    """The second of two sounds cannot be forgotten: both stay."""
    database.call(
        lambda connection: connection.execute(
            "CREATE TRIGGER broken BEFORE UPDATE OF stored_bytes ON media WHEN NEW.stored_bytes = 0"
            f" AND OLD.name = '{names[1]}' BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    )
    with pytest.raises(sqlite3.IntegrityError, match="broken"):
        store.reserve(2 * SOUND.size_bytes)
    assert there(store, names) == [True] * 5
    assert claimed(database) == LIMIT_BYTES
    database.call(lambda connection: connection.execute("DROP TRIGGER broken"))
    store.reserve(LIMIT_BYTES)  # the wish that broke has set nothing aside
    assert there(store, names) == [False] * 5
