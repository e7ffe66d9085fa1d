"""Ask the server what is heard in a media."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from stemline.client.link import Link
from stemline.client.values import HeardSounds, heard_of
from stemline.errors import Cancelled, StemlineError
from stemline.v1 import suggest_pb2


def hear(
    link: Link,
    request: suggest_pb2.SuggestSoundsRequest,
    progress: Callable[[float], None] | None,
    cancelled: Callable[[], bool] | None,
) -> HeardSounds:
    """Return the result of the call. A lost connection asks again: the server stores nothing. Raises StemlineError."""
    attempt = 0
    while True:
        stubs = link.stubs
        stream = stubs.suggest.SuggestSounds(request, metadata=stubs.endpoint.metadata)
        try:
            for response in stream:
                if response.HasField("result"):
                    return heard_of(response.result)
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
