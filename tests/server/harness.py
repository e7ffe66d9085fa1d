"""Real servers for tests: as a process that can be killed, and within this process where an engine is replaced."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import numpy as np

from stemline.v1 import media_pb2, media_pb2_grpc, models_pb2, models_pb2_grpc, separation_pb2_grpc
from stemline.v1 import separation_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.taggers import registry as tagger_registry
from stemline_server.taggers.registry import TaggerSource
from stemline_server.testing import serve_in_thread

START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 60.0
RATE = 48_000
ENDED = (pb.STATE_SUCCEEDED, pb.STATE_FAILED, pb.STATE_CANCELLED)


class Caller:
    """A client of one server: stubs, and `call` that shows the token."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.channel = grpc.insecure_channel(address)
        self.metadata = (("authorization", f"Bearer {token}"),)
        self.media = media_pb2_grpc.MediaServiceStub(self.channel)
        self.jobs = separation_pb2_grpc.SeparationServiceStub(self.channel)
        self.models = models_pb2_grpc.ModelServiceStub(self.channel)

    def call(self, method: Callable[..., Any], request: object) -> Any:
        return method(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)

    def refused(self, method: Callable[..., Any], request: object) -> tuple[grpc.StatusCode, str]:
        """Status code and message of a call that must fail."""
        try:
            answer = self.call(method, request)
            if isinstance(answer, Iterator):
                list(answer)
        except grpc.RpcError as error:
            return error.code(), error.details() or ""
        raise AssertionError("the call was answered")

    def register(self, path: Path, start: int = 0, end: int = 0, **more: Any) -> media_pb2.Media:
        request = media_pb2.RegisterPathRequest(path=str(path), start_sample=start, end_sample=end, **more)
        return cast(media_pb2.Media, self.call(self.media.RegisterPath, request))

    def create(self, media: str, text: str = "speech", request_id: str = "", **more: Any) -> pb.Job:
        return cast(pb.Job, self.call(self.jobs.CreateJob, job_request(media, text, request_id, **more)))

    def get(self, name: str) -> pb.Job:
        return cast(pb.Job, self.call(self.jobs.GetJob, pb.GetJobRequest(name=name)))

    def cancel(self, name: str) -> pb.Job:
        return cast(pb.Job, self.call(self.jobs.CancelJob, pb.CancelJobRequest(name=name)))

    def until(self, name: str, *states: int) -> pb.Job:
        """The job once it is in one of the states (or has ended in another, which fails)."""
        deadline = time.monotonic() + CALL_TIMEOUT_S
        while time.monotonic() < deadline:
            job = self.get(name)
            if job.state in states:
                return job
            assert job.state not in ENDED, job
            time.sleep(0.02)
        raise AssertionError(f"still {pb.State.Name(job.state)}")

    def done(self, name: str) -> pb.Job:
        return self.until(name, pb.STATE_SUCCEEDED)

    def download(self, name: str, start: int = 0, end: int = 0) -> bytes:
        request = media_pb2.DownloadMediaRequest(name=name, start_sample=start, end_sample=end)
        return b"".join(chunk.data for chunk in self.call(self.media.DownloadMedia, request))

    def info(self) -> models_pb2.ServerInfo:
        return cast(models_pb2.ServerInfo, self.call(self.models.GetServerInfo, models_pb2.GetServerInfoRequest()))

    def close(self) -> None:
        self.channel.close()


def job_request(media: str, text: str = "speech", request_id: str = "", **more: Any) -> pb.CreateJobRequest:
    """`more` goes into the spec, but for batch_id and priority."""
    outer = {key: more.pop(key) for key in ("batch_id", "priority") if key in more}
    spec = pb.SeparationSpec(media=media, prompt=more.pop("prompt", pb.Prompt(text=text)), model="noop", **more)
    return pb.CreateJobRequest(request_id=request_id or str(uuid.uuid4()), spec=spec, **outer)


class ServerProcess:
    """`python -m stemline_server`, started again in the same state folder as often as a test kills it."""

    def __init__(self, state: Path, *options: str) -> None:
        self.state = state
        self._command = [sys.executable, "-m", "stemline_server", "--state", str(state), *options]
        self._caller: Caller | None = None
        self.start()

    def start(self) -> None:
        """Starts it, for the first time or again after it has gone."""
        if self._caller is not None:
            self._gone()
        (self.state / "endpoint.json").unlink(missing_ok=True)
        self.process = subprocess.Popen(self._command, stderr=subprocess.PIPE, text=True)

    @property
    def caller(self) -> Caller:
        if self._caller is None:
            endpoint = self.wait_endpoint()
            self._caller = Caller(endpoint["address"], Path(endpoint["token_file"]).read_text(encoding="ascii"))
        return self._caller

    def wait_endpoint(self) -> dict[str, Any]:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                return cast(dict[str, Any], json.loads((self.state / "endpoint.json").read_text(encoding="utf-8")))
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"the server did not come up: {self.log()}")

    def log(self) -> str:
        path = self.state / "server.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def kill(self) -> None:
        """No chance to put anything in order."""
        self.process.kill()
        self._gone()

    def crash(self) -> None:
        """Let it die of a fault of its own, as of an engine's native code."""
        self.process.send_signal(signal.SIGSEGV)
        self._gone()

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self._gone()

    def resident_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self._gone()

    def _gone(self) -> int:
        if self._caller is not None:
            self._caller.close()
            self._caller = None
        code = self.process.wait(START_TIMEOUT_S)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


@contextlib.contextmanager
def server_in_thread(config: ServerConfig, taggers: TaggerSource = tagger_registry) -> Iterator[Caller]:
    """A server of this process, whose engines a test can replace."""
    with serve_in_thread(config, taggers=taggers) as server:
        caller = Caller(server.address, server.token)
        try:
            yield caller
        finally:
            caller.close()


def write_noise(path: Path, length_samples: int, channels: int = 2, seed: int = 0, rate: int = RATE) -> Path:
    """16-bit noise, so that every sample is exact in float32."""
    samples = np.random.default_rng(seed).integers(-20_000, 20_000, (length_samples, channels), dtype="<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def samples_of(path: Path) -> np.ndarray:
    """float32 [samples, channels] of what `write_noise` wrote."""
    with wave.open(str(path), "rb") as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    return (data / 32768).astype("<f4")


def name_of(samples: bytes, channels: int = 2) -> str:
    return "media/" + hashlib.sha256(f"{RATE}:{channels}:".encode() + samples).hexdigest()


def parts(
    samples: bytes, offset: int = 0, *, name: str = "", stop: int | None = None
) -> Iterator[media_pb2.UploadMediaRequest]:
    """An upload of stereo sound from byte `offset` to `stop`."""
    yield media_pb2.UploadMediaRequest(
        header=media_pb2.UploadHeader(
            name=name or name_of(samples),
            sample_rate=RATE,
            channels=2,
            length_samples=len(samples) // 8,
            offset=offset,
        )
    )
    for start in range(offset, len(samples) if stop is None else stop, 100_000):
        yield media_pb2.UploadMediaRequest(
            data=samples[start : start + 100_000 if stop is None else min(start + 100_000, stop)]
        )


def touch_later(path: Path) -> None:
    """Another modification time, whatever the resolution of the file system."""
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 2_000_000_000))
