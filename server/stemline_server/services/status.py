"""Our errors as gRPC statuses, in one place.

The details are google.rpc.Status with an ErrorInfo (AIP-193), written by hand in protobuf wire format: the published
messages need a newer protobuf than Stemline's environments can promise. Layouts: google/rpc/status.proto and
google/rpc/error_details.proto.
"""

from __future__ import annotations

import grpc

from stemline.errors import Code, StemlineError

DOMAIN = "stemline"
DETAILS_KEY = "grpc-status-details-bin"
_MAX_MESSAGE_CHARACTERS = 1000  # trailing metadata has a limit of its own
_ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

_STATUS = {
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
    Code.CANCELLED: grpc.StatusCode.CANCELLED,
    Code.MEDIA_MISSING: grpc.StatusCode.NOT_FOUND,
    Code.MEDIA_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Code.JOB_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Code.MODEL_UNKNOWN: grpc.StatusCode.NOT_FOUND,
    Code.MEDIA_CHANGED: grpc.StatusCode.FAILED_PRECONDITION,
    Code.MEDIA_UNREADABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Code.MEDIA_NO_AUDIO: grpc.StatusCode.FAILED_PRECONDITION,
    Code.MODEL_UNAVAILABLE: grpc.StatusCode.FAILED_PRECONDITION,
    Code.UPLOAD_MISMATCH: grpc.StatusCode.FAILED_PRECONDITION,
    Code.MEDIA_OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
    Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Code.SERVER_UNREACHABLE: grpc.StatusCode.UNAVAILABLE,
    Code.PATH_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    Code.REQUEST_ID_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Code.QUEUE_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.DEVICE_OUT_OF_MEMORY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.DISK_QUOTA: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.OUTPUT_UNWRITABLE: grpc.StatusCode.INTERNAL,
}


def status_code(error: StemlineError) -> grpc.StatusCode:
    """Whatever is not listed is the caller's mistake."""
    return _STATUS.get(error.code, grpc.StatusCode.INVALID_ARGUMENT)


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
