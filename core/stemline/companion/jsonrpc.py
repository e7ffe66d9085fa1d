"""The companion's end of the conversation: the kit's peer, with Stemline's errors on both sides of a call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from stemline.errors import Cancelled, Code, HostError, StemlineError
from stemline_bridge import jsonrpc
from stemline_bridge.jsonrpc import CallCancelled, ConnectionClosed, Limits, RemoteError
from stemline_bridge.lines import ByteStream
from stemline_bridge.peers import RpcMethod, ThreadedPeer

SILENCE_S = 600.0
"""A host that says nothing for so long, while none of its calls is open, counts as gone."""
_log = logging.getLogger(__name__)

Params = Mapping[str, Any]


class Unanswered(HostError):
    """A call was sent and got no answer: whether the other side did it is not known."""


class CompanionPeer(ThreadedPeer):
    """A `ThreadedPeer` that raises StemlineErrors, and answers with them."""

    def __init__(
        self, incoming: ByteStream, outgoing: ByteStream, methods: Mapping[str, RpcMethod], limits: Limits | None = None
    ) -> None:
        """Prepare the conversation; without `limits`, a host may be silent for `SILENCE_S`."""
        super().__init__(incoming, outgoing, methods, limits or Limits(silence_s=SILENCE_S))

    def call(self, method: str, params: object, timeout_s: float, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """Call the host and wait for its answer.

        Raises:
            Cancelled: `cancelled` returned True, or the user stopped it in the host.
            HostError: The host refused (its code), or was gone before the call.
            Unanswered: The host did not answer in time (HOST_TIMEOUT) or went away (HOST_GONE).
        """
        if self.closed.is_set():
            raise self._gone(HostError)
        try:
            return super().call(method, params, timeout_s, cancelled)
        except CallCancelled:
            raise Cancelled from None
        except TimeoutError as error:
            advice = "See whether it is busy or shows a dialog, then try again."
            raise Unanswered(str(error), code=Code.HOST_TIMEOUT, advice=advice) from None
        except ConnectionClosed:
            raise self._gone(Unanswered) from None
        except (RemoteError, jsonrpc.HostError) as error:
            _raise_as_ours(error)

    def notify(self, method: str, params: object) -> None:
        """Send a notification. Raises HostError when it is too long."""
        try:
            super().notify(method, params)
        except jsonrpc.HostError as error:
            _raise_as_ours(error)

    def _gone(self, kind: type[HostError]) -> HostError:
        return kind(f"The host went away ({self.reason}).", code=Code.HOST_GONE)

    def _error_of(self, failure: Exception) -> jsonrpc.HostError:
        if isinstance(failure, StemlineError):
            return jsonrpc.HostError(failure.message, failure.code, failure.advice)
        _log.error("a call from the other side failed", exc_info=failure)
        return jsonrpc.HostError("Stemline failed with an internal error; see its log.", Code.INTERNAL)


def _raise_as_ours(error: RemoteError | jsonrpc.HostError) -> NoReturn:
    """Raise a StemlineError with the sentence, the code where it is a known one, and the advice."""
    try:
        code = Code(error.code)
    except ValueError:
        code = Code.HOST_PROTOCOL
    if code is Code.CANCELLED:
        raise Cancelled(error.message) from None
    raise HostError(error.message, code=code, advice=error.advice) from None
