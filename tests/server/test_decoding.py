"""Hostile media: what their decoder can reach, use and end, and whether sound is the same as without confinement."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import psutil
import pytest

from server.harness import RATE, ServerProcess, write_noise
from stemline.v1 import media_pb2

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confinement is built for Linux")

Start = Callable[..., ServerProcess]
SEED = int(os.environ.get("STEMLINE_SOAK_SEED", "1"))
CODECS = {
    "wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame", "m4a": "aac", "ogg": "libopus", "mkv": "pcm_s24le",
    "mov": "pcm_s16be", "aiff": "pcm_s16be", "ac3": "ac3", "mp2": "mp2", "wv": "wavpack", "caf": "alac", "ts": "aac",
    "avi": "pcm_s16le", "w64": "pcm_f32le", "au": "pcm_s16be",
}  # fmt: skip
REACH = """
import os, socket, subprocess, sys
from pathlib import Path
from stemline_server.isolation.confinement import confine, confine_to_files
media, secret, temporary = map(Path, sys.argv[1:])
confine()
print(confine_to_files([str(media)], [str(temporary)], 3 << 30))
def tried(name, action):
    try:
        action()
    except (OSError, MemoryError, subprocess.SubprocessError) as error:
        print(name, "refused", type(error).__name__)
    else:
        print(name, "done")
