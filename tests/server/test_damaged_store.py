"""Files of the store that the disk cut short or changed: never handed out, computed or sent again."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import (
    CALL_TIMEOUT_S,
    Caller,
    ServerProcess,
    job_request,
    name_of,
    parts,
    samples_of,
    server_in_thread,
)
from stemline.v1 import media_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.store.content import ContentStore
from stemline_server.store.media_table import MediaRow

NOT_FOUND = grpc.StatusCode.NOT_FOUND
Damage = Callable[[Path], None]


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 8)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def change_one_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize("damage", [cut_short, empty, change_one_bit, remove])


def file_of(state: Path, name: str) -> Path:
    digest = name.removeprefix("media/")
    return state / "store" / digest[:2] / f"{digest}.f32"


def half(noise: Path) -> bytes:
    return (samples_of(noise) / 2).tobytes()


def get(name: str) -> media_pb2.GetMediaRequest:
    return media_pb2.GetMediaRequest(name=name)


@DAMAGES
@pytest.mark.parametrize("request_id", ["first", "second"])
def test_a_damaged_stem_is_computed_again(
    server: Caller, noise: Path, tmp_path: Path, damage: Damage, request_id: str
) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES).name
    stem = server.done(server.create(media, request_id="first").name).stem.media
    damage(file_of(tmp_path / "state", stem))
    again = server.create(media, request_id=request_id)
    assert again.state in (pb.STATE_QUEUED, pb.STATE_RUNNING)
    assert again.attempt == (2 if request_id == "first" else 1)
    assert server.done(again.name).stem.media == stem
    assert server.download(stem) == half(noise)


@DAMAGES
def test_a_stem_damaged_while_no_server_ran_is_computed_again(tmp_path: Path, noise: Path, damage: Damage) -> None:
    process = ServerProcess(tmp_path / "state", "--private")
    try:
        media = process.caller.register(noise, 0, LENGTH_SAMPLES).name
        stem = process.caller.done(process.caller.create(media, request_id="kept").name).stem.media
        process.terminate()
        damage(file_of(tmp_path / "state", stem))
        process.start()
        again = process.caller.create(media, request_id="kept")
        assert process.caller.done(again.name).attempt == 2
        assert process.caller.download(stem) == half(noise)
    finally:
        process.close()


@DAMAGES
def test_a_damaged_stem_is_never_handed_out(server: Caller, noise: Path, tmp_path: Path, damage: Damage) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES).name
    stem = server.done(server.create(media).name).stem.media
    damage(file_of(tmp_path / "state", stem))
    chained = server.create(media, "chained", subtract=[stem])
    assert server.until(chained.name, pb.STATE_FAILED).error.reason == "MEDIA_UNKNOWN"
    download = media_pb2.DownloadMediaRequest(name=stem)
    assert server.refused(server.media.DownloadMedia, download)[0] is NOT_FOUND
    assert server.refused(server.media.GetMedia, get(stem))[0] is NOT_FOUND


@DAMAGES
def test_damaged_uploads_are_asked_for_again(tmp_path: Path, noise: Path, damage: Damage) -> None:
    samples = samples_of(noise).tobytes()
    with server_in_thread(ServerConfig(tmp_path / "state", devices=("cpu",))) as server:
        name = server.call(server.media.UploadMedia, parts(samples)).name
        damage(file_of(tmp_path / "state", name))
        upload = server.call(server.media.GetUpload, media_pb2.GetUploadRequest(name=name))
        assert upload.committed_size == 0
        assert server.refused(server.media.GetMedia, get(name))[0] is NOT_FOUND
        assert server.call(server.media.UploadMedia, parts(samples)).name == name_of(samples)
        assert server.download(name) == samples


def test_a_file_is_read_for_verification_once_per_process(
    tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    hash_of = ContentStore._hash_of

    def counting(store: ContentStore, row: MediaRow) -> str:
        read.append(row.name)
        return hash_of(store, row)

    monkeypatch.setattr(ContentStore, "_hash_of", counting)
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with server_in_thread(config) as server:
        media = server.register(noise, 0, LENGTH_SAMPLES).name
        stem = server.done(server.create(media).name).stem.media
        server.download(stem)
        assert read == []  # it was hashed while it was written
    with server_in_thread(config) as server:
        for _ in range(3):
            assert server.create(media).state == pb.STATE_SUCCEEDED
            server.call(server.media.GetMedia, get(stem))
            server.download(stem)
        assert read == [stem]


def test_verifying_that_takes_long_asks_the_client_to_come_again(
    tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with server_in_thread(config) as server:
        media = server.register(noise, 0, LENGTH_SAMPLES).name
        job = server.done(server.create(media, request_id="kept").name)
    with server_in_thread(config) as server:
        with monkeypatch.context() as patched:
            patched.setattr("stemline_server.jobs.board._VERIFY_TIMEOUT_S", 0.0)
            with pytest.raises(grpc.RpcError) as refused:
                server.create(media, request_id="kept")
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert server.create(media, request_id="kept") == job


def test_a_client_that_leaves_while_stems_are_verified_is_no_error_in_the_log(
    tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))
    with server_in_thread(config) as server:
        media = server.register(noise, 0, LENGTH_SAMPLES).name
        job = server.done(server.create(media, request_id="kept").name)
    verifying, go_on = threading.Event(), threading.Event()
    verify = ContentStore.verify

    def slowly(self: ContentStore, row: MediaRow) -> bool:
        verifying.set()
        assert go_on.wait(CALL_TIMEOUT_S)
        return verify(self, row)

    with server_in_thread(config) as server:
        monkeypatch.setattr(ContentStore, "verify", slowly)
        call = server.jobs.CreateJob.future(job_request(media, "speech", "kept"), metadata=server.metadata)
        assert verifying.wait(CALL_TIMEOUT_S)
        call.cancel()
        time.sleep(0.3)
        go_on.set()
        assert server.create(media, request_id="kept") == job
    gc.collect()
    assert "never retrieved" not in caplog.text
