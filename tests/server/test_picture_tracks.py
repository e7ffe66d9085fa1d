"""Picture tracks on a real server: what a client sends is what the engine reads, and nothing else gets that far."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import grpc
import numpy as np
import pytest

import stemline
from server.harness import write_noise
from stemline.client.values import JobRequest
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, MediaError, StemlineError, UsageError
from stemline.media.pictures.picture_track import Picture, PictureTrack, PictureTrackHasher, PictureTrackWriter
from stemline.prompts import SamplePrompt
from stemline.v1 import media_pb2 as pb
from stemline.v1.models_pb2 import GetServerInfoRequest
from stemline_server.engines.base import EnginePrompt, PictureSource, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.testing import FunctionEngine, LocalServer, serve_engines

LENGTH = 9_000
SIZE = 6


def write_track(path: Path, *, seed: int = 0, entries: int = 4) -> Path:
    """Pictures at 0, 1/25, 2/25 ...; the first two are equal."""
    with PictureTrackWriter(path, size=SIZE, ticks_per_second=25) as writer:
        for tick in range(entries):
            writer.add(tick, picture(seed, max(0, tick - 1)))
    return path


def picture(seed: int, number: int) -> Picture:
    return np.random.default_rng([seed, number]).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


class Seen:
    """A function engine's function that writes down the pictures of its prompts."""

    def __init__(self) -> None:
        self.tracks: list[tuple[list[Fraction], list[Picture]]] = []

    def __call__(self, mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
        assert prompt.pictures is not None
        copy: PictureSource = pickle.loads(pickle.dumps(prompt.pictures))  # noqa: S301 - as to another process
        self.tracks.append((list(copy.times), [copy.read(int(number)) for number in copy.picture_of]))
        return mix


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def local(tmp_path: Path, seen: Seen) -> Iterator[LocalServer]:
    engine = FunctionEngine(seen, pictures=True)
    with serve_engines(engine, NoopEngine(), state=tmp_path / "state") as server:
        yield server


@pytest.fixture
def client(local: LocalServer) -> Iterator[stemline.Client]:
    with stemline.connect(local.address, token=local.token) as opened:
        yield opened


@pytest.fixture
def media(client: stemline.Client, tmp_path: Path) -> str:
    clip = write_noise(tmp_path / "clip.wav", LENGTH)
    return client.ensure_media(MediaSource(str(clip)), SampleRange(0, LENGTH)).name


def run(client: stemline.Client, media: str, mask: str, **more: str) -> stemline.client.Job:
    (job,) = client.create_jobs([JobRequest(media=media, prompt=SamplePrompt("", (), (), mask), **more)])  # type: ignore[arg-type]
    *_, done = client.watch([job.name])
    return done


def test_the_engine_reads_the_pictures_and_times_that_the_client_sent(
    client: stemline.Client, media: str, seen: Seen, tmp_path: Path
) -> None:
    track = write_track(tmp_path / "dog.pictures")
    assert run(client, media, client.ensure_pictures(track).name).error is None
    ((times, pictures),) = seen.tracks
    assert times == [Fraction(tick, 25) for tick in range(4)]
    assert all(np.array_equal(pictures[tick], picture(0, max(0, tick - 1))) for tick in range(4))


def test_other_pictures_are_another_job_and_the_same_are_not_computed_again(
    client: stemline.Client, media: str, seen: Seen, tmp_path: Path
) -> None:
    first = client.ensure_pictures(write_track(tmp_path / "a")).name
    other = client.ensure_pictures(write_track(tmp_path / "b", seed=1)).name
    again = client.ensure_pictures(write_track(tmp_path / "c")).name
    assert first == again != other
    keys = [run(client, media, mask).key for mask in (first, other, again)]
    assert keys[0] == keys[2] != keys[1]
    assert len(seen.tracks) == 2


def test_equal_pictures_are_stored_once(tmp_path: Path) -> None:
    track = PictureTrack(write_track(tmp_path / "track"))
    assert (track.pictures, track.picture_of.tolist()) == (3, [0, 0, 1, 2])


def test_the_nearest_entry_is_taken_and_the_earlier_of_two(tmp_path: Path) -> None:
    track = PictureTrack(write_track(tmp_path / "track"))
    times = [Fraction(-1), Fraction(1, 50), Fraction(3, 100), Fraction(2, 25), Fraction(9)]
    assert [track.entry_at(time) for time in times] == [0, 0, 1, 2, 3]


def test_a_model_without_pictures_refuses_them_in_one_sentence(
    client: stemline.Client, media: str, tmp_path: Path
) -> None:
    mask = client.ensure_pictures(write_track(tmp_path / "dog.pictures")).name
    with pytest.raises(UsageError, match="does not take masks") as refused:
        run(client, media, mask, model="noop")
    assert refused.value.code is Code.PROMPT_UNSUPPORTED


def test_a_job_on_pictures_and_a_mask_of_sound_are_refused(client: stemline.Client, media: str, tmp_path: Path) -> None:
    mask = client.ensure_pictures(write_track(tmp_path / "dog.pictures")).name
    for sound, pictures in ((mask, mask), (media, media)):
        with pytest.raises(StemlineError, match=r"is sound, not pictures|is a picture track"):
            run(client, sound, pictures)
    with pytest.raises(MediaError) as unknown:
        run(client, media, "media/" + "0" * 64)
    assert unknown.value.code is Code.MEDIA_UNKNOWN


def test_an_upload_that_broke_goes_on_where_it_stopped(
    client: stemline.Client, local: LocalServer, tmp_path: Path, media: str
) -> None:
    track = write_track(tmp_path / "dog.pictures", entries=40)
    data = track.read_bytes()
    name = name_of(data)
    with pytest.raises(grpc.RpcError):
        upload(client, [header(name, len(data)), pb.UploadMediaRequest(data=data[:1000])])
    assert client._link.call(lambda stubs: stubs.media.GetUpload, pb.GetUploadRequest(name=name)).committed_size == 1000
    Path(client._link.call(lambda stubs: stubs.models.GetServerInfo, GetServerInfoRequest()).nonce_path).unlink()
    sent: list[int] = []
    assert client.ensure_pictures(track, lambda done, total: sent.append(done)).name == name
    assert sent == [len(data)]
    assert run(client, media, name).error is None


def _first(method: Callable[..., Iterator[object]]) -> Callable[..., object]:
    return lambda *arguments, **options: next(method(*arguments, **options))


def name_of(data: bytes) -> str:
    hasher = PictureTrackHasher()
    hasher.update_pcm(data)
    return hasher.name()


def header(name: str, size_bytes: int) -> pb.UploadMediaRequest:
    return pb.UploadMediaRequest(header=pb.UploadHeader(name=name, pictures_bytes=size_bytes))


def upload(client: stemline.Client, parts: list[pb.UploadMediaRequest]) -> pb.Media:
    stubs = client._link.stubs
    return stubs.media.UploadMedia(iter(parts), metadata=stubs.endpoint.metadata, timeout=60)


def _short(data: bytes) -> bytes:
    return data[: len(data) // 8 * 4]


def _huge_count(data: bytes) -> bytes:
    return data[:16] + b"\xff\xff\xff\x7f" + data[20:]


def _falling_times(data: bytes) -> bytes:
    ends = len(data) - 4 * 12
    return data[:ends] + data[ends + 8 : ends + 16] + data[ends : ends + 8] + data[ends + 16 :]


def _missing_picture(data: bytes) -> bytes:
    return data[:-4] + b"\x09\x00\x00\x00"


@pytest.mark.parametrize("damage", [_short, _huge_count, _falling_times, _missing_picture, lambda data: bytes(64)])
def test_bytes_that_are_no_picture_track_are_refused_and_dropped(
    client: stemline.Client, local: LocalServer, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = write_track(tmp_path / "dog.pictures")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MediaError, match="not a picture track"):
        client.ensure_pictures(path)
    data = path.read_bytes()
    name = name_of(data)
    with pytest.raises(grpc.RpcError) as refused:
        upload(client, [header(name, len(data)), pb.UploadMediaRequest(data=data)])
    assert refused.value.details() == "The file is not a picture track."
    assert client._link.call(lambda stubs: stubs.media.GetUpload, pb.GetUploadRequest(name=name)).committed_size == 0


@pytest.mark.parametrize("size_bytes", [-4, 7])
def test_an_impossible_size_is_refused(client: stemline.Client, size_bytes: int) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        upload(client, [header("media/" + "0" * 64, size_bytes)])
    assert "impossible" in (refused.value.details() or "")


def test_pictures_beyond_the_quota_are_refused_before_they_are_sent(client: stemline.Client) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        upload(client, [header("media/" + "0" * 64, 1 << 50)])
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_pictures_are_not_played_as_sound(client: stemline.Client, tmp_path: Path) -> None:
    name = client.ensure_pictures(write_track(tmp_path / "dog.pictures")).name
    with pytest.raises(MediaError) as refused, client.open_media(name):
        pass
    assert refused.value.code is Code.MEDIA_NO_AUDIO
    with pytest.raises(MediaError, match="holds no sound"):
        client._link.call(lambda stubs: _first(stubs.media.DownloadMedia), pb.DownloadMediaRequest(name=name))  # type: ignore[arg-type, return-value]


def test_a_damaged_track_in_the_store_is_noticed_and_sent_again(
    client: stemline.Client, media: str, tmp_path: Path
) -> None:
    track = write_track(tmp_path / "dog.pictures")
    name = client.ensure_pictures(track).name
    (stored,) = (tmp_path / "state").rglob(f"{name.removeprefix('media/')}.f32")
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes()[:-8] + b"damaged!")
    assert client.ensure_pictures(track).name == name
    assert run(client, media, name).error is None
    assert stored.read_bytes() == track.read_bytes()


def test_the_list_of_models_says_which_take_pictures_and_how_many(client: stemline.Client) -> None:
    models = {model.id: model for model in client.models()}
    assert (models["function"].takes_pictures, models["function"].pictures_per_second) == (True, 4)
    assert (models["noop"].takes_pictures, models["noop"].pictures_per_second) == (False, 0)


def test_a_finished_job_lets_its_pictures_go(client: stemline.Client, media: str, tmp_path: Path) -> None:
    mask = client.ensure_pictures(write_track(tmp_path / "dog.pictures")).name
    run(client, media, mask)
    client.delete_media(mask)
    with pytest.raises(MediaError):
        run(client, media, mask, seed=1)  # type: ignore[arg-type]
