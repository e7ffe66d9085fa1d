"""Translates errors into gRPC statuses.

The details are google.rpc.Status with an ErrorInfo (AIP-193), written by hand in protobuf wire format: the published
messages need a newer protobuf than Stemline's environments can promise. Layouts: google/rpc/status.proto and
google/rpc/error_details.proto.
"""

from __future__ import annotations

import grpc

from stemline.error_table import ROW_OF
from stemline.errors import Code, StemlineError

DOMAIN = "stemline"
DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE_CHARACTERS = 1000  # trailing metadata has a limit of its own
_RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
_RETRY_AFTER_S = {Code.QUEUE_FULL: 5}
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def status_code(error: StemlineError) -> grpc.StatusCode:
    """Return the gRPC status for an error: that of its code in the table of errors."""
    return grpc.StatusCode[ROW_OF[error.code].status]


def message_of(error: StemlineError) -> str:
    """Return the message, short enough for a trailer."""
    return error.message[:_MAX_MESSAGE_CHARACTERS]


def details_of(error: StemlineError) -> bytes:
    """Return a google.rpc.Status with an ErrorInfo: reason, domain, and the advice as metadata.

    Where waiting helps, a RetryInfo says how long.
    """
    advice = error.advice[:_MAX_MESSAGE_CHARACTERS]
    info = _text(1, error.code.value) + _text(2, DOMAIN)
    if advice:
        info += _field(3, _text(1, "advice") + _text(2, advice))
    details = _field(3, _text(1, _ERROR_INFO) + _field(2, info))
    wait_s = _RETRY_AFTER_S.get(error.code)
    if wait_s is not None:
        duration = _varint(1 << 3) + _varint(wait_s)
        details += _field(3, _text(1, _RETRY_INFO) + _field(2, _field(1, duration)))
    number: int = status_code(error).value[0]
    return _varint(1 << 3) + _varint(number) + _text(2, message_of(error)) + details


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode("utf-8", "replace"))


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