tried("media", (media / "take.wav").read_bytes)
tried("secret", secret.read_bytes)
tried("link", (media / "link.wav").read_bytes)
tried("list", lambda: list(secret.parent.iterdir()))
tried("write", lambda: (media / "take.wav").write_bytes(b""))
tried("make", lambda: (media / "new").touch())
tried("delete", (media / "take.wav").unlink)
tried("temporary", lambda: (temporary / "new").write_bytes(b"x"))
tried("program", lambda: subprocess.run(["/bin/true"], check=True))
tried("network", lambda: socket.socket(socket.AF_INET))
tried("memory", lambda: bytearray(4 << 30))
tried("server", lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes())
tried("signal", lambda: os.kill(os.getppid(), 0))
"""


def test_a_decoder_reaches_the_media_folders_and_nothing_else(tmp_path: Path) -> None:
    media, temporary = tmp_path / "media", tmp_path / "temporary"
    media.mkdir()
    temporary.mkdir()
    secret = tmp_path / "secret.txt"
    for path in (media / "take.wav", secret):
        path.write_bytes(b"x")
    (media / "link.wav").symlink_to(secret)
    command = [sys.executable, "-c", REACH, str(media), str(secret), str(temporary)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if output.startswith("False"):
        pytest.skip("this kernel has no Landlock")
    done = {line.split()[0] for line in output.splitlines()[1:] if line.endswith("done")}
    assert done - {"signal"} == {"media", "temporary"}, output  # signals are closed from Linux 6.12 on


def encode(path: Path, seconds: float = 1.0) -> Path:
    """A tone with noise in the codec that goes with the suffix."""
    chance = np.random.default_rng(3)
    count = int(seconds * RATE)
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(count) / RATE) + chance.normal(0, 0.02, (2, count))
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(CODECS[path.suffix[1:]], rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tone.astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate = RATE
        for ready in av.AudioResampler(stream.format, stream.layout, RATE, stream.frame_size or 1024).resample(frame):
            container.mux(stream.encode(ready))
        container.mux(stream.encode(None))
    return path


def media_files(folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    made = []
    for suffix in CODECS:
        with contextlib.suppress(av.FFmpegError):  # a build of FFmpeg without the encoder
            made.append(encode(folder / f"take.{suffix}"))
    assert len(made) > 10
    return made


def test_sound_from_a_confined_decoder_is_the_same(tmp_path: Path) -> None:
    files = media_files(tmp_path / "media")
    servers = [
        ServerProcess(tmp_path / "own", "--private"),
        ServerProcess(tmp_path / "studio", "--media-root", str(tmp_path / "media"), "--listen", "127.0.0.1:0"),
    ]
    try:
        for path in files:
            for more in ({}, {"channels": [1]}, {"mono": True}):
                names = {server.caller.register(path, 4_000, 30_000, **more).name for server in servers}
                assert len(names) == 1, path.name
        studio = servers[1].caller
        name = studio.register(files[1], 4_000, 30_000).name
        job = studio.done(studio.create(name).name)
        assert np.array_equal(
            np.frombuffer(studio.download(job.stem.media), "<f4"), np.frombuffer(studio.download(name), "<f4") / 2
        )
    finally:
        for server in servers:
            server.close()


def test_a_decoder_that_ends_costs_no_other_call(tmp_path: Path) -> None:
    noise = write_noise(tmp_path / "noise.wav", RATE)
    server = ServerProcess(tmp_path / "state", "--media-root", str(tmp_path), "--listen", "127.0.0.1:0")
    try:
        server.caller.register(noise, 0, 1000)
        (decoder,) = decoders(server)
        for number in (signal.SIGSEGV, signal.SIGKILL):
            decoder.send_signal(number)
            server.caller.register(noise, number, 2000)
            (decoder,) = decoders(server)
        assert "Traceback" not in server.log()
    finally:
        server.close()
    while decoder.is_running() and decoder.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def decoders(server: ServerProcess) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if any("stemline-decoder-" in part for part in child.cmdline())]


@pytest.mark.soak
@pytest.mark.parametrize(
    "count", [150, pytest.param(4000, marks=[pytest.mark.hour, pytest.mark.timeout(3600)])], ids=["short", "full"]
)
def test_damaged_media_are_answered_and_never_reach_the_server(tmp_path: Path, count: int) -> None:
    chance = random.Random(SEED)
    folder = tmp_path / "media"
    good = [path.read_bytes() for path in media_files(folder)]
    suffixes = [path.suffix for path in media_files(folder)]
    server = ServerProcess(tmp_path / "state", "--media-root", str(folder), "--listen", "127.0.0.1:0")
    answers: dict[str, int] = {}

    def send(number: int, seed: int) -> None:
        one = random.Random(seed)
        kind = one.randrange(len(good))
        path = folder / f"bad-{number}{suffixes[kind]}"
        path.write_bytes(damaged(one, good[kind]))
        request = media_pb2.RegisterPathRequest(path=str(path), end_sample=one.choice((1, 20_000, 48_000, 1 << 40)))
        try:
            caller.media.RegisterPath(request, metadata=caller.metadata, timeout=60)
            code = "OK"
        except grpc.RpcError as error:
            code = error.code().name
            assert code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "NOT_FOUND"), (
                SEED, number, path.suffix, code, error.details(),
            )  # fmt: skip
        answers[code] = answers.get(code, 0) + 1
        path.unlink()

    try:
        caller = server.caller
        seeds = [chance.randrange(1 << 62) for _ in range(count)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(send, range(count), seeds))
        print(f"{count} damaged media: {answers}; decoders running: {len(decoders(server))}")
        assert server.process.poll() is None
        assert "Traceback" not in server.log()
        caller.register(folder / "take.flac", 0, 1000)
    finally:
        server.close()


def damaged(chance: random.Random, data: bytes) -> bytes:
    """The file with bytes changed, cut or repeated, most of them in its headers."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 12)):
        where = chance.randrange(min(len(changed), chance.choice((64, 512, 1 << 20))) or 1)
        match chance.randrange(5):
            case 0:
                changed[where : where + 1] = bytes((chance.randrange(256),))
            case 1:
                changed[where : where + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
            case 2:
                del changed[where : where + chance.randrange(1, 64)]
            case 3:
                changed[where:where] = chance.randbytes(chance.randrange(1, 32))
            case _:
                del changed[chance.randrange(1, len(changed) + 1) :]
    return bytes(changed)
