"""Handing a host's pipe to the panel that waits for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import threading
from pathlib import Path

import pytest

from stemline_panel.reconnect import ReconnectListener, SocketStream, relay_to_waiting_panel


def nothing_in() -> io.BytesIO:
    return io.BytesIO()


def test_bytes_go_both_ways_until_an_end_is_closed(tmp_path: Path) -> None:
    place, came = tmp_path / "waiting.json", []
    waiting = ReconnectListener(place, lambda connection: came.append(_echo(connection)))
    assert place.stat().st_mode & 0o777 == 0o600, "nobody else can read the secret"
    host_out, ours_in = os.pipe()
    with io.FileIO(host_out, "r") as incoming, io.FileIO(ours_in, "w") as host:
        outgoing = _Kept()
        relay = threading.Thread(target=lambda: came.append(relay_to_waiting_panel(place, incoming, outgoing)))
        relay.start()
        host.write(b"x" * 100_000 + b"\n")
        host.close()
        relay.join(10)
    assert not relay.is_alive()
    assert True in came
    assert bytes(outgoing.kept) == b"x" * 100_000 + b"\n"
    waiting.close()
    assert not place.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"port": 1, "secret": "no"}', '{"port": "a", "secret": 3}'])
def test_where_no_panel_waits_the_pipe_is_ours(tmp_path: Path, content: str) -> None:
    place = tmp_path / "waiting.json"
    assert not relay_to_waiting_panel(place, nothing_in(), _Kept())
    place.write_text(content, encoding="utf-8")
    assert not relay_to_waiting_panel(place, nothing_in(), _Kept())


def test_who_does_not_know_the_secret_is_sent_away_and_the_host_still_gets_in(tmp_path: Path) -> None:
    place, came = tmp_path / "waiting.json", threading.Event()

    def let_in(connection: socket.socket) -> None:
        connection.close()
        came.set()

    waiting = ReconnectListener(place, let_in)
    told = json.loads(place.read_text(encoding="utf-8"))
    for wrong in (b"guess\n", b"\n", b"x" * 1000):
        with socket.create_connection(("127.0.0.1", told["port"]), timeout=60) as stranger:
            stranger.sendall(wrong)
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(100) == b""
    assert not came.is_set()
    assert relay_to_waiting_panel(place, nothing_in(), _Kept())
    assert came.wait(60)
    waiting.close()


class _Kept:
    """A stream that keeps what is written, a part at a time as a pipe may."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def read(self, size: int, /) -> bytes:
        return b""

    def write(self, data: memoryview, /) -> int:
        part = bytes(data[:1000])
        self.kept += part
        return len(part)

    def close(self) -> None:
        """Nothing is held."""


def _echo(connection: socket.socket) -> bool:
    stream = SocketStream(connection)
    while chunk := stream.read(4096):
        connection.sendall(chunk)
    stream.close()
    return True
