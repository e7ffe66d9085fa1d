"""Seats: what one may see, use and stop of another's, how the devices are shared, and what a token opens."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.harness import ENDED, Caller, job_request, name_of, parts, samples_of, server_in_thread, write_noise
from stemline.errors import UsageError
from stemline.v1 import media_pb2, models_pb2
from stemline.v1 import separation_pb2 as pb
from stemline_app.cli.main import main
from stemline_server.config import ServerConfig
from stemline_server.engines.base import Control, EngineRequest, Waveform
from stemline_server.engines.noop import NoopEngine
from stemline_server.seats import seat_file
from stemline_server.seats.seat_file import Seat, SeatFile, new_token, read_seats, token_digest, write_seats

SEATS = (
    Seat("anna", ("submit", "read"), project="film"),
    Seat("ben", ("submit", "read"), project="film"),
    Seat("cleo", ("submit", "read")),
    Seat("viewer", ("read",), project="film"),
    Seat("writer", ("submit",)),
    Seat("boss", ("operate",)),
)
RATE = 48_000
Status = grpc.StatusCode


@dataclass
class Studio:
    """A server with seats."""

    operator: Caller
    path: Path
    callers: dict[str, Caller]

    def __getitem__(self, name: str) -> Caller:
        if name not in self.callers:
            self.callers[name] = Caller(self.operator.address, f"token-of-{name}")
        return self.callers[name]

    def upload(self, name: str, samples: bytes) -> str:
        caller = self[name]
        media: media_pb2.Media = caller.media.UploadMedia(parts(samples), metadata=caller.metadata, timeout=60)
        return media.name

    def create(self, name: str, media: str, text: str = "speech", **more: Any) -> pb.Job:
        request = job_request(media, text, **more)
        request.spec.model = "half"
        job: pb.Job = self[name].call(self[name].jobs.CreateJob, request)
        return job


class HalfEngine(NoopEngine):
    """The no-op engine under a name that every seat may use."""

    info = replace(NoopEngine.info, id="half")
    seen: Sequence[str] = ()

    def separate(self, request: EngineRequest, control: Control) -> Iterator[Waveform]:
        type(self).seen = (*type(self).seen, *(prompt.text for prompt in request.prompts))
        yield from super().separate(request, control)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    engines = {"half": HalfEngine, "noop": NoopEngine}
    monkeypatch.setattr("stemline_server.engines.registry.create", lambda name: engines[name or "half"]())
    monkeypatch.setattr("stemline_server.engines.registry.engine_ids", lambda: tuple(engines))
    monkeypatch.setattr("stemline_server.seats.seat_file._CHECK_EVERY_S", 0.0)
    monkeypatch.setattr(HalfEngine, "seen", ())
    path = tmp_path / "state" / "seats.json"
    put(path, SEATS)
    with server_in_thread(ServerConfig(tmp_path / "state", media_roots=None, devices=("cpu",))) as operator:
        found = Studio(operator, path, {})
        yield found
        for caller in found.callers.values():
            caller.close()


def put(path: Path, seats: Sequence[Seat]) -> None:
    write_seats(path, [replace(seat, token_sha256=token_digest(f"token-of-{seat.name}")) for seat in seats])


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    return samples_of(write_noise(tmp_path / "take.wav", RATE)).tobytes()


SEEN_BY = {"anna": True, "ben": True, "cleo": False, "viewer": True, "boss": True}


@pytest.mark.parametrize(("who", "sees"), SEEN_BY.items())
def test_what_a_seat_sees_of_another(studio: Studio, sound: bytes, who: str, sees: bool) -> None:
    media = studio.upload("anna", sound)
    job = studio["anna"].done(studio.create("anna", media, batch_id="b").name)
    other = studio[who]
    reads: list[tuple[Callable[..., Any], object]] = [
        (other.jobs.GetJob, pb.GetJobRequest(name=job.name)),
        (other.jobs.WaitJob, pb.WaitJobRequest(name=job.name)),
        (other.media.GetMedia, media_pb2.GetMediaRequest(name=media)),
        (other.media.GetMedia, media_pb2.GetMediaRequest(name=job.stem.media)),
        (other.media.DownloadMedia, media_pb2.DownloadMediaRequest(name=media)),
        (other.media.DownloadMedia, media_pb2.DownloadMediaRequest(name=job.stem.media)),
    ]
    for method, request in reads:
        if sees:
            answer = other.call(method, request)
            assert list(answer) if isinstance(answer, Iterator) else answer
        else:
            assert other.refused(method, request)[0] == Status.NOT_FOUND
    listed = other.call(other.jobs.ListJobs, pb.ListJobsRequest(batch_id="b")).jobs
    assert [found.name for found in listed] == ([job.name] if sees else [])
    sent = other.call(other.media.GetUpload, media_pb2.GetUploadRequest(name=media)).committed_size
    assert sent == (len(sound) if sees else 0)
    if not sees:
        assert other.refused(other.jobs.WatchJobs, pb.WatchJobsRequest(names=[job.name]))[0] == Status.NOT_FOUND
        assert other.refused(other.jobs.CreateJob, job_request(media))[0] == Status.NOT_FOUND


MAY_CHANGE = {"ben": None, "cleo": Status.NOT_FOUND, "viewer": Status.PERMISSION_DENIED, "boss": None}


@pytest.mark.parametrize(("who", "refusal"), MAY_CHANGE.items())
def test_what_a_seat_stops_and_deletes_of_another(
    studio: Studio, sound: bytes, who: str, refusal: Status | None
) -> None:
    media = studio.upload("anna", sound)
    job = studio.create("anna", media, "sleep:60")
    other = studio[who]
    changes: list[tuple[Callable[..., Any], object]] = [
        (other.jobs.CancelJob, pb.CancelJobRequest(name=job.name)),
        (other.jobs.DeleteJob, pb.DeleteJobRequest(name=job.name)),
        (other.media.DeleteMedia, media_pb2.DeleteMediaRequest(name=media)),
    ]
    for method, request in changes:
        if refusal is None:
            other.call(method, request)
            deadline_s = time.monotonic() + 30
            while method is other.jobs.CancelJob and studio["anna"].get(job.name).state not in ENDED:
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
        else:
            assert other.refused(method, request)[0] == refusal


def test_the_name_of_a_sound_does_not_open_it_and_its_samples_do(studio: Studio, sound: bytes) -> None:
    media = studio.upload("anna", sound)
    cleo = studio["cleo"]
    with pytest.raises(grpc.RpcError):  # the header alone
        cleo.media.UploadMedia(parts(sound, stop=0), metadata=cleo.metadata, timeout=60)
    assert cleo.refused(cleo.media.GetMedia, media_pb2.GetMediaRequest(name=media))[0] == Status.NOT_FOUND
    assert studio.upload("cleo", sound) == media
    assert cleo.download(media) == sound


def test_an_upload_is_not_finished_by_a_seat_that_has_only_its_end(studio: Studio, sound: bytes) -> None:
    anna, cleo = studio["anna"], studio["cleo"]
    name, half = name_of(sound), len(sound) // 2
    with pytest.raises(grpc.RpcError):
        anna.media.UploadMedia(parts(sound, stop=half), metadata=anna.metadata, timeout=60)
    with pytest.raises(grpc.RpcError):
        cleo.media.UploadMedia(parts(sound, half), metadata=cleo.metadata, timeout=60)
    assert cleo.refused(cleo.media.GetMedia, media_pb2.GetMediaRequest(name=name))[0] == Status.NOT_FOUND
    anna.media.UploadMedia(parts(sound, half), metadata=anna.metadata, timeout=60)
    assert anna.download(name) == sound


def test_a_request_id_says_nothing_about_another_seat(studio: Studio, sound: bytes) -> None:
    media = studio.upload("anna", sound)
    studio.upload("cleo", sound)
    first = studio.create("anna", media, "a", request_id="take 1")
    second = studio.create("cleo", media, "b", request_id="take 1")
    assert first.name != second.name
    assert (first.owner, second.owner, second.request_id) == ("anna", "cleo", "take 1")
    assert studio.create("anna", media, "a", request_id="take 1").name == first.name


def test_equal_work_of_two_seats_is_computed_once_and_given_to_both(studio: Studio, sound: bytes) -> None:
    media = studio.upload("anna", sound)
    studio.upload("cleo", sound)
    stems = [studio[name].done(studio.create(name, media).name).stem.media for name in ("anna", "cleo")]
    assert len(set(stems)) == 1
    assert studio["cleo"].download(stems[0])
    assert HalfEngine.seen == ("speech",)


def test_a_sound_that_two_seats_hold_stays_with_one_when_the_other_deletes_it(studio: Studio, sound: bytes) -> None:
    media = studio.upload("anna", sound)
    studio.upload("cleo", sound)
    studio["cleo"].call(studio["cleo"].media.DeleteMedia, media_pb2.DeleteMediaRequest(name=media))
    assert studio["anna"].download(media) == sound
    request = media_pb2.GetMediaRequest(name=media)
    assert studio["cleo"].refused(studio["cleo"].media.GetMedia, request)[0] == Status.NOT_FOUND


@pytest.mark.parametrize(
    ("who", "method", "allowed"),
    [
        ("viewer", "submit", False),
        ("anna", "operate", False),
        ("anna", "noop", False),
        ("writer", "read", False),
        ("writer", "info", True),
        ("boss", "operate", True),
        ("boss", "noop", True),
        ("stranger", "read", False),
    ],
)
def test_scopes(studio: Studio, sound: bytes, who: str, method: str, allowed: bool) -> None:
    caller = studio[who]
    media = studio.upload("anna", sound)
    calls: dict[str, tuple[Callable[..., Any], object]] = {
        "submit": (caller.jobs.CreateJob, job_request(media)),
        "operate": (caller.models.UnloadModel, models_pb2.UnloadModelRequest(name="models/half")),
        "noop": (caller.jobs.CreateJob, job_request(media)),
        "info": (caller.models.GetServerInfo, models_pb2.GetServerInfoRequest()),
        "read": (caller.jobs.ListJobs, pb.ListJobsRequest()),
    }
    if allowed:
        caller.call(*calls[method])
    else:
        assert caller.refused(*calls[method])[0] in (Status.PERMISSION_DENIED, Status.UNAUTHENTICATED)


def test_a_revoked_or_expired_seat_is_refused_at_once_and_a_damaged_file_changes_nothing(studio: Studio) -> None:
    anna = studio["anna"]
    anna.call(anna.jobs.ListJobs, pb.ListJobsRequest())
    studio.path.write_text("{", encoding="utf-8")
    anna.call(anna.jobs.ListJobs, pb.ListJobsRequest())
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
    for seats in ((replace(SEATS[0], expires=yesterday),), SEATS[1:]):
        put(studio.path, SEATS)
        anna.call(anna.jobs.ListJobs, pb.ListJobsRequest())
        put(studio.path, seats)
        assert anna.refused(anna.jobs.ListJobs, pb.ListJobsRequest())[0] == Status.UNAUTHENTICATED


def test_a_file_of_seats_that_cannot_be_read_for_a_moment_locks_no_seat_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(seat_file, "_CHECK_EVERY_S", 0.0)
    path = tmp_path / seat_file.FILE_NAME
    token = new_token()
    write_seats(path, [Seat("anna", ("read",), token_sha256=token_digest(token))])
    seats = SeatFile(path)
    stat = Path.stat

    def failing(self: Path, **more: Any) -> os.stat_result:
        if self == path:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return stat(self, **more)

    with monkeypatch.context() as disturbed:
        disturbed.setattr(Path, "stat", failing)
        assert seats.is_used
        assert seats.of_token(token) is not None
        assert seats.of_token(token) is not None
    assert caplog.text.count("Input/output error") == 1, "a lasting fault does not fill the log"
    write_seats(path, [])
    assert seats.of_token(token) is None
    path.unlink()
    assert not seats.is_used


@pytest.mark.parametrize(
    "damage",
    [
        {"weight": "2"}, {"weight": True}, {"store_bytes": 1.5}, {"queued_s": "1"}, {"transfers": None}, {"name": 5},
        {"project": []}, {"scopes": "read"}, {"scopes": [1]}, {"scopes": None}, {"token_sha256": 7},
        {"token_sha256": "abc"}, {"certificate": {}}, {"expires": 20270101}, {"expires": "soon"},
        {"expires": "2027-1-1"}, {"queued_s": float("nan")}, {"max_priority": "9"},
    ],
)  # fmt: skip
def test_a_seat_with_a_value_of_the_wrong_type_is_refused_in_one_sentence(
    tmp_path: Path, damage: dict[str, object]
) -> None:
    path = tmp_path / seat_file.FILE_NAME
    path.write_text(json.dumps({"seats": [{"name": "anna", "scopes": ["read"], **damage}]}), encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="cannot be used"):
        SeatFile(path)


@pytest.mark.soak
@pytest.mark.parametrize("queued", [40, pytest.param(500, marks=pytest.mark.hour)], ids=["short", "full"])
def test_a_seat_waits_no_longer_than_a_job_behind_the_queue_of_another(
    studio: Studio, sound: bytes, queued: int
) -> None:
    media = studio.upload("anna", sound)
    studio.upload("cleo", sound)
    request = pb.BatchCreateJobsRequest()
    for number in range(queued):
        one = job_request(media, "sleep:0.05", seed=number, priority=9)
        one.spec.model = "half"
        request.requests.append(one)
    anna = studio["anna"]
    anna.call(anna.jobs.BatchCreateJobs, request)
    cleo = studio.create("cleo", media, "cleo's")
    studio["cleo"].done(cleo.name)
    assert HalfEngine.seen.index("cleo's") <= 6
    for job in anna.call(anna.jobs.ListJobs, pb.ListJobsRequest(states=[pb.STATE_QUEUED])).jobs:
        anna.cancel(job.name)


def test_limits_of_a_seat(studio: Studio, sound: bytes, tmp_path: Path) -> None:
    put(studio.path, [replace(SEATS[2], store_bytes=len(sound) * 5 // 2, queued_s=2.5)])
    cleo = studio["cleo"]
    first, second, third = (
        studio.upload("cleo", samples_of(write_noise(tmp_path / f"{seed}.wav", RATE, seed=seed)).tobytes())
        for seed in range(3)
    )
    assert cleo.refused(cleo.media.GetMedia, media_pb2.GetMediaRequest(name=first))[0] == Status.NOT_FOUND
    busy = studio.create("cleo", third, "sleep:60")
    cleo.until(busy.name, pb.STATE_RUNNING)
    for text in ("a", "b"):
        studio.create("cleo", second, text)
    with pytest.raises(grpc.RpcError) as full:
        studio.create("cleo", second, "c")
    assert full.value.code() == Status.RESOURCE_EXHAUSTED
    with pytest.raises(grpc.RpcError) as full:
        studio.upload("cleo", sound)
    assert full.value.code() == Status.RESOURCE_EXHAUSTED
    cleo.cancel(busy.name)


def test_the_command_creates_lists_and_revokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = ["--state", str(tmp_path)]
    create = ["seats", "create", "anna", *state, "--project", "film", "--expires", "2099-01-01", "--queue", "2"]
    assert main(create) == 0
    token = capsys.readouterr().out.strip()
    (seat,) = read_seats(tmp_path / "seats.json")
    assert (seat.name, seat.project, seat.scopes, seat.queued_s) == ("anna", "film", ("submit", "read"), 7200)
    assert seat.token_sha256 == token_digest(token)
    assert (tmp_path / "seats.json").stat().st_mode & 0o777 == 0o600
    assert token not in (tmp_path / "seats.json").read_text("utf-8")
    assert main(create) == 2
    assert main(["seats", "create", "local", *state]) == 2
    capsys.readouterr()
    assert main(["seats", "list", "--json", *state]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["name"] == "anna"
    assert main(["seats", "revoke", "anna", *state]) == 0
    assert read_seats(tmp_path / "seats.json") == ()
