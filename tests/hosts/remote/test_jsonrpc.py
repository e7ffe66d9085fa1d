"""Two peers over real pipes: calls both ways at once, limits, and a clean end."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest

from hosts.remote.pipes import echo, pair
from stemline.companion.jsonrpc import CompanionPeer, Params
from stemline.errors import Cancelled, Code, HostError, MediaError
from stemline_bridge.jsonrpc import Limits
from stemline_bridge.lines import TooLong, load, read_lines
from stemline_bridge.peers import RpcMethod


def test_both_sides_call_each_other_at_once() -> None:
    with pair({"echo": RpcMethod(echo)}, {"echo": RpcMethod(echo, quick=True)}) as (left, right):
        results: list[object] = []

        def ask(peer: CompanionPeer, number: int) -> None:
            results.append(peer.call("echo", {"n": number, "text": "é\u2028\U0001f3ac\ud800\n"}, 10.0)["n"])

        threads = [threading.Thread(target=ask, args=((left, right)[n % 2], n)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, results)) == sorted(map(str, range(20)))


def test_a_call_may_call_back_before_it_answers() -> None:
    peers: list[CompanionPeer] = []
    left = {"add": RpcMethod(lambda params: params["n"] + 1)}
    right = {"twice": RpcMethod(lambda params: peers[1].call("add", {"n": params["n"]}, 10.0) * 2)}
    with pair(left, right) as made:
        peers += made
        assert peers[0].call("twice", {"n": 20}, 10.0) == 42


def test_messages_far_larger_than_a_pipe_pass_both_ways_at_once() -> None:
    big = "x" * 5_000_000
    with pair({"echo": RpcMethod(echo)}, {"echo": RpcMethod(echo)}) as (left, right):
        sizes: list[int] = []

        def ask(peer: CompanionPeer) -> None:
            sizes.append(len(peer.call("echo", {"big": big}, 30.0)["big"]))

        threads = [threading.Thread(target=ask, args=(peer,)) for peer in (left, right)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sizes == [len(big)] * 2


def test_an_error_keeps_its_code_its_sentence_and_its_advice() -> None:
    def fail(params: Params) -> object:
        raise MediaError("There is no such file.", code=Code.MEDIA_MISSING, advice="Relink it.")

    with pair({}, {"fail": RpcMethod(fail)}) as (left, _):
        with pytest.raises(HostError) as caught:
            left.call("fail", {}, 10.0)
        assert (caught.value.code, caught.value.message, caught.value.advice) == (
            Code.MEDIA_MISSING,
            "There is no such file.",
            "Relink it.",
        )


def test_a_cancel_in_the_host_is_not_an_error() -> None:
    def stop(params: Params) -> object:
        raise Cancelled("Stopped in the host.")

    with pair({}, {"stop": RpcMethod(stop)}) as (left, _), pytest.raises(Cancelled, match="Stopped in the host"):
        left.call("stop", {}, 10.0)


def test_giving_up_a_call_notifies_the_other_side() -> None:
    told, release = threading.Event(), threading.Event()
    numbers: list[int] = []

    def note(params: Params) -> object:
        numbers.append(params["id"])
        told.set()
        return None

    right = {"wait": RpcMethod(lambda _: release.wait(10.0)), "cancel_request": RpcMethod(note, quick=True)}
    with pair({}, right) as (left, _):
        with pytest.raises(HostError) as caught:
            left.call("wait", {}, 0.2)
        assert caught.value.code is Code.HOST_TIMEOUT
        with pytest.raises(Cancelled):
            left.call("wait", {}, 10.0, cancelled=lambda: True)
        assert told.wait(10.0)
        release.set()
        assert left.call("wait", {}, 10.0) is True
        assert numbers == [1, 2]


def test_the_end_of_the_other_side_fails_every_call_that_waits() -> None:
    release, entered = threading.Event(), threading.Semaphore(0)

    def wait(params: Params) -> object:
        entered.release()
        return release.wait(10.0)

    with pair({}, {"wait": RpcMethod(wait)}) as (left, right):
        failures: list[Code] = []

        def ask() -> None:
            with pytest.raises(HostError) as caught:
                left.call("wait", {}, 60.0)
            failures.append(caught.value.code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        assert all(entered.acquire(timeout=10.0) for _ in threads)
        right.close(0.1)
        for thread in threads:
            thread.join(10.0)
        release.set()
        assert failures == [Code.HOST_GONE] * 3
        with pytest.raises(HostError, match="went away"):
            left.call("wait", {}, 60.0)


def test_calls_beyond_the_limit_are_refused_and_ping_still_answers() -> None:
    release, entered = threading.Event(), threading.Event()

    def wait(params: Params) -> object:
        entered.set()
        return release.wait(20.0)

    right = {"wait": RpcMethod(wait), "ping": RpcMethod(echo, quick=True)}
    with pair({}, right, Limits(open_calls=1)) as (left, _):
        waiting = threading.Thread(target=left.call, args=("wait", {}, 20.0))
        waiting.start()
        assert entered.wait(10.0)
        with pytest.raises(HostError) as caught:
            left.call("wait", {}, 10.0)
        assert caught.value.code is Code.QUEUE_FULL
        assert left.call("ping", {}, 10.0) == {}
        release.set()
        waiting.join()


def test_a_message_beyond_the_limit_is_not_sent() -> None:
    with pair({}, {"echo": RpcMethod(echo)}, Limits(line_bytes=1000)) as (left, _):
        with pytest.raises(HostError, match="longer than 1000"):
            left.call("echo", {"x": "y" * 1000}, 10.0)
        assert left.call("echo", {}, 10.0) == {}


@pytest.mark.parametrize(
    ("head", "known"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"echo","params":', 7),
        (b'{ "method" : "echo", "id": "se\\"ven", "jsonrpc":"2.0", "params":', 'se"ven'),
        (b'{"jsonrpc":"2.0","method":"mark","params":', None),
        (b'{"jsonrpc":"2.0","method":"echo","params":{"id":7,"x":', None),
        (b'{"jsonrpc":"2.0","id":007,"method":"echo","params":', None),
        (b"no JSON, ", None),
    ],
)
def test_a_call_that_is_too_long_is_refused_and_the_next_is_answered(
    head: bytes, known: object, caplog: pytest.LogCaptureFixture
) -> None:
    """By its id where that stands before the content."""
    lines = head + b'"' + b"x" * 3000 + b'"}\n{"jsonrpc":"2.0","id":8,"method":"echo","params":{"n":1}}\n'
    answers = Kept()
    methods = {"echo": RpcMethod(echo, quick=True)}
    peer = CompanionPeer(Chunks([lines[:20], lines[20:]]), answers, methods, Limits(line_bytes=200))
    peer.start()
    assert peer.closed.wait(10.0)
    assert peer.close(10.0)
    refused, answered = (load(line) for line in answers.kept.splitlines())
    assert (refused["id"], refused["error"]["code"]) == (known, -32600)
    assert refused["error"]["message"] == "A message is longer than 200 bytes and was not read."
    assert answered["result"] == {"n": 1}
    assert "was not read" in caplog.text


def test_an_answer_that_is_too_long_fails_the_call_at_once() -> None:
    sends, reads = Limits(), Limits(line_bytes=1000)
    with pair({}, {"long": RpcMethod(lambda _: "x" * 2000), "echo": RpcMethod(echo)}, reads, sends) as (left, _):
        with pytest.raises(HostError, match="longer than 1000 bytes and was not read"):
            left.call("long", {}, 60.0)
        assert left.call("echo", {}, 10.0) == {}


def test_a_call_on_the_reading_thread_fails_instead_of_blocking() -> None:
    peers: list[CompanionPeer] = []
    right = {"bad": RpcMethod(lambda _: peers[1].call("anything", {}, 10.0), quick=True)}
    with pair({}, right) as made:
        peers += made
        with pytest.raises(HostError) as caught:
            peers[0].call("bad", {}, 10.0)
        assert caught.value.code is Code.INTERNAL


class Kept(io.RawIOBase):
    """A stream that keeps what is written."""

    def __init__(self) -> None:
        self.kept = b""

    def write(self, data: Any, /) -> int:
        self.kept += bytes(data)
        return len(data)


class Chunks(io.RawIOBase):
    """A stream that gives its bytes in the pieces it was made of."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 100])
def test_lines_are_the_same_however_they_arrive(cut: int) -> None:
    data = b"one\n\n" + b"x" * 11 + b"\n" + b"y" * 10 + b"\ntwo"
    stream = Chunks([data[i : i + cut] for i in range(0, len(data), cut)])
    got = ["too long" if isinstance(line, TooLong) else line for line in read_lines(stream, 10)]
    assert got == [b"one", b"", "too long", b"y" * 10, b"two"]


def test_an_endless_line_takes_no_memory() -> None:
    pieces = 0

    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            nonlocal pieces
            pieces += 1
            return b"z" * 65536 if pieces < 2000 else b"\n" if pieces == 2000 else b""

    import tracemalloc

    tracemalloc.start()
    got = list(read_lines(Endless(), 1_000_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(got) == 1
    assert isinstance(got[0], TooLong)
    assert peak < 3_000_000
