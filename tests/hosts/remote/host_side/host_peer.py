"""A host's end of docs/host-protocol.md as a bridge would carry it: standard library only, Python 3.8, one file.

Strict on purpose: everything the companion sends that the contract does not allow is kept in `faults`.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import IO, Any

HEARTBEAT_S = 1.0
NOTIFICATIONS: dict[str, set[str]] = {
    "heartbeat": set(),
    "cancel_request": {"id"},
    "progress": {"run", "tag", "stage", "done", "total"},
    "done": {"run", "tag", "result"},
    "failed": {"run", "tag", "error"},
}


class Refused(Exception):
    """The other side answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error.get("message"))
        self.code = error.get("data", {}).get("code")
        self.advice = error.get("data", {}).get("advice")
        self.number = error.get("code")


class Gone(Exception):
    """The other side ended the conversation."""


class HostPeer:
    """The reading thread only sorts; `pump` handles calls and notifications on the caller's thread."""

    def __init__(
        self, incoming: IO[bytes], outgoing: IO[bytes], handlers: Mapping[str, Callable[[dict[str, Any]], Any]]
    ) -> None:
        self.faults: list[str] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.cancelled_calls: list[int] = []
        self.null_errors: list[dict[str, Any]] = []
        self.gone = threading.Event()
        self._incoming, self._outgoing, self._handlers = incoming, outgoing, handlers
        self._inbox: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._answers: dict[int, dict[str, Any]] = {}
        self._asked: set[int] = set()
        self._their_ids: set[int] = set()
        self._last_id = 0
        self._write_lock = threading.Lock()
        self._ended_runs: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def call(self, method: str, params: Any, timeout_s: float = 30.0) -> Any:
        self._last_id += 1
        call_id = self._last_id
        self._asked.add(call_id)
        self.send({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})
        deadline = time.monotonic() + timeout_s
        while call_id not in self._answers:
            if time.monotonic() > deadline:
                raise TimeoutError(method)
            self.pump(0.05)
        answer = self._answers.pop(call_id)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def wait_for(self, name: str, run: str | None = None, timeout_s: float = 60.0) -> dict[str, Any]:
        """The params of the first notification `name` (about `run`), handling whatever comes before it."""
        deadline = time.monotonic() + timeout_s
        while True:
            for method, params in self.notes:
                if method == name and (run is None or params["run"] == run):
                    return params
            if time.monotonic() > deadline:
                raise TimeoutError(name)
            self.pump(0.05)

    def pump(self, timeout_s: float) -> None:
        """Handles at most one message. Raises Gone once nothing more can come."""
        try:
            message = self._inbox.get(timeout=timeout_s)
        except queue.Empty:
            return
        if message is None:
            self._inbox.put(None)
            raise Gone
        self._handle(message)

    def send(self, message: dict[str, Any]) -> None:
        self.send_bytes(json.dumps(message).encode("utf-8") + b"\n")

    def send_bytes(self, data: bytes) -> None:
        try:
            with self._write_lock:
                self._outgoing.write(data)
                self._outgoing.flush()
        except (OSError, ValueError):
            self.gone.set()

    def fault(self, text: str) -> None:
        self.faults.append(text)

    def _beat(self) -> None:
        while not self.gone.wait(HEARTBEAT_S):
            self.send({"jsonrpc": "2.0", "method": "heartbeat", "params": {}})

    def _read(self) -> None:
        try:
            for line in self._incoming:
                self._sort(line)
        except (OSError, ValueError):
            pass
        self.gone.set()
        self._inbox.put(None)

    def _sort(self, line: bytes) -> None:
        if not line.endswith(b"\n") or b"\r" in line:
            self.fault(f"not a line that ends in LF: {line[:80]!r}")
        try:
            message = json.loads(line.decode("utf-8"))
        except ValueError:
            self.fault(f"not JSON: {line[:80]!r}")
            return
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            self.fault(f"not JSON-RPC 2.0: {line[:80]!r}")
        elif "method" in message:
            self._inbox.put(message)
        elif message.get("id") is None and "error" in message:
            self.null_errors.append(message["error"])
        elif message.get("id") not in self._asked or ("result" in message) == ("error" in message):
            self.fault(f"not an answer to anything: {line[:80]!r}")
        else:
            self._asked.discard(message["id"])
            self._answers[message["id"]] = message

    def _handle(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params")
        if not isinstance(params, dict):
            self.fault(f"{method} without params")
        elif "id" not in message:
            self._noted(method, params)
        elif not isinstance(message["id"], int) or message["id"] in self._their_ids:
            self.fault("id {!r} used before, or no whole number".format(message["id"]))
        else:
            self._their_ids.add(message["id"])
            self._answer(message["id"], method, params)

    def _noted(self, method: str, params: dict[str, Any]) -> None:
        if method not in NOTIFICATIONS or not NOTIFICATIONS[method] <= set(params):
            self.fault(f"notification {method} with {sorted(params)}")
        if method == "cancel_request":
            self.cancelled_calls.append(params["id"])
        elif method != "heartbeat":
            if params["run"] in self._ended_runs:
                self.fault("{} of {} after its end".format(method, params["run"]))
            if method == "progress" and not 0 <= params["done"] <= params["total"]:
                self.fault("progress {!r} of {!r}".format(params["done"], params["total"]))
            if method in ("done", "failed"):
                self._ended_runs.add(params["run"])
            self.notes.append((method, params))

    def _answer(self, call_id: int, method: str, params: dict[str, Any]) -> None:
        if method not in self._handlers:
            self.fault(f"a call of {method}")
            error = {"code": -32601, "message": "no such method", "data": {"code": "HOST_UNSUPPORTED"}}
            self.send({"jsonrpc": "2.0", "id": call_id, "error": error})
            return
        try:
            result = self._handlers[method](params)
        except Exception as problem:  # noqa: BLE001 - whatever a host throws is told to the other side
            error = {"code": -32000, "message": str(problem), "data": {"code": "HOST_PROTOCOL", "advice": ""}}
            self.send({"jsonrpc": "2.0", "id": call_id, "error": error})
            self.fault(f"{method}: {problem!r}")
            return
        self.send({"jsonrpc": "2.0", "id": call_id, "result": result})


def start_companion(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The process, its standard error drained into the file `log`, its pipes binary: no text layer changes a byte."""
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0)


def fraction(text: str) -> Fraction:
    """An exact number of the contract. Raises ValueError for anything but "num/den"."""
    numerator, denominator = text.split("/")
    return Fraction(int(numerator), int(denominator))
