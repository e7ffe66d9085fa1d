"""Sound in and out: by path, by upload, by name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import RATE, Caller, name_of, parts, samples_of, server_in_thread, touch_later, write_noise
from stemline.v1 import media_pb2 as pb
from stemline_server.config import ServerConfig


def test_a_registered_range_is_named_by_its_samples(server: Caller, noise: Path) -> None:
    media = server.register(noise, 1000, 30_001)
    samples = samples_of(noise)[1000:30_001]
    assert media.name == name_of(samples.tobytes())
    assert (media.sample_rate, media.channels, media.length_samples) == (RATE, 2, 29_001)
    assert server.download(media.name) == samples.tobytes()
    assert server.download(media.name, 5, 6) == samples[5:6].tobytes()
    assert media.local_path == ""


def test_channels_and_fold_down_are_other_media(server: Caller, noise: Path) -> None:
    samples = samples_of(noise)
    right = server.register(noise, 0, 100, channels=[1])
    assert server.download(right.name) == samples[:100, 1:].tobytes()
    mono = server.register(noise, 0, 100, mono=True)
    assert mono.channels == 1
    assert mono.name != right.name


def test_registering_again_does_not_read_the_file_again(
    server: Caller, noise: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = server.register(noise, 0, LENGTH_SAMPLES)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened again")

    monkeypatch.setattr("stemline_server.store.sources.open_audio", refuse)
    assert server.register(noise, 0, LENGTH_SAMPLES) == first


def test_a_file_that_was_changed_is_noticed_at_use(server: Caller, noise: Path) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES)
    write_noise(noise, LENGTH_SAMPLES, seed=1)
    touch_later(noise)
    job = server.create(media.name)
    failed = server.until(job.name, 4)
    assert failed.error.reason == "MEDIA_CHANGED"
    code, _ = server.refused(server.media.DownloadMedia, pb.DownloadMediaRequest(name=media.name))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert server.register(noise, 0, LENGTH_SAMPLES).name != media.name


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("relative.wav", grpc.StatusCode.INVALID_ARGUMENT),
        ("/nowhere/at/all.wav", grpc.StatusCode.NOT_FOUND),
        ("/tmp/\0x.wav", grpc.StatusCode.INVALID_ARGUMENT),
        ("/", grpc.StatusCode.FAILED_PRECONDITION),
        ("/dev/zero", grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_paths_that_are_not_media_are_refused_with_a_message(server: Caller, path: str, code: grpc.StatusCode) -> None:
    refused, message = server.refused(server.media.RegisterPath, pb.RegisterPathRequest(path=path, end_sample=10))
    assert refused is code
    assert message.endswith(".")


@pytest.mark.parametrize(
    ("start", "end"), [(0, 0), (10, 10), (-1, 10), (0, LENGTH_SAMPLES + 1), (1 << 60, (1 << 60) + 1)]
)
def test_ranges_outside_the_file_are_refused(server: Caller, noise: Path, start: int, end: int) -> None:
    request = pb.RegisterPathRequest(path=str(noise), start_sample=start, end_sample=end)
    code, _ = server.refused(server.media.RegisterPath, request)
    assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE)


def test_text_named_wav_is_refused(server: Caller, tmp_path: Path) -> None:
    path = tmp_path / "notes.wav"
    path.write_text("buy milk", encoding="utf-8")
    code, message = server.refused(server.media.RegisterPath, pb.RegisterPathRequest(path=str(path), end_sample=10))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert "notes.wav" in message


@pytest.mark.parametrize("rate", [1, 3_999, 768_001])
def test_rates_that_no_engine_can_take_are_refused_before_any_work(server: Caller, tmp_path: Path, rate: int) -> None:
    path = write_noise(tmp_path / "odd.wav", 9, rate=rate)
    code, message = server.refused(server.media.RegisterPath, pb.RegisterPathRequest(path=str(path), end_sample=9))
    assert (code, f"{rate} Hz" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)
    header = pb.UploadHeader(name=name_of(b""), sample_rate=rate, channels=1, length_samples=9)
    code, message = server.refused(server.media.UploadMedia, iter([pb.UploadMediaRequest(header=header)]))
    assert (code, f"{rate} Hz" in message) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_upload_goes_on_where_it_broke(server: Caller, noise: Path) -> None:
    samples = samples_of(noise).tobytes()
    name = name_of(samples)
    code, _ = server.refused(server.media.UploadMedia, parts(samples, stop=150_000))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    upload = server.call(server.media.GetUpload, pb.GetUploadRequest(name=name))
    assert upload.committed_size == 150_000
    code, message = server.refused(server.media.UploadMedia, parts(samples, 100_000))
    assert (code, "150000" in message) == (grpc.StatusCode.FAILED_PRECONDITION, True)
    media = server.call(server.media.UploadMedia, parts(samples, 150_000))
    assert media.name == name
    assert Path(media.local_path).read_bytes() == samples
    assert server.call(server.media.GetUpload, pb.GetUploadRequest(name=name)).committed_size == len(samples)


def test_an_upload_that_is_another_sound_leaves_nothing(server: Caller, noise: Path, tmp_path: Path) -> None:
    samples = samples_of(noise).tobytes()
    wrong = name_of(samples[8:])
    code, _ = server.refused(server.media.UploadMedia, parts(samples, name=wrong))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert server.refused(server.media.GetMedia, pb.GetMediaRequest(name=wrong))[0] is grpc.StatusCode.NOT_FOUND
    assert not list((tmp_path / "state").rglob("*.part"))
    assert not list((tmp_path / "state").rglob("*.f32"))


def test_more_bytes_than_announced_are_refused(server: Caller, noise: Path) -> None:
    samples = samples_of(noise).tobytes()

    def too_many() -> Iterator[pb.UploadMediaRequest]:
        yield from parts(samples)
        yield pb.UploadMediaRequest(data=b"more")

    assert server.refused(server.media.UploadMedia, too_many())[0] is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "name", ["", "media/", "media/../../etc/passwd", "media/" + "A" * 64, "media/" + "a" * 64 + "\n"]
)
def test_names_cannot_become_paths(server: Caller, name: str) -> None:
    for method, request in (
        (server.media.GetMedia, pb.GetMediaRequest(name=name)),
        (server.media.GetUpload, pb.GetUploadRequest(name=name)),
        (server.media.DownloadMedia, pb.DownloadMediaRequest(name=name)),
        (server.media.DeleteMedia, pb.DeleteMediaRequest(name=name)),
        (server.media.UploadMedia, parts(bytes(80), name=name or "x")),
    ):
        assert server.refused(method, request)[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_media_whose_file_is_gone_must_be_sent_again(server: Caller, noise: Path) -> None:
    samples = samples_of(noise).tobytes()
    media = server.register(noise, 0, LENGTH_SAMPLES)
    noise.rename(noise.with_name("moved.wav"))
    assert server.refused(server.media.GetMedia, pb.GetMediaRequest(name=media.name))[0] is grpc.StatusCode.NOT_FOUND
    assert server.call(server.media.UploadMedia, parts(samples)).name == media.name
    assert server.call(server.media.GetMedia, pb.GetMediaRequest(name=media.name)).length_samples == LENGTH_SAMPLES


def test_deleted_media_are_gone_unless_a_job_needs_them(server: Caller, noise: Path) -> None:
    media = server.register(noise, 0, LENGTH_SAMPLES)
    job = server.create(media.name, "sleep:30")
    delete = pb.DeleteMediaRequest(name=media.name)
    assert server.refused(server.media.DeleteMedia, delete)[0] is grpc.StatusCode.INVALID_ARGUMENT
    server.cancel(job.name)
    server.until(job.name, 6)
    server.call(server.media.DeleteMedia, delete)
    assert server.refused(server.media.GetMedia, pb.GetMediaRequest(name=media.name))[0] is grpc.StatusCode.NOT_FOUND


def test_only_files_under_a_media_root_are_read_links_resolved(tmp_path: Path) -> None:
    inside, outside = tmp_path / "media", tmp_path / "secret"
    for folder in (inside, outside):
        folder.mkdir()
        write_noise(folder / "noise.wav", 100)
    (inside / "link.wav").symlink_to(outside / "noise.wav")
    with server_in_thread(ServerConfig(tmp_path / "state", media_roots=(inside,), devices=("cpu",))) as server:
        assert server.register(inside / "noise.wav", 0, 100).length_samples == 100
        for path in (outside / "noise.wav", inside / "link.wav", inside / ".." / "secret" / "noise.wav"):
            request = pb.RegisterPathRequest(path=str(path), end_sample=100)
            assert server.refused(server.media.RegisterPath, request)[0] is grpc.StatusCode.PERMISSION_DENIED


def test_a_server_without_media_roots_shares_no_disk(tmp_path: Path, noise: Path) -> None:
    with server_in_thread(ServerConfig(tmp_path / "state", devices=("cpu",))) as server:
        request = pb.RegisterPathRequest(path=str(noise), end_sample=100)
        assert server.refused(server.media.RegisterPath, request)[0] is grpc.StatusCode.PERMISSION_DENIED
        assert not server.info().shares_disk
        media = server.call(server.media.UploadMedia, parts(samples_of(noise).tobytes()))
        assert media.local_path == ""


def test_the_store_keeps_its_limit_and_what_jobs_need(tmp_path: Path) -> None:
    size = 8 * LENGTH_SAMPLES
    config = ServerConfig(
        tmp_path / "state", private=True, media_roots=None, devices=("cpu",), store_limit_bytes=3 * size + 100
    )
    with server_in_thread(config) as server:
        sounds = [samples_of(write_noise(tmp_path / "x.wav", LENGTH_SAMPLES, seed=seed)).tobytes() for seed in range(3)]
        names = [server.call(server.media.UploadMedia, parts(sound)).name for sound in sounds[:2]]
        needed = server.create(names[0], "sleep:60")
        while server.get(needed.name).progress.stage != "separating":  # from then on it has room set aside for its stem
            time.sleep(0.02)
        server.call(server.media.UploadMedia, parts(sounds[2]))
        code, _ = server.refused(server.media.GetMedia, pb.GetMediaRequest(name=names[1]))
        assert code is grpc.StatusCode.NOT_FOUND
        assert server.call(server.media.GetMedia, pb.GetMediaRequest(name=names[0])).name == names[0]
        too_much = parts(bytes(3 * size + 800))
        assert server.refused(server.media.UploadMedia, too_much)[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert server.info().store_bytes <= config.store_limit_bytes
        server.cancel(needed.name)


def test_a_full_disk_is_named(tmp_path: Path, noise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with server_in_thread(ServerConfig(tmp_path / "state", private=True, media_roots=None, devices=("cpu",))) as server:
        media = server.register(noise, 0, LENGTH_SAMPLES)
        usage = os.statvfs(tmp_path)
        monkeypatch.setattr(
            "stemline_server.store.content.shutil.disk_usage", lambda _: type("Usage", (), {"free": usage.f_bsize})()
        )
        failed = server.until(server.create(media.name).name, 4)
        assert failed.error.reason == "DISK_FULL"
        assert str(tmp_path / "state" / "store") in failed.error.message
        assert not list((tmp_path / "state" / "store").rglob("*.f32"))
