"""Around every call: the token is checked, errors get their status, and the server knows that it is in use."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from stemline.errors import Cancelled, Code, StemlineError
from stemline_server.services import status

_log = logging.getLogger(__name__)
_HEALTH = "/grpc.health.v1.Health/"

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


class CallGuard(grpc.aio.ServerInterceptor):
    """One interceptor, because the order matters: count the call, check the token, run it, translate what it raises.

    Health probes need no token, and keep no idle server alive.

    A CancelledError that leaves a handler would keep the client waiting for its deadline (grpc issue 29248), and the
    text of any other exception would be sent to the client as it is; both are caught here.
    """

    def __init__(self, token: str) -> None:
        self._expected = f"Bearer {token}".encode()
        self._active = 0
        self._last_call_s = time.monotonic()

    def idle_s(self) -> float:
        """Seconds since the last call ended; 0 while one is running."""
        return 0.0 if self._active else time.monotonic() - self._last_call_s

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        probe = method.startswith(_HEALTH)
        admitted = probe or self._has_token(handler_call_details)

        @asynccontextmanager
        async def around(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
            async with _translated(method, context), contextlib.nullcontext() if probe else self._counted():
                if not admitted:
                    raise StemlineError(
                        "The server wants its token.",
                        code=Code.UNAUTHENTICATED,
                        advice="Give the token of its token file.",
                    )
                yield

        return _wrapped(handler, around)

    def _has_token(self, details: grpc.HandlerCallDetails) -> bool:
        sent = next((value for key, value in details.invocation_metadata or () if key == "authorization"), "")
        return hmac.compare_digest(sent.encode() if isinstance(sent, str) else sent, self._expected)

    @asynccontextmanager
    async def _counted(self) -> AsyncIterator[None]:
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1
            self._last_call_s = time.monotonic()


@asynccontextmanager
async def _translated(method: str, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
    """Ends the call with the status of whatever is raised within."""
    try:
        yield
    except StemlineError as error:
        await _abort(context, error)
    except asyncio.CancelledError:
        await _abort(context, Cancelled("The call was cancelled."))
    except grpc.aio.AbortError:
        raise
    except Exception:  # noqa: BLE001 - the outermost point of a call: nothing of it may leak
        number = secrets.token_hex(4)
        _log.exception("error %s in %s", number, method)
        await _abort(
            context,
            StemlineError(
                f"The server failed in a way that was not foreseen (error {number}).",
                advice="Look for that number in server.log.",
            ),
        )


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: StemlineError) -> None:
    details = ((status.DETAILS_KEY, status.details_of(error)),)
    await context.abort(status.status_code(error), status.message_of(error), trailing_metadata=details)


def _wrapped(
    handler: Any, around: Callable[[grpc.aio.ServicerContext[Any, Any]], AbstractAsyncContextManager[None]]
) -> Handler:
    """The same handler with `around` about each call, whether it answers once or in a stream."""
    behaviour = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream

    async def once(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        async with around(context):
            return await behaviour(request, context)

    async def stream(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        async with around(context):
            async for response in behaviour(request, context):
                yield response

    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    make = makers[handler.request_streaming, handler.response_streaming]
    return make(
        stream if handler.response_streaming else once,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
