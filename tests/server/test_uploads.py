"""Uploads that meet, break or are abandoned: one whole sound, and no room set aside in vain."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from server.harness import CALL_TIMEOUT_S, RATE, Caller, name_of, parts, samples_of, server_in_thread, write_noise
from stemline.client import connect
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, InputError, MediaError, OutputError
from stemline.v1 import media_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.engines.base import AudioSource
from stemline_server.services.media import MediaService
from stemline_server.store.content import ContentStore
from stemline_server.store.database import Database
from stemline_server.store.media_table import MediaReference, MediaRow, MediaShape
from stemline_server.store.sources import SoundOpener
from stemline_server.store.uploads import Upload, UploadHeader, Uploads

DATA = bytes(range(200)) * 40
SHAPE = MediaShape(RATE, 2, len(DATA) // 8)
NAME = name_of(DATA)
WHOLE = UploadHeader(NAME, SHAPE, 0)


@pytest.fixture
def store(tmp_path: Path, database: Database) -> ContentStore:
    """It has room for the sound, once."""
    return ContentStore(tmp_path / "store", database, len(DATA))


@pytest.fixture
def roomy(tmp_path: Path, database: Database) -> ContentStore:
    return ContentStore(tmp_path / "store", database, 10 * len(DATA))


@pytest.fixture
def uploads(tmp_path: Path, roomy: ContentStore) -> Uploads:
    return Uploads(roomy, tmp_path / "uploads")


def mismatch(upload: Upload) -> bool:
    """Whether it cannot be finished because another one has the sound."""
    with pytest.raises(InputError) as refused:
        upload.finish()
    return refused.value.code is Code.UPLOAD_MISMATCH


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_of_two_complete_uploads_the_later_is_stored_and_the_other_refused(
    uploads: Uploads, roomy: ContentStore, first_ends_first: bool
) -> None:
    first = uploads.begin(WHOLE)
    first.write(DATA)
    later = uploads.begin(UploadHeader(NAME, SHAPE, uploads.committed_bytes(NAME)))
    if first_ends_first:
        assert mismatch(first)
        assert later.finish().name == NAME
    else:
        assert later.finish().name == NAME
        assert mismatch(first)
    assert roomy.path(NAME).read_bytes() == DATA
    first.close()
    later.close()


def test_one_that_was_overtaken_drops_nothing_of_the_other(uploads: Uploads, roomy: ContentStore) -> None:
    """The later one begins again, so what is there when the first ends is not its sound."""
    first = uploads.begin(WHOLE)
    first.write(DATA)
    later = uploads.begin(WHOLE)
    later.write(DATA[:100])
    assert mismatch(first)
    first.close()
    later.write(DATA[100:])
    assert later.finish().name == NAME
    assert roomy.path(NAME).read_bytes() == DATA
    later.close()


def test_an_upload_that_cannot_be_opened_sets_no_room_aside(tmp_path: Path, store: ContentStore) -> None:
    uploads = Uploads(store, tmp_path / "uploads")
    obstacle = tmp_path / "uploads" / f"{NAME.removeprefix('media/')}.part"
    obstacle.mkdir()
    with pytest.raises(IsADirectoryError):
        uploads.begin(WHOLE)
    obstacle.rmdir()
    upload = uploads.begin(WHOLE)
    upload.write(DATA)
    assert upload.finish().name == NAME
    upload.close()


class SlowUploads(Uploads):
    """Takes an upload on only once it is let."""

    def __init__(self, store: ContentStore, folder: Path) -> None:
        super().__init__(store, folder)
        self.asked, self.let, self.begun = threading.Event(), threading.Event(), threading.Event()

    def begin(self, header: UploadHeader) -> Upload:
        self.asked.set()
        assert self.let.wait(CALL_TIMEOUT_S)
        upload = super().begin(header)
        self.begun.set()
        return upload


def test_a_caller_that_leaves_while_the_upload_begins_sets_no_room_aside(
    tmp_path: Path, database: Database, store: ContentStore
) -> None:
    uploads = SlowUploads(store, tmp_path / "uploads")
    service = MediaService(store, SoundOpener(store), uploads, None)

    async def header() -> AsyncIterator[pb.UploadMediaRequest]:
        for part in parts(DATA, stop=0):
            yield part

    async def leave() -> None:
        context: Any = None
        call = asyncio.ensure_future(service.UploadMedia(header(), context))
        await asyncio.to_thread(uploads.asked.wait, CALL_TIMEOUT_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        uploads.let.set()
        assert await asyncio.to_thread(uploads.begun.wait, CALL_TIMEOUT_S)
        await asyncio.to_thread(until_there_is_room, store)

    asyncio.run(leave())
    service.close()


def until_there_is_room(store: ContentStore) -> None:
    """Fails when the whole store does not become free."""
    deadline_s = time.monotonic() + CALL_TIMEOUT_S
    while True:
        try:
            return store.reserve(store.limit_bytes)
        except OutputError:
            assert time.monotonic() < deadline_s, "room stays set aside"
            time.sleep(0.02)


class SlowOpener(SoundOpener):
    """Opens a sound only once it is let, says when it was closed, and lets no collector close it."""

    def __init__(self, store: ContentStore) -> None:
        super().__init__(store)
        self.asked, self.let, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.held: list[contextlib._GeneratorContextManager[AudioSource]] = []

    def open(
        self, row: MediaRow, references: Sequence[MediaReference]
    ) -> contextlib._GeneratorContextManager[AudioSource]:
        self.held.append(self._slowly(row, references))
        return self.held[-1]

    @contextlib.contextmanager
    def _slowly(self, row: MediaRow, references: Sequence[MediaReference]) -> Iterator[AudioSource]:
        self.asked.set()
        assert self.let.wait(CALL_TIMEOUT_S)
        try:
            with super().open(row, references) as sound:
                yield sound
        finally:
            self.closed.set()


def test_a_caller_that_leaves_while_its_sound_is_opened_leaves_no_open_file(
    tmp_path: Path, database: Database, roomy: ContentStore, uploads: Uploads
) -> None:
    upload = uploads.begin(WHOLE)
    upload.write(DATA)
    upload.finish()
    opener = SlowOpener(roomy)
    service = MediaService(roomy, opener, uploads, None)

    async def leave() -> None:
        context: Any = None
        chunks = service.DownloadMedia(pb.DownloadMediaRequest(name=NAME), context)
        call = asyncio.ensure_future(anext(chunks))
        assert await asyncio.to_thread(opener.asked.wait, CALL_TIMEOUT_S)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        opener.let.set()
        assert await asyncio.to_thread(opener.closed.wait, CALL_TIMEOUT_S)

    asyncio.run(leave())
    service.close()


@pytest.fixture
def far_server(tmp_path: Path) -> Iterator[Caller]:
    """It reads none of its callers' files."""
    with server_in_thread(ServerConfig(tmp_path / "state", devices=("cpu",))) as caller:
        yield caller


