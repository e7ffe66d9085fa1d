"""The kit that every bridge carries: calls and answers against Stemline's own peer."""

from __future__ import annotations

import io
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import stemline_bridge
from stemline import errors
from stemline.companion.jsonrpc import CompanionPeer
from stemline.errors import Cancelled
from stemline_bridge import (
    ConnectionClosed,
    Deferred,
    HostError,
    HostPeer,
    RemoteError,
)
from stemline_bridge.jsonrpc import Limits
from stemline_bridge.peers import RpcMethod

BRIDGES = Path(stemline_bridge.__file__).parent.parent


@contextmanager
def joined(
    host: Mapping[str, Any], companion: Mapping[str, RpcMethod] | None = None, limits: Limits | None = None
) -> Iterator[tuple[HostPeer, CompanionPeer]]:
    """The bridge's end and the companion's, over crossed pipes."""
    to_host, to_companion = os.pipe(), os.pipe()
    with (
        io.FileIO(to_companion[0], "r") as their_incoming,
        io.FileIO(to_host[1], "w") as their_outgoing,
        os.fdopen(to_host[0], "rb") as incoming,
        os.fdopen(to_companion[1], "wb") as outgoing,
    ):
        theirs = CompanionPeer(their_incoming, their_outgoing, companion or {})
        theirs.start()
        ours = HostPeer(incoming, outgoing, host, limits)
        yield ours, theirs
        outgoing.close()
        assert theirs.close(10.0)
        assert ours.closed.wait(10.0)


@contextmanager
def heard_by_hand(handlers: Mapping[str, Any], limits: Limits | None = None) -> Iterator[tuple[HostPeer, Any]]:
    """The bridge's end, and a file to write whatever lines into that it is to read."""
    reads, writes = os.pipe()
    with (
        os.fdopen(reads, "rb") as incoming,
        os.fdopen(writes, "wb", buffering=0) as lines,
        Path(os.devnull).open("wb") as nowhere,
    ):
        peer = HostPeer(incoming, nowhere, handlers, limits)
        yield peer, lines
        lines.close()
        assert peer.closed.wait(10.0)


@contextmanager
def called_by_companion(theirs: CompanionPeer, method: str, params: object) -> Iterator[list[Any]]:
    """The companion calls from a thread of its own; what it got is in the list afterwards."""
    got: list[Any] = []

    def call() -> None:
        try:
            got.append(theirs.call(method, params, 20.0))
        except errors.HostError as error:
            got.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    yield got
    thread.join(20.0)
    assert not thread.is_alive()


def test_calls_cross_in_both_directions() -> None:
    with joined({"read_clips": lambda p: {"clips": [p["tag"]]}}, {"hello": RpcMethod(lambda p: {"got": p})}) as peers:
        ours, theirs = peers
        with called_by_companion(theirs, "read_clips", {"tag": "ünï"}) as got:
            assert ours.call("hello", {"a": 1}, 20.0) == {"got": {"a": 1}}
            while not got:
                ours.pump(0.05)
    assert got == [{"clips": ["ünï"]}]


