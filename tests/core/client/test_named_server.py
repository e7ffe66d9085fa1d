"""A server chosen by the user: it reads no local files, so sound is sent, and it may be the wrong server."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest

from core.client.sounds import LENGTH_SAMPLES, make_clip, make_request, samples_of
from stemline import paths
from stemline.client import JobState, connect, find_private
from stemline.client.link import is_compatible
from stemline.clips import MediaSource, SampleRange
from stemline.errors import Code, MediaError, NoServerError, UsageError
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.v1 import models_pb2, models_pb2_grpc

WHOLE = SampleRange(0, LENGTH_SAMPLES)


@dataclass
class Serve:
    """`python -m stemline_server` in the foreground on a port of its own."""

    state: Path
    port: int
    options: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "stemline_server", "--listen", self.address, "--state", str(self.state)]
        with (self.state.parent / "serve.out").open("ab") as output:
            self.process = subprocess.Popen([*command, *self.options], stdout=output, stderr=output)
        for _ in range(600):
            if (self.state / "endpoint.json").exists():
                return
            assert self.process.poll() is None, (self.state.parent / "serve.out").read_text()
            time.sleep(0.05)
        pytest.fail("the server did not start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        (self.state / "endpoint.json").unlink(missing_ok=True)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def serving(cache: Path) -> Iterator[Serve]:
    """Start a server whose clients find its token in `cache`, as clients of the same user do."""
    state = cache / "server-test"
    state.mkdir(parents=True)
    server = Serve(state, free_port())
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with serving(tmp_path_factory.mktemp("served")) as server:
        yield server


@pytest.fixture
def serve(served: Serve, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Start one server for all tests that do not stop it."""
    monkeypatch.setenv("STEMLINE_CACHE", str(served.state.parent))
    return served


@pytest.fixture
def own_serve() -> Iterator[Serve]:
    with serving(paths.cache_dir()) as server:
        yield server


def test_sound_is_sent_once_and_the_stem_downloaded(serve: Serve, clip: Path) -> None:
    sent: list[int] = []
    with connect(serve.address) as client:
        assert client.server_info().shares_disk is False
        media = client.ensure_media(MediaSource(str(clip)), WHOLE, lambda done, total: sent.append(done))
        assert sent[-1] == LENGTH_SAMPLES
        assert media.local_path == ""
        assert client.ensure_media(MediaSource(str(clip)), WHOLE, lambda done, total: sent.append(-1)) == media
        assert -1 not in sent
        (job,) = client.create_jobs([make_request(client, clip)])
        *_, done = client.watch([job.name])
        assert done.stem is not None
        with client.open_media(done.stem.media) as stem:
            np.testing.assert_array_equal(stem.read(0, LENGTH_SAMPLES), samples_of(clip) * np.float32(0.5))
    assert find_private() is None


def test_only_the_requested_range_and_channels_are_sent(serve: Serve, clip: Path) -> None:
    with connect(serve.address) as client:
        media = client.ensure_media(MediaSource(str(clip), channels=(1,)), SampleRange(10, 4010))
        assert (media.channels, media.length_samples) == (1, 4000)
        with client.open_media(media.name) as reader:
            np.testing.assert_array_equal(reader.read(0, 4000), samples_of(clip)[1:, 10:4010])


