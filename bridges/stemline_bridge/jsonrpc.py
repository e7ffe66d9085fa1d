"""JSON-RPC 2.0 over two byte streams, one message a line; either side calls the other (`docs/host-protocol.md`).

`Connection` holds what both ends share: the threads, the framing, the checks of messages, ids, cancellation and
heartbeat. `peers.py` adds where calls are answered: in a host's own loop, or on threads.
"""

from __future__ import annotations

import abc
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .lines import MAX_LINE_BYTES, ByteStream, TooLong, dump, load, read_lines, write_line

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
STEMLINE_ERROR = -32000
_LOG = logging.getLogger(__name__)


class HostError(Exception):
    """A failure to report to the other side: a sentence, a stable code of `docs/errors.md`, and what to do."""

    def __init__(self, message: str, code: str, advice: str = "") -> None:
        """Make an error with a code of `docs/errors.md`."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.advice = advice


class RemoteError(Exception):
    """The other side answered a call with an error. Its text is the sentence and the advice."""

    def __init__(self, error: object) -> None:
        """Read the `error` of an answer, whatever its form."""
        given = error if isinstance(error, dict) else {}
        data = given.get("data")
        data = data if isinstance(data, dict) else {}
        self.message = str(given.get("message", "The other side failed and did not say why."))
        self.code = str(data.get("code", ""))
        self.advice = str(data.get("advice", ""))
        super().__init__(f"{self.message} {self.advice}".rstrip())


class ConnectionClosed(Exception):
    """The conversation is over."""


class CallCancelled(Exception):
    """The caller gave a call up before its answer."""


class Limits(NamedTuple):
    """Limits of one end.

    `silence_s` without one line, while no call of this end is open, ends the conversation; None never does.
    `open_calls` is how many slow calls are answered at once.
    """

    line_bytes: int = MAX_LINE_BYTES
    heartbeat_s: float = 5.0
    silence_s: float | None = None
    open_calls: int = 32


class Call:
    """A call to the other side."""

    def __init__(self, number: int, on_answer: Callable[[Call], None] | None = None) -> None:
        """Make an open call. `on_answer` gets it once it is settled."""
        self.number = number
        self._done = threading.Event()
        self._on_answer = on_answer
        self._result: Any = None
        self._error: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether it is answered or never can be."""
        return self._done.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is done, at most `timeout_s`. Returns `done`."""
        return self._done.wait(timeout_s)

    def result(self) -> Any:
        """Return the answer. Raises RemoteError, HostError or ConnectionClosed."""
        if self._error is not None:
            raise self._error
        return self._result

    def settle(self, result: Any, error: Exception | None) -> None:
        """Set the outcome and call `on_answer`."""
        self._result, self._error = result, error
        self._done.set()
        if self._on_answer is not None:
            self._on_answer(self)


class Connection(abc.ABC):
    """One end of the conversation. `closed` is set once it is over, and `reason` says why."""

    def __init__(self, incoming: ByteStream, outgoing: ByteStream, limits: Limits | None = None) -> None:
        """Prepare the conversation over two streams. `start` begins it."""
        self.closed = threading.Event()
        self.reason = ""
        self._incoming, self._outgoing = incoming, outgoing
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._calls: dict[int, Call] = {}
        self._incoming_calls: dict[Any, threading.Event] = {}  # the event is set when the caller gave it up
        self._last_id = 0
        self._heard = True
        self._silent_s = 0.0
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        work = {"reader": self._read, "writer": self._write, "watch": self._keep_alive}
        self._threads = [
            threading.Thread(target=target, name=f"stemline-host-{name}", daemon=True) for name, target in work.items()
        ]

    @property
    def silent_s(self) -> float:
        """Seconds since the other side was last heard, in steps of a heartbeat; time asleep does not count."""
        return self._silent_s

    def start(self) -> None:
        """Start reading, writing and the heartbeat."""
        for thread in self._threads:
            thread.start()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Send what is queued, end the output and wait for the other side to end its own.

        Returns:
            Whether all threads ended in time.
        """
        self._finish("closed here")
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def notify(self, method: str, params: object) -> None:
        """Send a notification. Raises HostError when it is too long."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    # -- for the two kinds of peers ------------------------------------------------------------------------------------

    @abc.abstractmethod
    def _called(self, call_id: int | str | None, method: str, params: dict[str, Any]) -> None:
        """Answer a call of the other side, or handle a notification (`call_id` None). Runs on the reading thread."""

    @abc.abstractmethod
    def _settled(self, call: Call, result: Any, error: Exception | None) -> None:
        """Take an answer. Runs on the reading thread."""

    @abc.abstractmethod
    def _ended(self) -> None:
        """Fail what is open: the conversation is over."""

    def _error_of(self, failure: Exception) -> HostError:
        """Return what to tell the other side about an exception of a handler."""
        return HostError(f"{type(failure).__name__}: {failure}", "INTERNAL")

    def _begin(self, method: str, params: object, on_answer: Callable[[Call], None] | None = None) -> Call:
        """Send a call. One that is too long is settled with a HostError."""
        with self._lock:
            self._last_id += 1
            call = self._calls[self._last_id] = Call(self._last_id, on_answer)
        try:
            self._send({"jsonrpc": "2.0", "id": call.number, "method": method, "params": params})
        except HostError as error:
            self._forget(call)
            self._settled(call, None, error)
        return call

    def _give_up(self, call: Call) -> None:
        """Tell the other side that the answer is no longer wanted."""
        self._forget(call)
        self.notify("cancel_request", {"id": call.number})

    def _forget(self, call: Call) -> None:
        with self._lock:
            self._calls.pop(call.number, None)

    def _open_calls(self) -> list[Call]:
        """Take all calls that have no answer yet."""
        with self._lock:
            calls, self._calls = self._calls, {}
        return list(calls.values())

    def _reply(self, call_id: int | str, result: Any) -> None:
        """Answer a call. A result that cannot be sent is answered with an error instead."""
        try:
            self._send({"jsonrpc": "2.0", "id": call_id, "result": result})
        except Exception as failure:  # noqa: BLE001 - the caller must not wait for an answer that never comes
            self._fail(call_id, failure)
        self._incoming_calls.pop(call_id, None)

    def _fail(self, call_id: int | str | None, failure: Exception) -> None:
        """Answer a call with the exception of its handler."""
        error = failure if isinstance(failure, HostError) else self._error_of(failure)
        number = {"HOST_PROTOCOL": INVALID_PARAMS, "INTERNAL": INTERNAL_ERROR}.get(error.code, STEMLINE_ERROR)
        self._refuse(call_id, number, error)

    def _refuse(self, call_id: object, number: int, error: HostError) -> None:
        data = {"code": str(error.code), "advice": error.advice}
        self._incoming_calls.pop(call_id, None)
        self._send({"jsonrpc": "2.0", "id": call_id, "error": {"code": number, "message": error.message, "data": data}})

    def _send(self, message: dict[str, Any]) -> None:
        line = dump(message)
        if len(line) >= self._limits.line_bytes and "error" not in message:  # LF included: older receivers count it
            raise HostError(
                f"A message of {len(line)} bytes is longer than {self._limits.line_bytes} and was not sent.",
                "HOST_PROTOCOL",
                "Choose fewer clips.",
            )
        self._outbox.put(line)

    # -- threads -------------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        reason = "closed here"
        try:
            line = self._outbox.get()
            while line is not None:
                write_line(self._outgoing, line)
                line = self._outbox.get()
        except (OSError, ValueError) as error:  # ValueError: the stream was closed by somebody else
            reason = f"cannot write: {error}"
        self._finish(reason)
        try:
            self._outgoing.close()
        except OSError:
            return

    def _read(self) -> None:
        reason = "a fault in the reader"
        try:
            for line in read_lines(self._incoming, self._limits.line_bytes):
                self._heard = True
                self._silent_s = 0.0
                if isinstance(line, TooLong):
                    self._pass_over(line)
                elif line.strip():
                    self._receive(line)
            reason = "end of its output"
        except (OSError, ValueError) as error:
            reason = f"cannot read: {error}"
        finally:
            self._finish(reason)

    def _keep_alive(self) -> None:
        """Send heartbeats and count the silence in their ticks: a computer that slept was not silent."""
        tick_s, limit_s = self._limits.heartbeat_s, self._limits.silence_s
        idle_s = 0.0
        while not self.closed.wait(tick_s):
            self.notify("heartbeat", {})
            if not self._heard:
                self._silent_s += tick_s
            idle_s = 0.0 if self._heard or self._calls else idle_s + tick_s  # an open call has a time limit of its own
            self._heard = False
            if limit_s is not None and idle_s >= limit_s:
                self._finish(f"silent for {idle_s:g} s")

    def _finish(self, reason: str) -> None:
        with self._lock:
            if self.closed.is_set():
                return
            self.reason = reason
            self.closed.set()
        self._ended()
        self._outbox.put(None)

    # -- arriving messages ---------------------------------------------------------------------------------------------

    def _pass_over(self, line: TooLong) -> None:
        """Fail the call that a dropped line belongs to at once."""
        error = HostError(
            f"A message is longer than {self._limits.line_bytes} bytes and was not read.", "HOST_PROTOCOL"
        )
        if line.is_call or line.call_id is None:
            _LOG.warning("%s", error)
            self._refuse(line.call_id, INVALID_REQUEST, error)
        else:
            self._answered({"id": line.call_id, "error": {"code": INVALID_REQUEST, "message": error.message}})

    def _receive(self, line: bytes) -> None:
        try:
            message = load(line)
        except ValueError:
            self._refuse(None, PARSE_ERROR, HostError("A line is not JSON.", "HOST_PROTOCOL"))
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._refuse(None, INVALID_REQUEST, HostError("A line is not a JSON-RPC 2.0 message.", "HOST_PROTOCOL"))
        elif "method" in message:
            self._sort(message)
        else:
            self._answered(message)

    def _sort(self, message: dict[str, Any]) -> None:
        """Check a call or notification and pass it on."""
        method, call_id, params = message["method"], message.get("id"), message.get("params", {})
        if "id" in message and type(call_id) not in (int, str):
            self._refuse(None, INVALID_REQUEST, HostError("An id must be a whole number or text.", "HOST_PROTOCOL"))
        elif not isinstance(params, dict):
            error = HostError(f"The params of {method} must be an object.", "HOST_PROTOCOL")
            self._refuse(call_id, INVALID_PARAMS, error)
        elif not isinstance(method, str):
            self._no_method(call_id, method)
        else:
            if call_id is not None:
                self._incoming_calls[call_id] = threading.Event()
            elif method == "cancel_request" and isinstance(params.get("id"), (int, str)):
                given_up = self._incoming_calls.get(params["id"])
                if given_up is not None:
                    given_up.set()  # now, ahead of a call that still waits in a queue
            self._called(call_id, method, params)

    def _no_method(self, call_id: int | str | None, method: object) -> None:
        """Refuse a call of an unknown method. An unknown notification is one of a newer version and is ignored."""
        if call_id is not None:
            self._refuse(call_id, METHOD_NOT_FOUND, HostError(f"There is no method {method!r}.", "HOST_UNSUPPORTED"))

    def _answered(self, message: dict[str, Any]) -> None:
        call_id = message.get("id")
        with self._lock:
            call = self._calls.pop(call_id, None) if type(call_id) is int else None
        if call is not None:
            error = RemoteError(message["error"]) if "error" in message else None
            self._settled(call, message.get("result"), error)
        elif "error" in message and call_id is None:
            _LOG.warning("The other side refused a line: %s", message["error"])