ODD = [
    b'{"jsonrpc":"2.0","method":"cancel_request","params":[7]}',
    b'{"jsonrpc":"2.0","method":"cancel_request","params":{"id":[7]}}',
    b'{"jsonrpc":"2.0","id":[1],"method":"mark","params":{}}',
    b'{"jsonrpc":"2.0","id":{},"result":1}',
    b'{"jsonrpc":"2.0","method":["mark"],"params":{}}',
    b'{"jsonrpc":"2.0","method":"mark","params":[1]}',
    b"[" * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("line", ODD, ids=lambda line: line[:60].decode("latin-1"))
def test_a_malformed_message_is_ignored_and_the_next_is_handled(line: bytes) -> None:
    heard: list[Any] = []
    with heard_by_hand({"mark": heard.append}) as (peer, lines):
        open_ask = peer.ask("hello", {})
        lines.write(line + b'\n\n{"jsonrpc":"2.0","method":"mark","params":{"n":1}}\n')
        while not heard:
            peer.pump(0.05)
        assert heard == [{"n": 1}]
        assert not open_ask.done


def test_a_malformed_error_still_fails_its_call() -> None:
    with heard_by_hand({}) as (peer, lines):
        call = peer.ask("hello", {})
        lines.write(b'{"jsonrpc":"2.0","id":1,"error":"text"}\n')
        while not call.done:
            peer.pump(0.05)
        with pytest.raises(RemoteError, match="did not say why"):
            call.result()


def test_an_answer_that_json_cannot_hold_is_an_error_and_not_silence() -> None:
    with (
        joined({"read_clips": lambda p: {"start": float("nan")}}) as (ours, theirs),
        called_by_companion(theirs, "read_clips", {}) as got,
    ):
        while not got:
            ours.pump(0.05)
    assert "JSON" in got[0].message


def test_a_line_that_is_too_long_is_dropped() -> None:
    heard: list[Any] = []
    with heard_by_hand({"mark": heard.append}, Limits(line_bytes=100)) as (peer, lines):
        for length in (99, 100, 101, 1000):
            text = json.dumps({"jsonrpc": "2.0", "method": "mark", "params": {"n": length}})
            lines.write(text.ljust(length).encode() + b"\n")
        lines.write(b'{"jsonrpc":"2.0","method":"mark","params":{"n":0}}\n')
        while heard[-1:] != [{"n": 0}]:
            peer.pump(0.05)
    assert [params["n"] for params in heard] == [99, 100, 0]


@pytest.mark.parametrize(
    ("head", "known"),
    [
        ('{"jsonrpc":"2.0","id":7,"method":"read_clips","params":', 7),
        ('{"jsonrpc": "2.0", "method": "read_clips", "id": "se\\"ven", "params":', 'se"ven'),
        ('{"jsonrpc":"2.0","method":"mark","params":', None),
        ('{"jsonrpc":"2.0","method":"read_clips","params":{"id":7,"x":', None),
        ('{"jsonrpc":"2.0","id":007,"method":"read_clips","params":', None),
        ("no JSON, ", None),
    ],
)
def test_a_call_that_is_too_long_is_refused_and_the_next_is_answered(
    head: str, known: object, caplog: pytest.LogCaptureFixture
) -> None:
    """In both directions; by its id where that stands before the content."""
    reads, writes = os.pipe()
    answers_in, answers_out = os.pipe()
    with (
        os.fdopen(reads, "rb") as incoming,
        os.fdopen(writes, "wb", buffering=0) as lines,
        os.fdopen(answers_in, "r") as answers,
        os.fdopen(answers_out, "wb") as outgoing,
    ):
        peer = HostPeer(incoming, outgoing, {"ping": lambda p: {}}, Limits(line_bytes=200))
        lines.write(head.encode() + b'"' + b"x" * 1000 + b'"}\n{"jsonrpc":"2.0","id":8,"method":"ping"}\n')
        refused = json.loads(answers.readline())
        peer.pump(10.0)
        assert json.loads(answers.readline()) == {"jsonrpc": "2.0", "id": 8, "result": {}}
        lines.close()
        assert peer.closed.wait(10.0)
    assert (refused["id"], refused["error"]["code"]) == (known, -32600)
    assert refused["error"]["message"] == "A message is longer than 200 bytes and was not read."
    assert "was not read" in caplog.text


def test_an_answer_that_is_too_long_fails_the_call_at_once() -> None:
    small = Limits(line_bytes=200)
    long = {"read_clips": lambda p: "x" * 1000}
    with joined(long, {"models": RpcMethod(lambda p: "x" * 1000), "ping": RpcMethod(lambda p: {})}, small) as (
        ours,
        theirs,
    ):
        with pytest.raises(RemoteError, match="and was not read"):
            ours.call("models", {}, 60.0)
        with pytest.raises(HostError, match=r"of \d+ bytes is longer than 200 and was not sent"):
            ours.call("models", {"x": "x" * 1000}, 60.0)
        with called_by_companion(theirs, "read_clips", {}) as got:
            while not got:
                ours.pump(0.05)
        assert "was not sent" in str(got[0])
        assert ours.call("ping", {}, 60.0) == {}


def test_every_failure_of_the_reader_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda failure: None)
    monkeypatch.setattr(HostPeer, "_receive", lambda self, line: line.missing)
    with heard_by_hand({}) as (peer, lines):
        open_ask = peer.ask("hello", {})
        lines.write(b"{}\n")
        assert peer.closed.wait(10.0)
        with pytest.raises(ConnectionClosed):
            peer.pump(10.0)
        assert open_ask.done


