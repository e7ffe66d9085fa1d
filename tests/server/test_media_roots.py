"""Files under media roots: the file that was checked is the file that is read."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import Caller, name_of, samples_of, server_in_thread, touch_later, write_noise
from stemline.clips import SampleRange
from stemline.errors import InputError, MediaError
from stemline.v1 import media_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.engines.base import EnginePrompt, EngineRequest
from stemline_server.pipeline.resample import ResampledSource, Resampler
from stemline_server.pipeline.views import ChannelView, FoldDown
from stemline_server.store.media_roots import MediaRoots
from stemline_server.store.media_table import MediaShape
from stemline_server.store.sources import Remainder, StoredSound

linux = pytest.mark.skipif(sys.platform != "linux", reason="open descriptors are files on Linux only")


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return write_noise(tmp_path / "media" / "take.wav", LENGTH_SAMPLES)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    return write_noise(tmp_path / "secret" / "take.wav", LENGTH_SAMPLES, seed=1)


@pytest.fixture
def roots(inside: Path) -> Iterator[MediaRoots]:
    made = MediaRoots([inside.parent])
    yield made
    made.close()


@linux
def test_a_link_exchanged_after_the_check_leads_nowhere_else(roots: MediaRoots, inside: Path, outside: Path) -> None:
    wanted = inside.read_bytes()
    with roots.opened(str(inside)) as path:
        inside.unlink()
        inside.symlink_to(outside)
        assert Path(path).read_bytes() == wanted
        assert Path(path).name == inside.name
    with pytest.raises(InputError), roots.opened(str(inside)):
        pass


@linux
def test_a_link_that_is_exchanged_all_the_time_gives_no_other_file(tmp_path: Path, inside: Path, outside: Path) -> None:
    link, allowed = inside.with_name("link.wav"), name_of(samples_of(inside).tobytes())
    over = threading.Event()

    def exchange() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            draft = link.with_name(f"draft{turn}")
            draft.symlink_to(outside if turn % 2 else inside)
            draft.replace(link)

    link.symlink_to(inside)
    config = ServerConfig(tmp_path / "state", media_roots=(inside.parent,), devices=("cpu",))
    thread = threading.Thread(target=exchange)
    with server_in_thread(config) as server:
        thread.start()
        try:
            for start in range(60):
                request = pb.RegisterPathRequest(path=str(link), end_sample=LENGTH_SAMPLES - start % 2)
                try:
                    name = server.call(server.media.RegisterPath, request).name
                except grpc.RpcError as error:
                    assert error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION)
                else:
                    samples = samples_of(inside)[: LENGTH_SAMPLES - start % 2]
                    assert name == (allowed if start % 2 == 0 else name_of(samples.tobytes()))
        finally:
            over.set()
            thread.join()


def test_roots_are_checked_again_when_a_job_reads_the_file(tmp_path: Path, inside: Path) -> None:
    config = ServerConfig(tmp_path / "state", media_roots=(inside.parent,), devices=("cpu",))
    with server_in_thread(config) as server:
        media = server.register(inside, 0, LENGTH_SAMPLES).name
    narrower = tmp_path / "other"
    narrower.mkdir()
    with server_in_thread(ServerConfig(tmp_path / "state", media_roots=(narrower,), devices=("cpu",))) as server:
        failed = server.until(server.create(media).name, 4)
        assert failed.error.reason == "PATH_NOT_ALLOWED"
        download = pb.DownloadMediaRequest(name=media)
        assert server.refused(server.media.DownloadMedia, download)[0] is grpc.StatusCode.PERMISSION_DENIED


@linux
def test_a_file_in_use_keeps_its_place_until_it_changes(roots: MediaRoots, inside: Path) -> None:
    with roots.opened(str(inside)) as first:
        pass
    with roots.opened(str(inside)) as again, roots.opened(str(inside)) as beside:
        assert first == again == beside
    touch_later(inside)
    with roots.opened(str(inside)) as changed:
        assert changed != first


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@linux
def test_open_files_do_not_add_up(roots: MediaRoots, inside: Path) -> None:
    before = descriptors()
    for number in range(200):
        copy = write_noise(inside.with_name(f"{number}.wav"), 10)
        with roots.opened(str(copy)):
            pass
    assert descriptors() <= before + 70
    roots.close()
    assert descriptors() == before


@linux
def test_errors_name_the_path_of_the_caller(tmp_path: Path, roots: MediaRoots, inside: Path) -> None:
    with pytest.raises(MediaError, match=str(inside)), roots.opened(str(inside)) as path:
        raise MediaError(f"{path!r} is bad.")
    with pytest.raises(MediaError), roots.opened(str(inside.with_name("none.wav"))):
        pass
    os.mkfifo(inside.with_name("pipe.wav"))
    with pytest.raises(MediaError), roots.opened(str(inside.with_name("pipe.wav"))):
        pass


def test_thousands_of_chosen_channels_are_refused(server: Caller, noise: Path) -> None:
    request = pb.RegisterPathRequest(path=str(noise), end_sample=LENGTH_SAMPLES, channels=[0] * 5000)
    code, message = server.refused(server.media.RegisterPath, request)
    assert (code, message) == (grpc.StatusCode.INVALID_ARGUMENT, "At most 64 channels can be chosen.")


def test_a_request_to_an_engine_can_cross_to_another_process(tmp_path: Path, noise: Path) -> None:
    samples = samples_of(noise)
    stored = tmp_path / "stored.f32"
    stored.write_bytes(samples.tobytes())
    sound = StoredSound(stored, MediaShape(48_000, 2, LENGTH_SAMPLES))
    other_rate = ResampledSource(FoldDown(ChannelView(sound, (1,))), Resampler(48_000, 44_100))
    for audio in (sound, Remainder(sound, [sound]), other_rate):
        prompt = EnginePrompt("dog", plus=(SampleRange(0, 5),), visual=np.ones((2, 3), np.float32))
        request = EngineRequest(audio, (prompt,), seed=3, scratch=tmp_path)
        copy = pickle.loads(pickle.dumps(request))  # noqa: S301 - made on this line
        np.testing.assert_array_equal(copy.audio.read(7, 900), audio.read(7, 900))
        assert copy.audio.length_samples == audio.length_samples
        assert (copy.prompts[0].plus, copy.seed, copy.scratch) == (prompt.plus, 3, tmp_path)
        close_all(copy.audio)
    sound.close()


def close_all(audio: object) -> None:
    """Close the files that a sound reads from."""
    if isinstance(audio, StoredSound):
        audio.close()
    for name in ("source", "_sound"):
        if hasattr(audio, name):
            close_all(getattr(audio, name))
    for part in getattr(audio, "_taken", ()):
        close_all(part)
