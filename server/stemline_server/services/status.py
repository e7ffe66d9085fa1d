"""Our errors as gRPC statuses, in one place.

The details are google.rpc.Status with an ErrorInfo (AIP-193), written by hand in protobuf wire format: the published
messages need a newer protobuf than Stemline's environments can promise. Layouts: google/rpc/status.proto and
google/rpc/error_details.proto.
"""

from __future__ import annotations

import grpc

from stemline.error_table import ROW_OF
from stemline.errors import StemlineError

DOMAIN = "stemline"
DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE_CHARACTERS = 1000  # trailing metadata has a limit of its own
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def status_code(error: StemlineError) -> grpc.StatusCode:
    """Return the gRPC status for an error: that of its code in the table of errors."""
    return grpc.StatusCode[ROW_OF[error.code].status]


def message_of(error: StemlineError) -> str:
    return error.message[:_MAX_MESSAGE_CHARACTERS]


def details_of(error: StemlineError) -> bytes:
    """google.rpc.Status with one ErrorInfo: reason, domain, and the advice as metadata."""
    advice = error.advice[:_MAX_MESSAGE_CHARACTERS]
    info = _text(1, error.code.value) + _text(2, DOMAIN)
    if advice:
        info += _field(3, _text(1, "advice") + _text(2, advice))
    packed = _text(1, _ERROR_INFO) + _field(2, info)
    number: int = status_code(error).value[0]
    return _varint(1 << 3) + _varint(number) + _text(2, message_of(error)) + _field(3, packed)


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
