"""Uploads pay for what has arrived: no header, silent caller or abandoned part takes room from others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from server.harness import CALL_TIMEOUT_S, RATE, Caller, name_of, parts, server_in_thread
from stemline.errors import Code, OutputError
from stemline.v1 import media_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database
from stemline_server.store.media_table import MediaShape
from stemline_server.store.uploads import UploadHeader, Uploads

SIZE = 80_000
LIMIT = 5 * SIZE
SHAPE = MediaShape(RATE, 2, SIZE // 8)


def sound(number: int, size: int = SIZE) -> bytes:
    return bytes([number]) * size


@pytest.fixture
def store(tmp_path: Path, database: Database) -> ContentStore:
    return ContentStore(tmp_path / "store", database, LIMIT)


@pytest.fixture
def uploads(tmp_path: Path, store: ContentStore) -> Uploads:
    return Uploads(store, tmp_path / "uploads")


def send(uploads: Uploads, number: int) -> str:
    upload = uploads.begin(UploadHeader(name_of(sound(number)), SHAPE, 0))
    upload.write(sound(number))
    name = upload.finish().name
    upload.close()
    return name


def abandon(uploads: Uploads, number: int, size: int, age_s: float = 0.0) -> Path:
    """Send a part of a sound and leave; the file of the part, last written to so long ago."""
    name = name_of(sound(number))
    upload = uploads.begin(UploadHeader(name, SHAPE, 0))
    upload.write(sound(number, size))
    upload.close()
    (path,) = (path for path in uploads._folder.iterdir() if path.stem in name)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_a_header_takes_no_room_from_stored_sound(uploads: Uploads, store: ContentStore) -> None:
    names = [send(uploads, number) for number in range(5)]
    big = UploadHeader(name_of(b""), MediaShape(RATE, 2, LIMIT // 8), 0)
    silent = uploads.begin(big)
    assert all(store.path(name).exists() for name in names)
    other = send(uploads, 9)
    assert [store.path(name).exists() for name in names] == [False] + [True] * 4
    silent.close()
    assert store.path(other).exists()


def test_a_sound_that_can_never_fit_is_refused_at_its_header(uploads: Uploads) -> None:
    with pytest.raises(OutputError) as refused:
        uploads.begin(UploadHeader(name_of(b""), MediaShape(RATE, 2, LIMIT // 8 + 1), 0))
    assert refused.value.code is Code.DISK_QUOTA


def test_abandoned_uploads_count_into_the_limit(tmp_path: Path, uploads: Uploads) -> None:
    for number in range(5):
        abandon(uploads, number, SIZE - 8)
    with pytest.raises(OutputError) as refused:
        abandon(uploads, 5, SIZE - 8)
    assert refused.value.code is Code.DISK_QUOTA
    assert sum(path.stat().st_size for path in (tmp_path / "uploads").iterdir()) <= LIMIT


def test_room_comes_from_abandoned_uploads_before_it_comes_from_stored_sound(
    uploads: Uploads, store: ContentStore
) -> None:
    names = [send(uploads, number) for number in range(2)]
    old = [abandon(uploads, number, SIZE - 8, age_s=3600) for number in (2, 3)]
    fresh = abandon(uploads, 4, SIZE - 8)
    send(uploads, 5)
    assert not any(path.exists() for path in old)
    assert fresh.exists()
    assert all(store.path(name).exists() for name in names)


def test_abandoned_uploads_still_count_after_a_restart(tmp_path: Path, database: Database) -> None:
    first = Uploads(ContentStore(tmp_path / "store", database, LIMIT), tmp_path / "uploads")
    for number in range(4):
        abandon(first, number, SIZE - 8)
    again = ContentStore(tmp_path / "store", database, LIMIT)
    uploads = Uploads(again, tmp_path / "uploads")
    with pytest.raises(OutputError):
        again.reserve(2 * SIZE)
    assert uploads.committed_bytes(name_of(sound(1))) == SIZE - 8


def test_an_upload_that_goes_on_pays_for_the_rest_only(uploads: Uploads, store: ContentStore) -> None:
    path = abandon(uploads, 1, SIZE - 8)
    store.reserve(LIMIT - SIZE)
    upload = uploads.begin(UploadHeader(name_of(sound(1)), SHAPE, SIZE - 8))
    upload.write(sound(1, 8))
    assert store.path(upload.finish().name).read_bytes() == sound(1)
    upload.close()
    assert not path.exists()
    with pytest.raises(OutputError):
        store.reserve(SIZE + 1)
    store.reserve(SIZE)  # for the sound that is stored now can be dropped


@pytest.fixture
def far_server(tmp_path: Path) -> Iterator[Caller]:
    with server_in_thread(ServerConfig(tmp_path / "state", devices=("cpu",))) as caller:
        yield caller


@pytest.mark.parametrize("sent", [0, 50_000])
def test_a_caller_that_falls_silent_is_left_and_can_go_on(
    far_server: Caller, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemline_server.services.media._SILENCE_TIMEOUT_S", 0.2)
    over = threading.Event()

    def silent() -> Iterator[pb.UploadMediaRequest]:
        yield from parts(sound(1), stop=sent)
        over.wait(CALL_TIMEOUT_S)

    code, message = far_server.refused(far_server.media.UploadMedia, silent())
    over.set()
    assert (code, "0.2 s" in message) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    asked = pb.GetUploadRequest(name=name_of(sound(1)))
    assert far_server.call(far_server.media.GetUpload, asked).committed_size == sent
    assert far_server.call(far_server.media.UploadMedia, parts(sound(1), sent)).name == name_of(sound(1))


def test_a_caller_that_never_sends_a_header_is_left(far_server: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemline_server.services.media._SILENCE_TIMEOUT_S", 0.2)
    over = threading.Event()

    def silent() -> Iterator[pb.UploadMediaRequest]:
        over.wait(CALL_TIMEOUT_S)
        yield from ()

    assert far_server.refused(far_server.media.UploadMedia, silent())[0] is grpc.StatusCode.FAILED_PRECONDITION
    over.set()