def test_a_handlers_refusal_keeps_its_code() -> None:
    def refuse(params: dict[str, Any]) -> Any:
        raise HostError("The track is locked.", "HOST_UNSUPPORTED", "Unlock it.")

    with joined({"write_tracks": refuse}) as (ours, theirs):
        for method, code in (("write_tracks", "HOST_UNSUPPORTED"), ("unheard_of", "HOST_UNSUPPORTED")):
            with called_by_companion(theirs, method, {}) as got:
                while not got:
                    ours.pump(0.05)
            assert got[0].code == code
    assert "no method" in got[0].message


def test_a_crashed_handler_is_answered_with_an_error() -> None:
    with (
        joined({"read_clips": lambda p: p["missing"]}) as (ours, theirs),
        called_by_companion(theirs, "read_clips", {}) as got,
    ):
        while not got:
            ours.pump(0.05)
    assert "KeyError" in got[0].message


def test_a_deferred_answer_does_not_block_the_host() -> None:
    later = Deferred()
    with (
        joined({"render_range": lambda p: later}) as (ours, theirs),
        called_by_companion(theirs, "render_range", {}) as got,
    ):
        for _ in range(5):
            ours.pump(0.05)
        assert got == []
        later.settle({"clip": 1}, None)
    assert got == [{"clip": 1}]


def test_a_call_that_was_given_up_does_not_begin() -> None:
    begun: list[str] = []
    with joined({"write_tracks": lambda p: begun.append("written")}) as (ours, theirs):
        with pytest.raises(Cancelled):
            theirs.call("write_tracks", {}, 20.0, cancelled=lambda: True)
        theirs.notify("mark", {})
        heard: list[object] = []
        ours._handlers["mark"] = heard.append
        while ours._inbox.qsize() < 2:  # until the mark is read, and with it what was sent before
            time.sleep(0.01)
        while not heard:
            ours.pump(0.05)
    assert begun == []


def test_long_work_can_ask_whether_it_was_given_up() -> None:
    asked: list[bool] = []

    def render(params: dict[str, Any]) -> Any:
        asked.append(ours.given_up())
        while not ours.given_up():
            pass
        raise HostError("Stopped.", "CANCELLED")

    cancelled = threading.Event()
    with joined({"render_range": render}) as (ours, theirs):
        thread = threading.Thread(target=_call_until, args=(theirs, cancelled))
        thread.start()
        while not asked:
            threading.Timer(0.0, cancelled.set).start()
            ours.pump(0.05)
        thread.join(20.0)
        assert not thread.is_alive()
        assert not ours.given_up()
    assert ours.given_up(), "a call is given up when the other side is gone"


def test_a_deferred_answer_learns_that_it_was_given_up() -> None:
    begun: list[Deferred] = []

    def write(params: dict[str, Any]) -> Deferred:
        begun.append(Deferred())
        return begun[-1]

    cancelled = threading.Event()
    with joined({"render_range": write, "ping": lambda p: "heard"}) as (ours, theirs):
        thread = threading.Thread(target=_call_until, args=(theirs, cancelled))
        thread.start()
        while not begun:
            ours.pump(0.05)
        assert not begun[0].given_up()
        cancelled.set()
        while not begun[0].given_up():
            time.sleep(0.01)
        thread.join(20.0)
        begun[0].settle(None, HostError("Given up.", "CANCELLED"))
        theirs.notify("cancel_request", {"id": 1})  # too late: it is answered
        with called_by_companion(theirs, "ping", {}) as got:
            while not got:
                ours.pump(0.05)
        assert got == ["heard"]
        assert ours._incoming_calls == {}


def _call_until(theirs: CompanionPeer, cancelled: threading.Event) -> None:
    with pytest.raises(Cancelled):
        theirs.call("render_range", {}, 20.0, cancelled=cancelled.is_set)


def test_a_refusal_says_why_and_a_dead_companion_fails_open_calls() -> None:
    def refuse(params: object) -> object:
        raise errors.HostError("No.", advice="Ask again.")

    never = threading.Event()
    with joined({}, {"no": RpcMethod(refuse), "never": RpcMethod(lambda p: never.wait(10.0))}) as (ours, theirs):
        with pytest.raises(RemoteError, match=r"No\. Ask again\."):
            ours.call("no", {}, 20.0)
        with pytest.raises(TimeoutError):
            ours.call("never", {}, 0.1)
        open_ask = ours.ask("never", {})
        theirs.close(0.1)
        never.set()
        with pytest.raises(ConnectionClosed):
            ours.call("no", {}, 20.0)
        assert open_ask.done
        with pytest.raises(ConnectionClosed):
            open_ask.result()
