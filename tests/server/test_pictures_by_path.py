"""Picture tracks on a shared disk: the server reads the client's file itself, and only the file that was named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

import stemline
from server.harness import Caller, server_in_thread
from server.test_picture_tracks import name_of, write_track
from server.test_shared_disk import facts_message, nonce
from stemline.errors import Code, OutputError
from stemline.v1 import media_pb2 as pb
from stemline_server.config import ServerConfig
from stemline_server.seats.seat_file import Seat, token_digest, write_seats

Status = grpc.StatusCode
SEATS = (
    Seat("anna", ("submit", "read")),
    Seat("ben", ("submit", "read")),
    Seat("small", ("submit", "read"), store_bytes=100),
)


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Caller]:
    seats = [replace(seat, token_sha256=token_digest(f"token-of-{seat.name}")) for seat in SEATS]
    write_seats(tmp_path / "state" / "seats.json", seats)
    with server_in_thread(ServerConfig(tmp_path / "state", media_roots=None, devices=("cpu",))) as operator:
        yield operator


def client_of(server: Caller, seat: str) -> stemline.Client:
    return stemline.connect(server.address, token=f"token-of-{seat}")


def stored(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in (folder / "state").rglob("*.f32")]


def request(server: Caller, track: Path, name: str) -> pb.RegisterPathRequest:
    return pb.RegisterPathRequest(path=str(track), nonce=nonce(server), facts=facts_message(track), pictures_name=name)


def test_no_picture_is_sent_where_client_and_server_share_the_disk(
    studio: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stemline.client.upload._Upload", lambda *_: pytest.fail("pictures were sent"))
    track = write_track(tmp_path / "dog.pictures")
    sent: list[int] = []
    with client_of(studio, "anna") as client:
        found = client.ensure_pictures(track, lambda done, total: sent.append(done))
    assert (found.name, sent) == (name_of(track.read_bytes()), [])
    assert stored(tmp_path) == [track.read_bytes()]


def test_the_store_holds_the_pictures_after_the_cache_has_dropped_them(studio: Caller, tmp_path: Path) -> None:
    track = write_track(tmp_path / "dog.pictures")
    with client_of(studio, "anna") as client:
        name = client.ensure_pictures(track).name
        track.unlink()
        assert client._link.call(lambda stubs: stubs.media.GetMedia, pb.GetMediaRequest(name=name)).pictures_bytes


def test_a_server_that_may_not_read_the_cache_gets_the_pictures_by_upload(tmp_path: Path) -> None:
    track = write_track(tmp_path / "dog.pictures")
    elsewhere = tmp_path / "media"
    elsewhere.mkdir()
    config = ServerConfig(tmp_path / "state", media_roots=(elsewhere,), devices=("cpu",))
    sent: list[int] = []
    with server_in_thread(config) as server:
        assert server.refused(server.media.RegisterPath, request(server, track, name_of(track.read_bytes())))[0] is (
            Status.PERMISSION_DENIED
        )
        with stemline.connect(server.address, token=dict(server.metadata)["authorization"].removeprefix("Bearer ")) as (
            client
        ):
            client.ensure_pictures(track, lambda done, total: sent.append(done))
    assert sent == [track.stat().st_size]


def test_a_server_that_does_not_know_pictures_by_path_gets_them_by_upload(
    studio: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a server ignores the field, and sees an empty range of sound."""
    made = pb.RegisterPathRequest

    def without_name(**fields: object) -> pb.RegisterPathRequest:
        del fields["pictures_name"]
        return made(**fields)  # type: ignore[arg-type]

    track = write_track(tmp_path / "dog.pictures")
    sent: list[int] = []
    with client_of(studio, "anna") as client:
        monkeypatch.setattr(pb, "RegisterPathRequest", without_name)
        client.ensure_pictures(track, lambda done, total: sent.append(done))
    assert sent == [track.stat().st_size]


def test_a_file_that_changed_since_it_was_named_is_refused_and_not_stored(studio: Caller, tmp_path: Path) -> None:
    track = write_track(tmp_path / "dog.pictures")
    named = request(studio, track, name_of(track.read_bytes()))
    write_track(track, seed=1)
    assert studio.refused(studio.media.RegisterPath, named)[0] is Status.PERMISSION_DENIED
    named.facts.CopyFrom(facts_message(track))
    status, message, *_ = studio.refused(studio.media.RegisterPath, named)
    assert status is Status.FAILED_PRECONDITION
    assert "is being changed" in message
    assert stored(tmp_path) == []


def test_a_file_of_the_right_name_that_is_no_picture_track_is_refused(studio: Caller, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"four" * 40)
    refused = studio.refused(studio.media.RegisterPath, request(studio, secret, name_of(secret.read_bytes())))
    assert "not a picture track" in refused[1]
    assert stored(tmp_path) == []


def test_a_seat_does_not_get_the_pictures_that_another_registered(studio: Caller, tmp_path: Path) -> None:
    track = write_track(tmp_path / "dog.pictures")
    with client_of(studio, "anna") as anna, client_of(studio, "ben") as ben:
        name = anna.ensure_pictures(track).name
        with pytest.raises(stemline.MediaError) as refused:
            ben._link.call(lambda stubs: stubs.media.GetMedia, pb.GetMediaRequest(name=name))
        assert refused.value.code is Code.MEDIA_UNKNOWN
        assert ben.ensure_pictures(track).name == name


def test_pictures_by_path_count_into_the_limit_of_a_seat(studio: Caller, tmp_path: Path) -> None:
    track = write_track(tmp_path / "dog.pictures")
    with client_of(studio, "small") as client, pytest.raises(OutputError) as refused:
        client.ensure_pictures(track)
    assert refused.value.code is Code.DISK_QUOTA
    assert stored(tmp_path) == []
