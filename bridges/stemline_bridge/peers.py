"""The two kinds of peers: one answers in a loop that its program calls, the other on threads of its own."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from .jsonrpc import STEMLINE_ERROR, Call, CallCancelled, Connection, ConnectionClosed, HostError, Limits
from .lines import ByteStream

__all__ = ["Deferred", "HostPeer", "RpcMethod", "ThreadedPeer"]
_POLL_S = 0.1
_LOG = logging.getLogger(__name__)
_CLOSED = "Stemline's companion ended."


class Deferred:
    """The return value of a handler whose answer takes longer than the host may stand still.

    Settle it on the pump's thread. Begin nothing once `given_up` says that the caller no longer waits.
    """

    def __init__(self) -> None:
        """Make an answer that is not settled."""
        self.settle: Callable[[Any, Exception | None], None] = lambda result, error: None
        self.given_up: Callable[[], bool] = lambda: False


class HostPeer(Connection):
    """The host's end: answers, callbacks and notifications wait for `pump`.

    The host calls `pump` on the thread that may touch its document. `handlers` answer calls and notifications by
    name; unknown notifications are dropped. It reads and writes from the moment it is made.
    """

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        handlers: Mapping[str, Callable[[dict[str, Any]], Any]],
        limits: Limits | None = None,
    ) -> None:
        """Begin the conversation over two streams."""
        super().__init__(incoming, outgoing, limits)
        self._handlers = dict(handlers)
        self._inbox: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._answering = threading.Event()
        self.start()

    def ask(self, method: str, params: dict[str, Any], on_answer: Callable[[Call], None] | None = None) -> Call:
        """Call the other side; `on_answer` runs in `pump`."""
        return self._begin(method, params, on_answer)

    def call(self, method: str, params: dict[str, Any], timeout_s: float) -> Any:
        """Call the other side and pump until the answer is there.

        Raises:
            RemoteError: The other side refused.
            HostError: The call is too long.
            ConnectionClosed: The conversation is over.
            TimeoutError: There was no answer in time; the other side is told so.
        """
        call = self.ask(method, params)
        deadline = time.monotonic() + timeout_s
        while not call.done:
            if time.monotonic() > deadline:
                self._give_up(call)
                raise TimeoutError(f"Stemline did not answer {method} within {timeout_s:g} s.")
            self.pump(0.05)
        return call.result()

    def given_up(self) -> bool:
        """Return whether the caller of the call that is being answered no longer waits. For handlers at long work."""
        return self.closed.is_set() or self._answering.is_set()

    def pump(self, timeout_s: float = 0.0) -> None:
        """Handle everything that has arrived, waiting up to `timeout_s` for the first message.

        Raises:
            ConnectionClosed: Nothing more can come. Every open call has failed by then.
        """
        wait_s = timeout_s
        while True:
            try:
                step = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            if step is None:
                self._inbox.put(None)
                for call in self._open_calls():
                    call.settle(None, ConnectionClosed(_CLOSED))
                raise ConnectionClosed(_CLOSED)
            step()

    def _called(self, call_id: int | str | None, method: str, params: dict[str, Any]) -> None:
        if call_id is not None:
            self._inbox.put(partial(self._answer, call_id, method, params))
        elif method in self._handlers:
            self._inbox.put(partial(self._handlers[method], params))

    def _settled(self, call: Call, result: Any, error: Exception | None) -> None:
        self._inbox.put(partial(call.settle, result, error))

    def _ended(self) -> None:
        self._inbox.put(None)

    def _answer(self, call_id: int | str, method: str, params: dict[str, Any]) -> None:
        given_up, outer = self._incoming_calls.setdefault(call_id, threading.Event()), self._answering
        handler = self._handlers.get(method)
        if given_up.is_set():
            self._fail(call_id, HostError("The call was given up before it began.", "CANCELLED"))
            return
        if handler is None:
            self._no_method(call_id, method)
            return
        self._answering = given_up
        try:
            result = handler(params)
        except Exception as failure:  # noqa: BLE001 - the other side is told whatever the host raises
            if not isinstance(failure, HostError):
                _LOG.exception("%s failed", method)
            self._fail(call_id, failure)
        else:
            if isinstance(result, Deferred):
                result.settle = partial(self._settle, call_id)
                result.given_up = lambda: self.closed.is_set() or given_up.is_set()
            else:
                self._reply(call_id, result)
        finally:
            self._answering = outer

    def _settle(self, call_id: int | str, result: Any, error: Exception | None) -> None:
        if error is None:
            self._reply(call_id, result)
        else:
            self._fail(call_id, error)


class RpcMethod(NamedTuple):
    """What answers a call on a `ThreadedPeer`.

    `quick` ones run in order on the reading thread and must neither wait nor call back. The answer of a `last` one
    ends the conversation.
    """

    handler: Callable[[Mapping[str, Any]], object]
    quick: bool = False
    last: bool = False


class ThreadedPeer(Connection):
    """An end that answers by itself: quick methods on its reading thread, others each on a thread of their own.

    Call `start` to begin. `call` may be used from any thread but the reading one.
    """

    def __init__(
        self,
        incoming: ByteStream,
        outgoing: ByteStream,
        methods: Mapping[str, RpcMethod],
        limits: Limits | None = None,
    ) -> None:
        """Prepare the conversation over two streams. `start` begins it."""
        super().__init__(incoming, outgoing, limits)
        self._methods = dict(methods)
        self._slots = threading.BoundedSemaphore(self._limits.open_calls)

    def call(self, method: str, params: object, timeout_s: float, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """Call the other side and wait for its answer.

        Raises:
            RemoteError: The other side refused.
            HostError: The call is too long.
            ConnectionClosed: The conversation is over.
            CallCancelled: `cancelled` returned True; the other side is told so.
            TimeoutError: There was no answer in time; the other side is told so.
        """
        if threading.current_thread() is self._threads[0]:
            raise RuntimeError(f"{method} called on the reading thread would wait for itself")
        call = self._begin(method, params)
        if self.closed.is_set():
            self._fail_open_calls()
        deadline = time.monotonic() + timeout_s
        while not call.done:
            if cancelled():
                self._give_up(call)
                raise CallCancelled(method)
            if time.monotonic() >= deadline:
                self._give_up(call)
                raise TimeoutError(f"The host did not answer {method} within {timeout_s:g} s.")
            call.wait(_POLL_S)
        return call.result()

    def _called(self, call_id: int | str | None, method: str, params: dict[str, Any]) -> None:
        answering = self._methods.get(method)
        if answering is None:
            self._no_method(call_id, method)
        elif answering.quick:
            self._answer(answering, call_id, params)
        elif not self._slots.acquire(blocking=False):
            self._refuse(call_id, STEMLINE_ERROR, HostError("Too many calls are open at once.", "QUEUE_FULL"))
        else:
            arguments = (answering, call_id, params)
            threading.Thread(target=self._answer_slow, args=arguments, name=f"stemline-{method}", daemon=True).start()

    def _settled(self, call: Call, result: Any, error: Exception | None) -> None:
        call.settle(result, error)

    def _ended(self) -> None:
        self._fail_open_calls()

    def _fail_open_calls(self) -> None:
        for call in self._open_calls():
            call.settle(None, ConnectionClosed(self.reason))

    def _answer_slow(self, method: RpcMethod, call_id: int | str | None, params: dict[str, Any]) -> None:
        try:
            self._answer(method, call_id, params)
        finally:
            self._slots.release()

    def _answer(self, method: RpcMethod, call_id: int | str | None, params: dict[str, Any]) -> None:
        try:
            result = method.handler(params)
        except Exception as failure:  # noqa: BLE001 - the outermost loop of a worker: the next call is served
            self._fail(call_id, failure)
        else:
            if call_id is not None:
                self._reply(call_id, result)
        if method.last:
            self._finish("asked to end")