def test_impossible_peaks_are_refused_before_anything_is_sent(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    with open_writer(path, AudioFormat(SampleFormat.WAV32F, 48_000, 1)) as writer:
        writer.write(np.full((1, LENGTH_SAMPLES), 2000.0, np.float32))
    sent: list[int] = []
    with connect(serve.address) as client:
        with pytest.raises(MediaError) as refused:
            client.ensure_media(MediaSource(str(path)), WHOLE, lambda done, total: sent.append(done))
        assert refused.value.code is Code.MEDIA_PEAK_TOO_HIGH
        assert not sent
        media = client.ensure_media(MediaSource(str(path)), WHOLE, accept_peaks=True)
        assert media.length_samples == LENGTH_SAMPLES


def test_an_unreadable_file_is_the_same_error_with_and_without_a_shared_disk(serve: Serve, tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    with connect(serve.address) as client:
        with pytest.raises(MediaError) as unreadable:
            client.ensure_media(MediaSource(str(text)), WHOLE)
        assert unreadable.value.code is Code.MEDIA_UNREADABLE
        with pytest.raises(MediaError) as missing:
            client.ensure_media(MediaSource(str(tmp_path / "nothing.wav")), WHOLE)
        assert missing.value.code is Code.MEDIA_MISSING


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client waits nine seconds for a server; on a busy machine a start takes longer."""
    monkeypatch.setattr("stemline.client.link._LONGEST_WAIT_S", 60.0)


def test_a_short_outage_of_the_server_is_not_an_error(own_serve: Serve, patient: None, clip: Path) -> None:
    with connect(own_serve.address) as client:
        (job,) = client.create_jobs([make_request(client, clip, "sleep:0.5")])
        watch = client.watch([job.name])
        next(watch)
        own_serve.kill()
        threading.Timer(0.3, own_serve.start).start()
        *_, done = watch
    assert done.state is JobState.SUCCEEDED


def test_an_unreachable_server_is_reported(clip: Path) -> None:
    with pytest.raises(NoServerError, match="does not answer") as caught:
        connect(f"127.0.0.1:{free_port()}")
    assert caught.value.code is Code.SERVER_UNREACHABLE
    assert find_private() is None


def test_a_call_without_the_token_is_refused(serve: Serve) -> None:
    with pytest.raises(NoServerError) as caught:
        connect(serve.address, token="wrong")  # noqa: S106
    assert caught.value.code is Code.UNAUTHENTICATED


def test_a_taken_port_is_reported(serve: Serve, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stemline_server", "--listen", serve.address, "--state", str(tmp_path / "other")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert serve.address in second.stderr
    assert "Traceback" not in second.stderr


class OtherVersion(models_pb2_grpc.ModelServiceServicer):
    def GetServerInfo(self, request: object, context: object) -> models_pb2.ServerInfo:  # noqa: N802
        return models_pb2.ServerInfo(version="9.9.9")


def test_an_upload_resumes_after_the_server_was_killed(own_serve: Serve, patient: None, tmp_path: Path) -> None:
    long_clip = make_clip(tmp_path / "long.wav", 20 * LENGTH_SAMPLES)
    sent: list[int] = []

    def kill_in_the_middle(done: int, total: int) -> None:
        sent.append(done)
        if len(sent) == 8:
            while not any(part.stat().st_size for part in own_serve.state.rglob("*.part")):
                time.sleep(0.01)  # sent is not yet arrived
            own_serve.kill()
            threading.Timer(0.2, own_serve.start).start()

    with connect(own_serve.address) as client:
        media = client.ensure_media(
            MediaSource(str(long_clip)), SampleRange(0, 20 * LENGTH_SAMPLES), kill_in_the_middle
        )
        assert len(sent) > 8, "it was killed after the end"
        assert sent[-1] == 20 * LENGTH_SAMPLES
        assert sent.count(sent[0]) == 1, "it started again"
        with client.open_media(media.name) as reader:
            np.testing.assert_array_equal(reader.read(0, 20 * LENGTH_SAMPLES), samples_of(long_clip))


def test_two_clients_can_send_the_same_sound(serve: Serve, tmp_path: Path) -> None:
    source = MediaSource(str(make_clip(tmp_path / "same.wav", 20 * LENGTH_SAMPLES, seed=9)))
    with connect(serve.address) as one, connect(serve.address) as two, futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ensure_media, source, SampleRange(0, 20 * LENGTH_SAMPLES))
        second = pool.submit(two.ensure_media, source, SampleRange(0, 20 * LENGTH_SAMPLES))
        assert first.result(60) == second.result(60)


def test_tls_trusts_only_the_given_root(tmp_path: Path, clip: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    state = paths.cache_dir() / "server-tls"
    state.mkdir(parents=True)
    server = Serve(state, free_port(), ("--tls-cert", str(certificate), "--tls-key", str(key)))
    address = f"https://localhost:{server.port}"
    server.start()
    try:
        token = (state / "token").read_text()
        with connect(address, token=token, ca=certificate) as client:
            assert client.ensure_media(MediaSource(str(clip)), WHOLE).length_samples == LENGTH_SAMPLES
        with pytest.raises(NoServerError):
            connect(address, token=token)
    finally:
        server.stop()


def test_a_server_accepts_only_clients_with_a_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    state = paths.cache_dir() / "server-mtls"
    state.mkdir(parents=True)
    options = ("--tls-cert", str(certificate), "--tls-key", str(key), "--tls-client-ca", str(certificate))
    server = Serve(state, free_port(), options)
    address = f"https://localhost:{server.port}"
    server.start()
    try:
        token = (state / "token").read_text()
        for own in ((certificate, key), both):
            with connect(address, token=token, ca=certificate, certificate=own) as client:
                assert client.server_info().version
        with pytest.raises(NoServerError):
            connect(address, token=token, ca=certificate)
    finally:
        server.stop()
    with pytest.raises(UsageError, match="https"):
        connect("localhost:1", certificate=both)
    with pytest.raises(UsageError, match="cannot be read"):
        connect(address, token=token, ca=certificate, certificate=tmp_path / "none.pem")


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for localhost and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@contextmanager
def server_of_another_version() -> Iterator[str]:
    with futures.ThreadPoolExecutor(max_workers=2) as pool:
        server = grpc.server(pool)
        models_pb2_grpc.add_ModelServiceServicer_to_server(
            OtherVersion(),  # type: ignore[abstract]  # only in the stubs; a client asks nothing else before it leaves
            server,
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_a_server_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with server_of_another_version() as address:
        monkeypatch.setenv("STEMLINE_SERVER", address)
        with pytest.raises(NoServerError, match=r"Stemline 9\.9\.9") as caught:
            connect()
    assert caught.value.code is Code.SERVER_VERSION
    assert caught.value.exit_code == 3


def test_a_port_of_another_program_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(NoServerError, match="does not answer"):
            connect(f"127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("theirs", "works"),
    [("1.4.0", True), ("1.3.9", True), ("1.5.0.dev1", True), ("1.6.0", False), ("2.4.0", False), ("", False)],
)
def test_versions_one_minor_apart_work_together(theirs: str, works: bool) -> None:
    assert is_compatible(theirs, "1.4.2") is works
