"""The guard around every call: it checks the token, translates errors, and counts calls."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from stemline.errors import Cancelled, Code, InputError, StemlineError
from stemline_server.operations.logs import begin_call
from stemline_server.seats.access import check_scope, set_caller
from stemline_server.seats.seat_file import OPERATOR, Seat, SeatFile
from stemline_server.services import status
from stemline_server.services.callers import CallLimit, shown_error

_log = logging.getLogger(__name__)
_HEALTH = "/grpc.health.v1.Health/"
_REFUSALS_EVERY_S = 10.0
_MAX_CALLS_OF_AN_ADDRESS = 250  # a quarter of those of the server
_MALFORMED = object()
_BEARER = b"Bearer "
_CERTIFICATE_NAMES = ("x509_common_name", "x509_subject_alternative_name")

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


class CallGuard(grpc.aio.ServerInterceptor):
    """Counts calls, checks their token, and translates what handlers raise.

    This is one interceptor, because the order matters. A caller without the token gets an answer before its message is
    parsed. Health probes need no token, and don't keep an idle server alive, but count among the calls of an address.

    A CancelledError that leaves a handler would make the client wait for its deadline (grpc issue 29248), and the text
    of any other exception would be sent to the client; both are caught here. So is the traceback that gRPC logs for a
    message that can't be parsed.
    """

    def __init__(
        self,
        token: str,
        seats: SeatFile | None = None,
        on_call: Callable[[str, str, str, int], object] = lambda *_: None,
    ) -> None:
        """Admit the operator, who shows `token`, and the seats of a server that has some.

        `on_call` gets the method and the status of each call that ended, its id in the log, and the time in nanoseconds
        when it began.
        """
        self._on_call = on_call
        self._seats = seats
        self._expected = f"Bearer {token}".encode()
        self._active = 0
        self._last_call_s = time.monotonic()
        self._refusals = _RefusalLog()
        self._calls = CallLimit(_MAX_CALLS_OF_AN_ADDRESS)

    def idle_s(self) -> float:
        """Return the seconds since the last call ended; 0 while one is running."""
        return 0.0 if self._active else time.monotonic() - self._last_call_s

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Return the handler of a call with the guard around it."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        probe = method.startswith(_HEALTH)
        sent = _token_of(handler_call_details)
        seat = self._seat_of_token(sent)
        by_certificate = seat is None and not sent and self._seats is not None and self._seats.is_used
        if not probe and seat is None and not by_certificate:
            return self._refusing(handler)

        @asynccontextmanager
        async def around(context: Context) -> AsyncIterator[None]:
            number, start_ns = begin_call(), time.time_ns()
            try:
                async with (
                    _translated(method, context, number),
                    contextlib.nullcontext() if probe else self._counted(),
                ):
                    with self._calls.one(context):
                        if not probe:
                            self._admit(seat or self._seat_of_certificate(context), method, context.peer())
                        yield
            finally:
                self._on_call(method.rpartition("/")[2], _status_name(context.code()), number, start_ns)

        return _wrapped(handler, around)

    def _refusing(self, handler: Handler) -> Handler:
        """Return a handler of the same kind that parses nothing and refuses."""

        async def refuse(_: object, context: Context) -> None:
            self._refusals.log(context.peer())
            await _abort(context, _unauthenticated())

        return _maker(handler)(refuse)

    def _seat_of_token(self, sent: bytes) -> Seat | None:
        if hmac.compare_digest(sent, self._expected):
            return OPERATOR
        if self._seats is None or not sent.startswith(_BEARER):
            return None
        return self._seats.of_token(sent.removeprefix(_BEARER).decode("utf-8", "replace"))

    def _seat_of_certificate(self, context: Context) -> Seat | None:
        """Return the seat of the client certificate that TLS has checked."""
        facts = context.auth_context()
        names = [name for key in _CERTIFICATE_NAMES for name in facts.get(key, ())]
        return self._seats.of_certificate(name.decode("utf-8", "replace") for name in names) if self._seats else None

    def _admit(self, seat: Seat | None, method: str, address: str) -> None:
        if seat is None:
            raise _unauthenticated()
        check_scope(seat, method)
        set_caller(seat, address)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._last_call_s = time.monotonic()


def _token_of(details: grpc.HandlerCallDetails) -> bytes:
    sent = next((value for key, value in details.invocation_metadata or () if key == "authorization"), "")
    return sent.encode() if isinstance(sent, str) else sent


def _unauthenticated() -> StemlineError:
    return StemlineError(
        "The server needs its token.", code=Code.UNAUTHENTICATED, advice="Give the token of its token file."
    )


def _status_name(code: object) -> str:
    return code.name if isinstance(code, grpc.StatusCode) else grpc.StatusCode.OK.name


@asynccontextmanager
async def _translated(method: str, context: Context, number: str) -> AsyncIterator[None]:
    """End the call with the status of what is raised within."""
    try:
        yield
    except StemlineError as error:
        await _abort(context, error)
    except asyncio.CancelledError:
        await _abort(context, Cancelled("The call was cancelled."))
    except grpc.aio.AbortError:
        raise
    except Exception:  # noqa: BLE001 - the outermost point of a call: nothing of it may leak
        _log.exception("error %s in %s", number, method)
        await _abort(
            context,
            StemlineError(
                f"The server failed with an internal error ({number}).",
                advice="Look for this number in server.log.",
            ),
        )


class _RefusalLog:
    """Logs callers without the token, but only now and then, so that they can't rotate the log away."""

    def __init__(self) -> None:
        self._logged_s = -_REFUSALS_EVERY_S
        self._unlogged = 0

    def log(self, peer: str) -> None:
        self._unlogged += 1
        if time.monotonic() - self._logged_s >= _REFUSALS_EVERY_S:
            _log.warning("%d calls without the token were refused, the last from %s", self._unlogged, peer)
            self._logged_s, self._unlogged = time.monotonic(), 0


async def _abort(context: Context, error: StemlineError) -> None:
    error = shown_error(context, error)
    details = ((status.DETAILS_KEY, status.details_of(error)),)
    await context.abort(status.status_code(error), status.message_of(error), trailing_metadata=details)


def _wrapped(handler: Any, around: Callable[[Context], AbstractAsyncContextManager[None]]) -> Handler:
    """Return the same handler with `around` about each call, whether it answers once or in a stream."""
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def once(request: Any, context: Context) -> Any:
        async with around(context):
            return await behaviour(_checked(request), context)

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        async with around(context):
            responses = behaviour(_checked(request), context)
            if inspect.isawaitable(responses):  # a handler that writes to the context, as that of Health.Watch
                await responses
                return
            async for response in responses:
                yield response

    return _maker(handler)(
        stream if handler.response_streaming else once,
        request_deserializer=_never_raising(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _maker(handler: Any) -> Callable[..., Handler]:
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return makers[handler.request_streaming, handler.response_streaming]


def _never_raising(deserializer: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def deserialize(data: bytes) -> object:
        try:
            return deserializer(data)
        except DecodeError:
            return _MALFORMED

    return deserialize


def _checked(request: Any) -> Any:
    """Return the request, or the iterator of its messages. Raises InputError for what can't be parsed."""
    if hasattr(request, "__aiter__"):
        return _checked_stream(request)
    if request is _MALFORMED:
        raise InputError("The request can't be parsed.", advice="Use the messages of stemline.v1.")
    return request


async def _checked_stream(messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for message in messages:
        yield _checked(message)
