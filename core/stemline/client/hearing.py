"""Ask the server what is heard in a media, and who speaks when."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import grpc

from stemline.client.link import Link, Stubs
from stemline.client.values import HeardSounds, Voice, heard_of, turns_of
from stemline.errors import Cancelled, StemlineError
from stemline.v1 import suggest_pb2

_Request = TypeVar("_Request", suggest_pb2.SuggestSoundsRequest, suggest_pb2.FindTurnsRequest)
_Response = TypeVar("_Response", suggest_pb2.SuggestSoundsResponse, suggest_pb2.FindTurnsResponse)
Progress = Callable[[float], None] | None
Asked = Callable[[], bool] | None


def hear(link: Link, request: suggest_pb2.SuggestSoundsRequest, progress: Progress, cancelled: Asked) -> HeardSounds:
    """Return the sounds of a media. Raises StemlineError."""
    return heard_of(_last(link, lambda stubs: stubs.suggest.SuggestSounds, request, progress, cancelled).result)


def find_turns(
    link: Link, request: suggest_pb2.FindTurnsRequest, progress: Progress, cancelled: Asked
) -> tuple[Voice, ...]:
    """Return the turns of voices. Raises StemlineError."""
    return turns_of(_last(link, lambda stubs: stubs.suggest.FindTurns, request, progress, cancelled).result)


def _last(
    link: Link,
    method: Callable[[Stubs], grpc.UnaryStreamMultiCallable[_Request, _Response]],
    request: _Request,
    progress: Progress,
    cancelled: Asked,
) -> _Response:
    """Return the message with the result. A lost connection asks again: the server stores nothing."""
    attempt = 0
    while True:
        stubs = link.stubs
        stream = method(stubs)(request, metadata=stubs.endpoint.metadata)
        try:
            for response in stream:
                if response.HasField("result"):
                    return response
                attempt = 0
                if progress is not None:
                    progress(response.fraction)
                if cancelled is not None and cancelled():
                    raise Cancelled
        except grpc.RpcError as error:
            attempt += 1
            link.recover(error, attempt, stubs)
        else:
            raise StemlineError("The server ended the call without a result.", advice="Run it again.")
        finally:
            stream.cancel()
