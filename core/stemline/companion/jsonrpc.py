"""JSON-RPC 2.0 between two programs, one message a line over two byte streams; either side calls the other.

`docs/host-protocol.md` is the contract. The end of the input ends the conversation: calls that wait fail at once.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from stemline.companion.lines import MAX_LINE_BYTES, ByteStream, TooLong, dump, load, read_lines, write_line
from stemline.errors import Cancelled, Code, HostError, StemlineError

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL_ERROR = -32700, -32600, -32601, -32602, -32603
STEMLINE_ERROR = -32000
_POLL_S = 0.1
_log = logging.getLogger(__name__)

Params = Mapping[str, Any]


class Unanswered(HostError):
    """A call that was sent and got no answer: what the other side did of it is not known."""


@dataclass(frozen=True, slots=True)
class Method:
    """What answers a call. `quick` ones run in order on the reading thread and must neither wait nor call back.

    The answer of a `last` one ends the conversation.
    """

    handler: Callable[[Params], object]
    quick: bool = False
    last: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """`silence_s` without one line (while no call of ours waits, which has its own time limit) counts as gone."""

    line_bytes: int = MAX_LINE_BYTES
    heartbeat_s: float = 5.0
    silence_s: float = 600.0
    open_calls: int = 32


class Peer:
    """One end of the conversation. `closed` is set once it is over, for whatever `reason`."""

    def __init__(
        self, incoming: ByteStream, outgoing: ByteStream, methods: Mapping[str, Method], limits: Limits | None = None
    ) -> None:
        self.closed = threading.Event()
        self.reason = ""
        self._incoming, self._outgoing = incoming, outgoing
        self._methods = dict(methods)
        self._limits = limits or Limits()
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Any]] = {}
        self._last_id = 0
        self._slots = threading.BoundedSemaphore(self._limits.open_calls)
        self._heard = True
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="stemline-host-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="stemline-host-writer", daemon=True)
        self._watch = threading.Thread(target=self._keep_alive, name="stemline-host-watch", daemon=True)

    def start(self) -> None:
        for thread in (self._reader, self._writer, self._watch):
            thread.start()

    def close(self, timeout_s: float = 2.0) -> bool:
        """Sends what is queued, ends our output, waits for the other side to end its own. True if all threads ended."""
        self._finish("closed here")
        deadline = time.monotonic() + timeout_s
        for thread in (self._writer, self._reader, self._watch):
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not (self._writer.is_alive() or self._reader.is_alive() or self._watch.is_alive())

    def call(self, method: str, params: object, timeout_s: float, cancelled: Callable[[], bool] = lambda: False) -> Any:
        """The other side's result. Raises Cancelled, HostError with its code, Unanswered (HOST_TIMEOUT, HOST_GONE)."""
        if threading.current_thread() is self._reader:
            raise RuntimeError(f"{method} called on the reading thread would wait for itself")
        call_id, answer = self._expect()
        try:
            self._send({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})
            deadline = time.monotonic() + timeout_s
            while not answer.done():
                if cancelled():
                    raise self._given_up(call_id, Cancelled())
                if time.monotonic() >= deadline:
                    raise self._given_up(call_id, _late(method, timeout_s))
                wait([answer], timeout=_POLL_S)
            return answer.result()
        finally:
            with self._lock:
                self._waiting.pop(call_id, None)

    def notify(self, method: str, params: object) -> None:
        """Tells the other side; whether it listens is its own affair."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    # -- calling out ---------------------------------------------------------------------------------------------------

    def _expect(self) -> tuple[int, Future[Any]]:
        with self._lock:
            if self.closed.is_set():
                raise self._gone()
            self._last_id += 1
            answer: Future[Any] = Future()
            self._waiting[self._last_id] = answer
            return self._last_id, answer

    def _given_up(self, call_id: int, error: StemlineError) -> StemlineError:
        self.notify("cancel_request", {"id": call_id})
        return error

    def _gone(self) -> HostError:
        return HostError(f"The host went away ({self.reason}).", code=Code.HOST_GONE)

    def _send(self, message: Mapping[str, object]) -> None:
        line = dump(message)
        if len(line) > self._limits.line_bytes:
            raise HostError(f"A message of {len(line)} bytes is longer than {self._limits.line_bytes}.")
        self._outbox.put(line)

    # -- the three threads ---------------------------------------------------------------------------------------------

    def _write(self) -> None:
        reason = "closed here"
        try:
            while (line := self._outbox.get()) is not None:
                write_line(self._outgoing, line)
        except (OSError, ValueError) as error:  # ValueError: somebody closed the stream under us
            reason = f"cannot write: {error}"
        self._finish(reason)
        try:
            self._outgoing.close()
        except OSError:
            return

    def _read(self) -> None:
        reason = "end of its output"
        try:
            for line in read_lines(self._incoming, self._limits.line_bytes):
                self._heard = True
                if isinstance(line, TooLong):
                    self._pass_over(line)
                elif line.strip():
                    self._receive(line)
        except (OSError, ValueError) as error:
            reason = f"cannot read: {error}"
        self._finish(reason)

    def _keep_alive(self) -> None:
        silent_s = 0.0  # counted in ticks of our own, not by a clock: a machine that slept has not been silent
        while not self.closed.wait(self._limits.heartbeat_s):
            self.notify("heartbeat", {})
            busy = self._heard or bool(self._waiting)
            silent_s = 0.0 if busy else silent_s + self._limits.heartbeat_s
            self._heard = False
            if silent_s >= self._limits.silence_s:
                self._finish(f"silent for {silent_s:g} s")

    def _finish(self, reason: str) -> None:
        with self._lock:
            if self.closed.is_set():
                return
            self.reason = reason
            self.closed.set()
            waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            answer.set_exception(Unanswered(self._gone().message, code=Code.HOST_GONE))
        self._outbox.put(None)

    # -- what arrives --------------------------------------------------------------------------------------------------

    def _pass_over(self, line: TooLong) -> None:
        """Whoever waits for the answer to a line that was dropped is told so at once."""
        words = f"A message is longer than {self._limits.line_bytes} bytes and was not read."
        if line.is_call or line.call_id is None:
            _log.warning("%s", words)
            self._refuse(line.call_id, INVALID_REQUEST, words)
        else:
            self._answered({"id": line.call_id, "error": {"code": INVALID_REQUEST, "message": words}})

    def _receive(self, line: bytes) -> None:
        try:
            message = load(line)
        except ValueError:
            self._refuse(None, PARSE_ERROR, "A line is not JSON.")
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self._refuse(None, INVALID_REQUEST, "A line is no JSON-RPC 2.0 message.")
        elif "method" in message:
            self._called(message)
        else:
            self._answered(message)

    def _answered(self, message: Params) -> None:
        with self._lock:
            call_id = message.get("id")
            answer = self._waiting.pop(call_id, None) if type(call_id) is int else None
        if answer is None:  # too late, or an error without an id: nobody waits for it
            if "error" in message and message.get("id") is None:
                _log.warning("the other side refused a line of ours: %s", message["error"])
            return
        if "error" in message:
            answer.set_exception(_error_of(message["error"]))
        else:
            answer.set_result(message.get("result"))

    def _called(self, message: Params) -> None:
        name, call_id, params = message["method"], message.get("id"), message.get("params", {})
        method = self._methods.get(name) if isinstance(name, str) else None
        if "id" in message and type(call_id) not in (int, str):
            self._refuse(None, INVALID_REQUEST, "An id must be a whole number or text.")
        elif not isinstance(params, dict):
            self._refuse(call_id, INVALID_PARAMS, f"The params of {name} must be an object.")
        elif method is None:
            if call_id is not None:  # a notification nobody knows is one of a newer version: ignored
                self._refuse(call_id, METHOD_NOT_FOUND, f"There is no method {name!r}.", Code.HOST_UNSUPPORTED)
        elif method.quick:
            self._answer(method, call_id, params)
        elif not self._slots.acquire(blocking=False):
            self._refuse(call_id, STEMLINE_ERROR, "Too many calls are open at once.", Code.QUEUE_FULL)
        else:
            arguments = (method, call_id, params)
            threading.Thread(target=self._answer_slow, args=arguments, name=f"stemline-{name}", daemon=True).start()

    def _answer_slow(self, method: Method, call_id: object, params: Params) -> None:
        try:
            self._answer(method, call_id, params)
        finally:
            self._slots.release()

    def _answer(self, method: Method, call_id: object, params: Params) -> None:
        try:
            result = method.handler(params)
            if call_id is not None:
                self._send({"jsonrpc": "2.0", "id": call_id, "result": result})
        except StemlineError as error:
            number = INVALID_PARAMS if error.code is Code.HOST_PROTOCOL else STEMLINE_ERROR
            self._refuse(call_id, number, error.message, error.code, error.advice)
        except Exception:  # noqa: BLE001 - the outermost loop of a worker: the fault is told, the next call served
            _log.exception("a call from the other side failed")
            self._refuse(call_id, INTERNAL_ERROR, "Stemline failed inside; its log says where.", Code.INTERNAL)
        if method.last:
            self._finish("asked to end")

    def _refuse(
        self, call_id: object, number: int, message: str, code: Code = Code.HOST_PROTOCOL, advice: str = ""
    ) -> None:
        error = {"code": number, "message": message, "data": {"code": code, "advice": advice}}
        self._send({"jsonrpc": "2.0", "id": call_id, "error": error})


def _late(method: str, timeout_s: float) -> Unanswered:
    return Unanswered(
        f"The host did not answer {method} within {timeout_s:g} s.",
        code=Code.HOST_TIMEOUT,
        advice="See whether it is busy or shows a dialog, then try again.",
    )


def _error_of(error: object) -> StemlineError:
    """The other side's error as ours: its sentence, its stable code where we know it, its advice."""
    given = error if isinstance(error, dict) else {}
    data = given.get("data")
    data = data if isinstance(data, dict) else {}
    message, advice = str(given.get("message", "The host failed and did not say why.")), str(data.get("advice", ""))
    try:
        code = Code(str(data.get("code")))
    except ValueError:
        code = Code.HOST_PROTOCOL
    return Cancelled(message) if code is Code.CANCELLED else HostError(message, code=code, advice=advice)