def token(caller: Caller) -> str:
    return dict(caller.metadata)["authorization"].removeprefix("Bearer ")


def test_a_client_that_is_overtaken_at_its_last_byte_has_the_sound(far_server: Caller, noise: Path) -> None:
    samples = samples_of(noise).tobytes()
    name = name_of(samples)

    def overtake(done: int, total: int) -> None:
        if done < total:
            return
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while far_server.call(far_server.media.GetUpload, pb.GetUploadRequest(name=name)).committed_size < len(samples):
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        assert far_server.call(far_server.media.UploadMedia, parts(samples, len(samples))).name == name

    with connect(far_server.address, token=token(far_server)) as client:
        assert client.ensure_media(MediaSource(str(noise)), SampleRange(0, len(samples) // 8), overtake).name == name
    assert far_server.download(name) == samples


def test_a_file_that_changes_while_it_is_sent_is_named_and_not_sent_for_ever(
    far_server: Caller, tmp_path: Path
) -> None:
    path = write_noise(tmp_path / "long.wav", 5 * RATE)

    def change(done: int, total: int) -> None:
        with path.open("r+b") as file:
            file.seek(-4, 2)
            file.write(b"\x01\x02\x03\x04")

    with connect(far_server.address, token=token(far_server)) as client, pytest.raises(MediaError) as refused:
        client.ensure_media(MediaSource(str(path)), SampleRange(0, 5 * RATE), change)
    assert refused.value.code is Code.MEDIA_CHANGED
