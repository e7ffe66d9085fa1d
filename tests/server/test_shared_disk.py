"""A shared disk is proved, not guessed from an address: another machine's file of the same path is never separated."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from server.conftest import LENGTH_SAMPLES
from server.harness import START_TIMEOUT_S, Caller, ServerProcess, name_of, samples_of, touch_later, write_noise
from stemline.client import Client, connect
from stemline.client.download import _open_local
from stemline.client.values import JobRequest, Media
from stemline.clips import MediaSource, SampleRange
from stemline.prompts import SamplePrompt
from stemline.shared_disk import file_facts
from stemline.v1 import media_pb2 as pb

REFUSED = grpc.StatusCode.PERMISSION_DENIED
WHOLE = SampleRange(0, LENGTH_SAMPLES)


def facts_message(path: Path) -> pb.FileFacts:
    facts = file_facts(path)
    return pb.FileFacts(
        size_bytes=facts.size_bytes,
        modified_ns=facts.modified_ns,
        inode=facts.inode,
        blocks_sha256=facts.blocks_sha256,
    )


def nonce(server: Caller) -> bytes:
    return Path(server.info().nonce_path).read_bytes()


def register(server: Caller, path: Path, **proof: object) -> pb.RegisterPathRequest:
    return pb.RegisterPathRequest(path=str(path), end_sample=LENGTH_SAMPLES, **proof)  # type: ignore[arg-type]


def client_of(server: Caller) -> Client:
    return connect(server.address, token=dict(server.metadata)["authorization"].removeprefix("Bearer "))


def test_a_caller_that_proves_the_disk_and_the_file_may_name_it(server: Caller, noise: Path) -> None:
    request = register(server, noise, nonce=nonce(server), facts=facts_message(noise))
    assert server.call(server.media.RegisterPath, request).name == name_of(samples_of(noise).tobytes())


def test_the_nonce_of_another_server_opens_no_file(server: Caller, noise: Path) -> None:
    request = register(server, noise, nonce=b"0" * 64, facts=facts_message(noise))
    assert server.refused(server.media.RegisterPath, request)[0] is REFUSED
    stem = server.done(server.create(server.register(noise, 0, LENGTH_SAMPLES).name).name).stem.media
    get = server.media.GetMedia
    assert server.call(get, pb.GetMediaRequest(name=stem, nonce=nonce(server))).local_path
    assert not server.call(get, pb.GetMediaRequest(name=stem, nonce=b"0" * 64)).local_path


@pytest.mark.parametrize("change", ["content", "time", "copy", "length", "gone"])
def test_another_file_of_the_same_path_is_refused(server: Caller, noise: Path, change: str) -> None:
    seen = facts_message(noise)
    times = (noise.stat().st_atime_ns, noise.stat().st_mtime_ns)
    if change == "content":
        with noise.open("r+b") as file:
            file.seek(-100, os.SEEK_END)
            file.write(b"another sound")
        os.utime(noise, ns=times)
    elif change == "time":
        touch_later(noise)
    elif change == "copy":
        noise.rename(noise.with_name("first.wav"))
        shutil.copy2(noise.with_name("first.wav"), noise)
    elif change == "length":
        write_noise(noise, LENGTH_SAMPLES + 1)
        os.utime(noise, ns=times)
    else:
        noise.unlink()
    request = register(server, noise, nonce=nonce(server), facts=seen)
    assert server.refused(server.media.RegisterPath, request)[0] is REFUSED


@pytest.mark.parametrize("damage", ["another nonce", "no nonce"])
def test_a_client_without_proof_sends_the_sound_and_fetches_the_stem(
    server: Caller, noise: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(server.info().nonce_path)
    if damage == "another nonce":
        path.write_bytes(b"1" * 64)
    else:
        path.unlink()
    monkeypatch.setattr("stemline.client.download._open_local", refuse)
    sent: list[int] = []
    with client_of(server) as client:
        media = client.ensure_media(MediaSource(str(noise)), WHOLE, lambda done, total: sent.append(done))
        assert sent[-1] == LENGTH_SAMPLES
        check_stem(client, media.name, noise)


def test_a_stem_file_of_another_size_is_fetched_instead(tmp_path: Path) -> None:
    file = tmp_path / "stem.f32"
    file.write_bytes(bytes(80))
    assert _open_local(Media("media/0", 48_000, 2, 11, str(file))) is None
    same = _open_local(Media("media/0", 48_000, 2, 10, str(file)))
    assert same is not None
    same.close()


def refuse(*_: object) -> None:
    raise AssertionError("a file of another disk was opened")


def check_stem(client: Client, media: str, source: Path) -> None:
    """Separate the media, and compare the stem with half of the samples of `source`."""
    assert media == name_of(samples_of(source).tobytes())
    (job,) = client.create_jobs([JobRequest(media=media, prompt=SamplePrompt("speech"), model="noop")])
    *_, done = client.watch([job.name])
    assert done.stem is not None
    with client.open_media(done.stem.media) as stem:
        np.testing.assert_array_equal(stem.read(0, LENGTH_SAMPLES).T, samples_of(source) / 2)


@pytest.fixture
def mounts() -> None:
    """Skip where this user may not make mounts."""
    tried = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("needs user and mount namespaces")


@pytest.fixture(params=["its state too", "its state shared"])
def other_machine(request: pytest.FixtureRequest, tmp_path: Path, mounts: None) -> Iterator[tuple[str, str]]:
    """A server behind loopback that sees another folder at the path of the client's: its address and token."""
    ours, theirs = tmp_path / "media", tmp_path / "theirs"
    for folder, seed in ((ours, 0), (theirs, 1)):
        folder.mkdir()
        write_noise(folder / "take.wav", LENGTH_SAMPLES, seed=seed)
        os.utime(folder / "take.wav", (1e9, 1e9))
    state, token = tmp_path / "state", tmp_path / "token"
    state.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hide = f"mount -t tmpfs none {state} &&" if request.param == "its state too" else ""
    serve = f"{sys.executable} -m stemline_server --state {state} --token-file {token} --listen {address}"
    command = f"mount --bind {theirs} {ours} && {hide} exec {serve} --media-root {ours} --device cpu"
    with subprocess.Popen(["unshare", "-rm", "sh", "-c", command], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert " listens on " in process.stderr.readline()
        yield address, token.read_text(encoding="ascii")
        process.terminate()
        process.wait(START_TIMEOUT_S)


def test_a_server_behind_a_tunnel_never_separates_its_own_file_of_that_path(
    other_machine: tuple[str, str], tmp_path: Path
) -> None:
    address, token = other_machine
    take = tmp_path / "media" / "take.wav"
    with connect(address, token=token) as client:
        assert client.server_info().shares_disk
        media = client.ensure_media(MediaSource(str(take)), WHOLE)
        check_stem(client, media.name, take)


def test_a_restarted_server_has_another_nonce(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "state", "--private")
    try:
        first = nonce(server.caller)
        server.terminate()
        server.start()
        assert nonce(server.caller) != first
        assert Path(server.caller.info().nonce_path).stat().st_mode & 0o077 == 0
    finally:
        server.close()
