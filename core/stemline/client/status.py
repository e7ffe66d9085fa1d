"""Turn gRPC statuses into errors of Stemline.

The rich status (`grpc-status-details-bin`) is read by its wire format: the generated google.rpc
messages need a newer protobuf than the environments Stemline runs in can promise. Layouts: google/rpc/status.proto and
google/rpc/error_details.proto.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc

from stemline.error_table import error_for
from stemline.errors import Code, NoServerError, StemlineError
from stemline.wire_format import read_fields

_DETAILS_KEY = "grpc-status-details-bin"

_CODE_OF_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE: Code.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED: Code.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED: Code.UNAUTHENTICATED,
    grpc.StatusCode.UNAVAILABLE: Code.SERVER_UNREACHABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.SERVER_UNREACHABLE,
    grpc.StatusCode.UNIMPLEMENTED: Code.SERVER_VERSION,
    # without a reason from Stemline, gRPC itself refused a message for its size
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.INVALID_ARGUMENT,
    grpc.StatusCode.CANCELLED: Code.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class StatusDetails:
    """What a server added to the status code; empty where it added nothing."""

    reason: str = ""
    advice: str = ""
    retry_after_s: float | None = None


def error_of(error: grpc.RpcError) -> StemlineError:
    """Return the error for a failed call. Never raises: details that cannot be read are left out."""
    status = status_of(error)
    details = details_of(error)
    call = _call_of(error)
    message = (call.details() if call else "") or f"The server answered {status.name}."
    if details.reason:
        return error_for(details.reason, message, details.advice)
    code = _CODE_OF_STATUS.get(status, Code.INTERNAL)
    if code is Code.SERVER_UNREACHABLE:
        return NoServerError(f"The server does not answer ({message.rstrip('.')}).", advice="Run `stemline doctor`.")
    return error_for(code, message)


def status_of(error: grpc.RpcError) -> grpc.StatusCode:
    """Return the status code of a failed call."""
    call = _call_of(error)
    return call.code() if call else grpc.StatusCode.UNKNOWN


def details_of(error: grpc.RpcError) -> StatusDetails:
    """Read reason, advice and retry delay from the trailing metadata."""
    call = _call_of(error)
    for key, value in (call.trailing_metadata() if call else None) or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            try:
                return _read_status(value)
            except ValueError:
                break
    return StatusDetails()


def _call_of(error: object) -> grpc.Call | None:
    """Return the failed call: the exception of gRPC is the call, though its type does not say so."""
    return error if isinstance(error, grpc.Call) else None


def _read_status(data: bytes) -> StatusDetails:
    reason, advice, retry_after_s = "", "", None
    for number, packed in read_fields(data):
        if number != 3 or not isinstance(packed, bytes):
            continue
        detail = dict(read_fields(packed))
        type_url, value = detail.get(1, b""), detail.get(2, b"")
        if not isinstance(type_url, bytes) or not isinstance(value, bytes):
            continue
        if type_url.endswith(b"/google.rpc.ErrorInfo"):
            reason, advice = _read_error_info(value)
        elif type_url.endswith(b"/google.rpc.RetryInfo"):
            retry_after_s = _read_retry_info(value)
    return StatusDetails(reason, advice, retry_after_s)


def _read_error_info(data: bytes) -> tuple[str, str]:
    reason, metadata = "", {}
    for number, value in read_fields(data):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            reason = value.decode()
        elif number == 3:
            entry = dict(read_fields(value))
            metadata[entry.get(1, b"")] = entry.get(2, b"")
    advice = metadata.get(b"advice", b"")
    return reason, advice.decode() if isinstance(advice, bytes) else ""


def _read_retry_info(data: bytes) -> float:
    delay = dict(read_fields(data)).get(1, b"")
    parts = dict(read_fields(delay)) if isinstance(delay, bytes) else {}
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    return (seconds + nanos / 1e9) if isinstance(seconds, int) and isinstance(nanos, int) else 0.0
