"""JSON-RPC 2.0 over two byte streams, one message a line; either side calls the other.

A thread reads and sorts; everything that needs the host (its answers to the companion's calls, what is to happen on
an answer or a notification) waits for `pump`, which the host calls on the thread that may touch its document. Another
thread writes: a companion that hangs and reads no more never stops the host.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any

from .lines import TooLong, read_lines

HEARTBEAT_S = 5.0
_LONGEST_LINE = 64 << 20  # bytes, with its LF
_INVALID_REQUEST = -32600
_PASSED_OVER = "A message is too long and was not read."
_LOG = logging.getLogger(__name__)


class Refused(Exception):
    """The other side answered with an error: its sentence, its stable `code`, its `advice`."""

    def __init__(self, error: dict[str, Any]) -> None:
        data = error.get("data") or {}
        self.code = str(data.get("code", ""))
        self.advice = str(data.get("advice", ""))
        super().__init__(f"{error.get('message', 'Stemline did not say why.')} {self.advice}".rstrip())


class Gone(Exception):
    """The conversation is over."""


class Problem(Exception):
    """What a handler raises to refuse a call: a sentence for people, a code of `docs/errors.md`, what to do."""

    def __init__(self, sentence: str, code: str, advice: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.advice = advice


class Ask:
    """A call of ours. `done` once it is answered or can never be."""

    def __init__(self, number: int, on_answer: Callable[[Ask], None] | None) -> None:
        self.number = number
        self.done = False
        self._on_answer = on_answer
        self._result: Any = None
        self._error: Exception | None = None

    def result(self) -> Any:
        """What the other side answered. Raises Refused or Gone."""
        if self._error is not None:
            raise self._error
        return self._result

    def settle(self, result: Any, error: Exception | None) -> None:
        self.done, self._result, self._error = True, result, error
        if self._on_answer is not None:
            self._on_answer(self)


class Later:
    """What a handler returns when its answer takes longer than the host may stand still. Settle it on the pump's
    thread, and begin nothing once `given_up` says that nobody waits for it any more."""

    def __init__(self) -> None:
        self.settle: Callable[[Any, Exception | None], None] = lambda result, error: None
        self.given_up: Callable[[], bool] = lambda: False


class Peer:
    """The host's end. `handlers` answer calls and hear notifications, by name; unknown notifications are dropped."""

    def __init__(
        self, incoming: IO[bytes], outgoing: IO[bytes], handlers: Mapping[str, Callable[[dict[str, Any]], Any]]
    ) -> None:
        self.gone = threading.Event()
        self._outgoing = outgoing
        self._handlers = dict(handlers)
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asks: dict[int, Ask] = {}
        self._open: dict[Any, threading.Event] = {}  # the calls not answered yet; set when nobody waits any more
        self._answering = threading.Event()
        self._last_id = 0
        self._outbox: queue.Queue[bytes] = queue.Queue()
        self._heard_at = time.monotonic()
        threading.Thread(target=self._read, args=(incoming,), name="stemline-reader", daemon=True).start()
        threading.Thread(target=self._write, name="stemline-writer", daemon=True).start()

    @property
    def silent_s(self) -> float:
        """Seconds since the other side was last heard. It beats every five: after thirty, tell the user."""
        return time.monotonic() - self._heard_at

    def ask(self, method: str, params: dict[str, Any], on_answer: Callable[[Ask], None] | None = None) -> Ask:
        """Calls the other side; `on_answer` runs in `pump`."""
        self._last_id += 1
        ask = self._asks[self._last_id] = Ask(self._last_id, on_answer)
        self._send({"jsonrpc": "2.0", "id": ask.number, "method": method, "params": params})
        return ask

    def call(self, method: str, params: dict[str, Any], timeout_s: float) -> Any:
        """Calls and pumps until the answer is there. Raises Refused, Gone, or TimeoutError when it gave up."""
        ask = self.ask(method, params)
        deadline = time.monotonic() + timeout_s
        while not ask.done:
            if time.monotonic() > deadline:
                self._asks.pop(ask.number, None)
                self.notify("cancel_request", {"id": ask.number})
                raise TimeoutError(f"Stemline did not answer {method} within {timeout_s:g} s.")
            self.pump(0.05)
        return ask.result()

    def given_up(self) -> bool:
        """Whether nobody waits any more for the call that is being answered: a handler at long work may ask."""
        return self._nobody_waits(self._answering)

    def notify(self, method: str, params: dict[str, Any]) -> None:
        self._send({"jsonrpc": "2.0", "method": method, "params": params})

    def pump(self, timeout_s: float = 0.0) -> None:
        """Handles all that has arrived, waiting `timeout_s` for the first message.

        Raises Gone once nothing more can come; every open `Ask` has failed by then.
        """
        wait_s = timeout_s
        while True:
            try:
                message = self._inbox.get(timeout=wait_s) if wait_s else self._inbox.get_nowait()
            except queue.Empty:
                return
            wait_s = 0.0
            if message is None:
                self._inbox.put(None)
                self._fail_asks()
                raise Gone("Stemline's companion has ended.")
            self._handle(message)

    # -- threads -------------------------------------------------------------------------------------------------------

    def _read(self, incoming: IO[bytes]) -> None:
        try:
            for line in read_lines(incoming, _LONGEST_LINE):
                self._heard_at = time.monotonic()
                if isinstance(line, TooLong):
                    self._pass_over(line)
                else:
                    self._sort(line)
        except (OSError, ValueError) as problem:  # ValueError: the stream was closed under us
            _LOG.info("reading ended: %s", problem)
        finally:  # whatever ended it, nobody may wait for more
            self.gone.set()
            self._inbox.put(None)

    def _pass_over(self, line: TooLong) -> None:
        """Whoever waits for the answer to a line that was dropped is told so at once."""
        if line.is_call or line.call_id is None:
            _LOG.warning("%s", _PASSED_OVER)
            self._refuse(line.call_id, Problem(_PASSED_OVER, "HOST_PROTOCOL"), _INVALID_REQUEST)
        else:
            self._inbox.put({"id": line.call_id, "error": {"message": _PASSED_OVER}})

    def _sort(self, line: bytes) -> None:
        try:
            message = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            _LOG.warning("not JSON: %.80r", line)
            return
        if not _is_message(message):
            _LOG.warning("not a message: %.80r", line)
        elif message.get("method") == "cancel_request":  # must overtake the call that waits in the inbox
            call_id = (message.get("params") or {}).get("id")
            given_up = self._open.get(call_id) if isinstance(call_id, (int, str)) else None
            if given_up is not None:
                given_up.set()
        else:
            if "method" in message and "id" in message:
                self._open[message["id"]] = threading.Event()
            self._inbox.put(message)

    def _write(self) -> None:
        """Writes what is to be sent, and a heartbeat when that is due. Ends, and closes, when the peer is gone."""
        beat = json.dumps({"jsonrpc": "2.0", "method": "heartbeat", "params": {}}).encode("ascii") + b"\n"
        beat_at = time.monotonic() + HEARTBEAT_S
        try:
            while not (self.gone.is_set() and self._outbox.empty()):
                try:
                    line = self._outbox.get(timeout=min(0.2, max(0.0, beat_at - time.monotonic())))
                except queue.Empty:
                    if time.monotonic() < beat_at:
                        continue
                    line, beat_at = beat, time.monotonic() + HEARTBEAT_S
                self._outgoing.write(line)
                self._outgoing.flush()
            self._outgoing.close()
        except (OSError, ValueError) as problem:
            _LOG.info("writing ended: %s", problem)
        self.gone.set()
        self._inbox.put(None)

    def _send(self, message: dict[str, Any]) -> None:
        """A line that the other side would not read is not sent: whoever waits for its answer is told instead."""
        if "method" not in message:
            self._open.pop(message["id"], None)
        line = json.dumps(message).encode("ascii") + b"\n"
        if len(line) > _LONGEST_LINE and "error" not in message:
            call_id = message.get("id")
            words = f"A message of {len(line)} bytes is too long to be sent."
            if "method" not in message:
                self._refuse(call_id, Problem(words, "HOST_PROTOCOL", "Choose fewer clips."))
            elif call_id is not None:
                self._inbox.put({"id": call_id, "error": {"message": words}})
        elif not self.gone.is_set():
            self._outbox.put(line)

    # -- on the pump's thread ------------------------------------------------------------------------------------------

    def _fail_asks(self) -> None:
        asks, self._asks = self._asks, {}
        for ask in asks.values():
            ask.settle(None, Gone("Stemline's companion has ended."))

    def _handle(self, message: dict[str, Any]) -> None:
        name = message.get("method")
        if name is None:
            ask, error = self._asks.pop(message.get("id", 0), None), message.get("error")
            if ask is not None:
                ask.settle(message.get("result"), None if error is None else Refused(error))
            elif message.get("id") is None:
                _LOG.warning("the other side refused a line of ours: %s", error)
        elif "id" in message:
            self._answer(message["id"], str(name), message.get("params") or {})
        elif name in self._handlers:
            self._handlers[name](message.get("params") or {})

    def _answer(self, call_id: Any, name: str, params: dict[str, Any]) -> None:
        given_up, outer = self._open.setdefault(call_id, threading.Event()), self._answering
        if given_up.is_set():
            self._refuse(call_id, Problem("Nobody waits for this any more.", "CANCELLED"))
            return
        handler = self._handlers.get(name)
        if handler is None:
            self._refuse(call_id, Problem(f"There is no method {name!r}.", "HOST_UNSUPPORTED"), -32601)
            return
        self._answering = given_up
        try:
            result = handler(params)
        except Problem as problem:
            self._refuse(call_id, problem)
        except Exception as problem:  # noqa: BLE001 - whatever the host throws is told to the other side
            _LOG.exception("%s failed", name)
            self._refuse(call_id, problem)
        else:
            if isinstance(result, Later):
                result.settle = lambda late, error: self._settle(call_id, late, error)
                result.given_up = lambda: self._nobody_waits(given_up)
            else:
                self._settle(call_id, result, None)
        finally:
            self._answering = outer

    def _nobody_waits(self, given_up: threading.Event) -> bool:
        return self.gone.is_set() or given_up.is_set()

    def _settle(self, call_id: Any, result: Any, error: Exception | None) -> None:
        if error is not None:
            self._refuse(call_id, error)
        else:
            self._send({"jsonrpc": "2.0", "id": call_id, "result": result})

    def _refuse(self, call_id: Any, problem: Exception, number: int = -32000) -> None:
        if not isinstance(problem, Problem):
            number, problem = -32603, Problem(f"{type(problem).__name__}: {problem}", "INTERNAL")
        error = {
            "code": number,
            "message": str(problem),
            "data": {"code": problem.code, "advice": problem.advice},
        }
        self._send({"jsonrpc": "2.0", "id": call_id, "error": error})


def _is_message(message: Any) -> bool:
    """Whether it has the kinds of docs/host-protocol.md, so that nothing later stumbles over it."""
    return (
        isinstance(message, dict)
        and isinstance(message.get("id"), (int, str, type(None)))
        and isinstance(message.get("method"), (str, type(None)))
        and isinstance(message.get("params"), (dict, type(None)))
        and isinstance(message.get("error"), (dict, type(None)))
    )
