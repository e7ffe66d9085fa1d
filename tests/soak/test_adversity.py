"""What goes wrong around a server: peers that stop reading, a disk that takes no writes, and a clock that jumps."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from server.harness import (
    CALL_TIMEOUT_S,
    START_TIMEOUT_S,
    Caller,
    ServerProcess,
    job_request,
    parts,
    samples_of,
    server_in_thread,
    write_noise,
)
from stemline.v1 import media_pb2, media_pb2_grpc
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig

pytestmark = pytest.mark.soak
STALLED = 12
LONG_SAMPLES = 48_000 * 40  # a stem of 15 MB: more than the windows of a connection hold
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)
DAY_US = 86_400_000_000


class Proxy:
    """Passes bytes between clients and a server until it is frozen: then it reads no more, and closes nothing."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._frozen = threading.Event()
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        self._frozen.set()

    def close(self) -> None:
        self._frozen.set()
        for each in (self._listening, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._frozen.is_set() and (data := source.recv(16_384)):
                sink.sendall(data)


def test_peers_that_stop_reading_cost_others_nothing_and_are_forgotten(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "state", "--private")
    proxy = Proxy(server.wait_endpoint()["address"])
    channels: list[grpc.Channel] = []
    try:
        noise = write_noise(tmp_path / "noise.wav", LONG_SAMPLES)
        whole = server.caller.register(noise, 0, LONG_SAMPLES).name
        stem = server.caller.done(server.caller.create(whole).name).stem.media
        expected = server.caller.download(stem)
        process = psutil.Process(server.process.pid)
        before_bytes, before_files = process.memory_info().rss, process.num_fds()
        for _ in range(STALLED):
            channels.append(grpc.insecure_channel(proxy.address, options=OWN_CONNECTION))
            download = media_pb2_grpc.MediaServiceStub(channels[-1]).DownloadMedia
            request = media_pb2.DownloadMediaRequest(name=stem)
            next(download(request, metadata=server.caller.metadata, timeout=CALL_TIMEOUT_S))
        assert process.num_fds() >= before_files + STALLED
        proxy.freeze()
        assert server.caller.download(stem) == expected
        assert server.caller.done(server.caller.create(whole, "meanwhile").name).attempt == 1
        assert process.memory_info().rss < before_bytes + (96 << 20), "what is not read is not buffered"
        proxy.close()
        deadline_s = time.monotonic() + CALL_TIMEOUT_S
        while process.num_fds() > before_files + 4:
            assert time.monotonic() < deadline_s, (process.num_fds(), before_files)
            time.sleep(0.1)
        assert "Traceback" not in server.log()
    finally:
        proxy.close()
        for channel in channels:
            channel.close()
        server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces")
def test_a_state_folder_without_write_access_ends_the_start_and_keeps_the_state(tmp_path: Path) -> None:
    tried = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("needs user and mount namespaces")
    state = tmp_path / "state"
    noise = write_noise(tmp_path / "noise.wav", 24_000)
    server = ServerProcess(state, "--private")
    try:
        job = server.caller.done(server.caller.create(server.caller.register(noise, 0, 24_000).name).name)
        sound = server.caller.download(job.stem.media)
        server.terminate()
        serve = f"{sys.executable} -m stemline_server --state {state} --listen 127.0.0.1:0 --device cpu"
        mount = f"mount --bind {state} {state} && mount -o remount,bind,ro {state}"
        started = subprocess.run(
            ["unshare", "-rm", "sh", "-c", f"{mount} && exec {serve}"],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        assert started.returncode not in (0, None)
        assert "Read-only file system" in started.stderr
        assert "Traceback" not in started.stderr
        assert len(started.stderr.strip().splitlines()) <= 2
        server.start()
        assert server.caller.get(job.name).state == pb.STATE_SUCCEEDED
        assert server.caller.download(job.stem.media) == sound
    finally:
        server.close()


def ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def link() -> Iterator[tuple[str, str]]:
    """Names of two network namespaces with a link between them: 10.77.0.1 and 10.77.0.2."""
    names = (f"stemline-{os.getpid()}-a", f"stemline-{os.getpid()}-b")
    ends = tuple(f"sl{os.getpid()}{end}" for end in "ab")
    made = shutil.which("ip") and all(ip("netns", "add", name) for name in names)
    made = made and ip("link", "add", ends[0], "netns", names[0], "type", "veth", "peer", ends[1], "netns", names[1])
    try:
        if not made:
            pytest.skip("needs network namespaces, which root can make")
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            assert ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", end)
            assert ip("-n", name, "link", "set", end, "up") and ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "delete", name)


DOWNLOADS = """
import sys, time
sys.path.insert(0, {tests!r})
import grpc
from server.harness import Caller, name_of, parts
from stemline.v1 import media_pb2, media_pb2_grpc
sound = bytes(range(256)) * 4 * 12_000
caller = Caller({address!r}, {token!r})
name = caller.media.UploadMedia(parts(sound), metadata=caller.metadata, timeout=60).name
open_calls = []
for number in range({count}):
    channel = grpc.insecure_channel({address!r}, options=(("grpc.use_local_subchannel_pool", 1),))
    call = media_pb2_grpc.MediaServiceStub(channel).DownloadMedia(
        media_pb2.DownloadMediaRequest(name=name), metadata=caller.metadata)
    next(call)
    open_calls.append((channel, call))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform != "linux", reason="needs network namespaces")
def test_connections_over_a_broken_link_are_forgotten(tmp_path: Path, link: tuple[str, str]) -> None:
    token = tmp_path / "token"
    token.write_text("a token of this test alone", encoding="ascii")
    token.chmod(0o600)
    address = "10.77.0.1:7861"
    inside = ["ip", "netns", "exec"]
    serve = [sys.executable, "-m", "stemline_server", "--state", str(tmp_path / "state"), "--device", "cpu"]
    server = subprocess.Popen(
        [*inside, link[0], *serve, "--listen", address, "--insecure", "--token-file", str(token)],
        stderr=subprocess.PIPE,
    )
    tests = str(Path(__file__).resolve().parents[1])
    program = DOWNLOADS.format(tests=tests, address=address, token=token.read_text("ascii"), count=STALLED)
    client: subprocess.Popen[bytes] | None = None
    try:
        assert server.stderr is not None and b"listens on" in server.stderr.readline()
        process = psutil.Process(server.pid)
        before = process.num_fds()
        client = subprocess.Popen([*inside, link[1], sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert client.stdout is not None and client.stdout.readline() == b"ready\n"
        assert process.num_fds() >= before + STALLED
        assert ip("-n", link[1], "link", "set", f"sl{os.getpid()}b", "down")
        client.kill()  # and nothing of that reaches the server
        time.sleep(2)
        assert process.num_fds() >= before + STALLED, "half-open"
        deadline_s = time.monotonic() + 200
        while process.num_fds() >= before + STALLED:
            assert time.monotonic() < deadline_s, (process.num_fds(), before)
            time.sleep(1)
        assert server.poll() is None
        assert "Traceback" not in (tmp_path / "state" / "server.log").read_text("utf-8")
    finally:
        for each in (client, server):
            if each is not None:
                each.kill()
                each.wait()
                for stream in (each.stdout, each.stderr):
                    if stream is not None:
                        stream.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs mount namespaces")
def test_a_full_disk_fails_new_work_alone_and_goes_away(tmp_path: Path) -> None:
    tried = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False)
    if not tried or tried.returncode:
        pytest.skip("needs user and mount namespaces")
    state, token = tmp_path / "state", tmp_path / "token"
    state.mkdir()
    token.write_text("a token of this test alone", encoding="ascii")
    token.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    serve = f"{sys.executable} -m stemline_server --state {state} --listen {address} --device cpu --token-file {token}"
    mount = f"mount -t tmpfs -o size=90m none {state}"
    server = subprocess.Popen(["unshare", "-rm", "sh", "-c", f"{mount} && exec {serve}"], stderr=subprocess.PIPE)
    caller = Caller(address, token.read_text("ascii"))
    try:
        assert server.stderr is not None and b"listens on" in server.stderr.readline()
        seen = Path(f"/proc/{server.pid}/root{state}")
        sound = samples_of(write_noise(tmp_path / "noise.wav", 128_000)).tobytes()
        media = caller.media.UploadMedia(parts(sound), metadata=caller.metadata, timeout=CALL_TIMEOUT_S).name
        first = caller.done(caller.create(media, "first").name)
        with (seen / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(1 << 16))
        assert caller.get(first.name).state == pb.STATE_SUCCEEDED
        assert caller.download(media) == sound
        assert len(caller.download(first.stem.media)) == len(sound)
        assert [job.name for job in listed(caller)] == [first.name]
        request = job_request(media, "second")
        with contextlib.suppress(grpc.RpcError):
            caller.call(caller.jobs.CreateJob, request)
            job = caller.until(caller.call(caller.jobs.CreateJob, request).name, pb.STATE_FAILED)
            assert job.error.reason == "DISK_FULL"
        (seen / "filler").unlink()
        assert caller.done(caller.call(caller.jobs.CreateJob, request).name).stem.media
        assert "Traceback" not in (seen / "server.log").read_text("utf-8")
        assert server.poll() is None
    finally:
        caller.close()
        server.kill()
        server.wait()
        if server.stderr is not None:
            server.stderr.close()


@pytest.fixture
def offsets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Microseconds that the clock of the queue is wrong by, one after another with each look at it."""
    jumps = [0]
    counter = itertools.count()
    clock = time.time_ns

    def jumping() -> int:
        return clock() // 1000 + jumps[next(counter) % len(jumps)]

    for module in ("store.media_table", "jobs.table", "jobs.claims", "jobs.shares"):
        monkeypatch.setattr(f"stemline_server.{module}.now_us", jumping)
    return jumps


@contextlib.contextmanager
def started(state: Path) -> Iterator[Caller]:
    with server_in_thread(ServerConfig(state, private=True, media_roots=None, devices=("cpu",))) as caller:
        yield caller


def test_a_clock_that_jumps_loses_doubles_and_starves_no_job(tmp_path: Path, offsets: list[int]) -> None:
    noise = write_noise(tmp_path / "noise.wav", 24_000)
    offsets[:] = [0, 400 * DAY_US, -400 * DAY_US, 3 * DAY_US]
    with started(tmp_path / "state") as caller:
        media = caller.register(noise, 0, 24_000).name
        names = [caller.create(media, f"sound {number}", priority=number % 3).name for number in range(12)]
        assert {caller.done(name).attempt for name in names} == {1}
        caller.create(media, "sleep:60", "first")
        waiting = [caller.create(media, f"later {number}", f"later {number}").name for number in range(3)]
    for jump in (-400 * DAY_US, 400 * DAY_US):
        offsets[:] = [jump]
        with started(tmp_path / "state") as caller:
            (busy,) = [job for job in listed(caller) if job.spec.prompt.text == "sleep:60"]
            assert caller.call(caller.jobs.CreateJob, job_request(media, "sleep:60", "first")).name == busy.name
            states = {job.name: job.state for job in listed(caller)}
            assert all(states[name] == pb.STATE_QUEUED for name in waiting)
    offsets[:] = [0]
    with started(tmp_path / "state") as caller:
        caller.cancel(busy.name)
        assert all(caller.done(name).stem.media for name in waiting)


def listed(caller: Caller) -> list[pb.Job]:
    return list(caller.call(caller.jobs.ListJobs, pb.ListJobsRequest(page_size=1000)).jobs)
