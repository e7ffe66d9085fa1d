"""The rich status comes from another process: valid details give errors, invalid ones must not break the client."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemline.client.status import details_of, error_of
from stemline.error_table import error_for
from stemline.errors import Cancelled, Code, MediaError, NoServerError, StemlineError, UsageError


class Failure(grpc.RpcError, grpc.Call):
    """What gRPC raises, with a status of our choice."""

    def __init__(self, code: grpc.StatusCode, details: str, rich: bytes | None = None) -> None:
        self._code, self._details, self._rich = code, details, rich

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return () if self._rich is None else (("grpc-status-details-bin", self._rich),)

    def initial_metadata(self) -> Any:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> bool:
        return False

    def add_callback(self, callback: Any) -> bool:
        return False


def field(number: int, value: bytes | int) -> bytes:
    """Return one field in protobuf wire format, written here independently of the client."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    data = b""
    while value > 0x7F:
        data += bytes([value & 0x7F | 0x80])
        value >>= 7
    return data + bytes([value])


def detail(kind: str, packed: bytes) -> bytes:
    return field(3, field(1, f"type.googleapis.com/google.rpc.{kind}".encode()) + field(2, packed))


def rich_status(reason: str, advice: str = "") -> bytes:
    info = field(1, reason.encode()) + field(2, b"stemline")
    info += field(3, field(1, b"other") + field(2, b"x"))
    info += field(3, field(1, b"advice") + field(2, advice.encode()))
    return field(1, 5) + field(2, b"message") + detail("ErrorInfo", info)


def test_reason_and_advice_are_read() -> None:
    failure = Failure(grpc.StatusCode.NOT_FOUND, "There is no file ä.", rich_status("MEDIA_MISSING", "Look for it."))
    error = error_of(failure)
    assert type(error) is MediaError
    assert (error.code, error.message, error.advice) == (Code.MEDIA_MISSING, "There is no file ä.", "Look for it.")


def test_the_retry_delay_is_read() -> None:
    delay = field(1, field(1, 3) + field(2, 500_000_000))
    failure = Failure(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "full", rich_status("QUEUE_FULL") + detail("RetryInfo", delay)
    )
    assert details_of(failure).retry_after_s == 3.5
    assert details_of(failure).reason == "QUEUE_FULL"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, NoServerError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, NoServerError),
        (grpc.StatusCode.UNAUTHENTICATED, NoServerError),
        (grpc.StatusCode.INVALID_ARGUMENT, UsageError),
        (grpc.StatusCode.CANCELLED, Cancelled),
        (grpc.StatusCode.UNKNOWN, StemlineError),
    ],
)
def test_a_status_without_details_gives_a_fitting_error(status: grpc.StatusCode, kind: type[StemlineError]) -> None:
    assert isinstance(error_of(Failure(status, "why")), kind)


@pytest.mark.parametrize("code", list(Code))
def test_every_published_reason_keeps_its_code(code: Code) -> None:
    assert error_for(code, "message").code is code


def test_an_unknown_reason_of_a_newer_server_is_an_error() -> None:
    error = error_of(Failure(grpc.StatusCode.INTERNAL, "message", rich_status("SOMETHING_NEW", "advice")))
    assert (error.code, error.message, error.advice) == (Code.INTERNAL, "message", "advice")


@given(st.binary(max_size=200))
def test_invalid_details_are_ignored(data: bytes) -> None:
    assert isinstance(error_of(Failure(grpc.StatusCode.INTERNAL, "message", data)), StemlineError)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_damaged_details_are_ignored(place: int, damage: bytes) -> None:
    data = rich_status("MEDIA_MISSING", "advice") + detail("RetryInfo", field(1, field(1, 3)))
    damaged = data[:place] + damage + data[place + len(damage) :]
    assert isinstance(error_of(Failure(grpc.StatusCode.INTERNAL, "message", damaged)), StemlineError)
