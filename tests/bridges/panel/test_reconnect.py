"""Relaying the pipe of a restarted host to the panel that waits for it."""

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


def test_the_relay_passes_bytes_both_ways_until_an_end_closes(tmp_path: Path) -> None:
    address_file, connected = tmp_path / "waiting.json", []
    waiting = ReconnectListener(address_file, lambda connection: connected.append(_echo(connection)))
    assert address_file.stat().st_mode & 0o777 == 0o600, "only the user can read the secret"
    host_out, panel_in = os.pipe()
    with io.FileIO(host_out, "r") as incoming, io.FileIO(panel_in, "w") as host:
        outgoing = _Storage()
        relay = threading.Thread(
            target=lambda: connected.append(relay_to_waiting_panel(address_file, incoming, outgoing))
        )
        relay.start()
        host.write(b"x" * 100_000 + b"\n")
        host.close()
        relay.join(10)
    assert not relay.is_alive()
    assert True in connected
    assert bytes(outgoing.stored) == b"x" * 100_000 + b"\n"
    waiting.close()
    assert not address_file.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"port": 1, "secret": "no"}', '{"port": "a", "secret": 3}'])
def test_without_a_waiting_panel_nothing_is_relayed(tmp_path: Path, content: str) -> None:
    address_file = tmp_path / "waiting.json"
    assert not relay_to_waiting_panel(address_file, nothing_in(), _Storage())
    address_file.write_text(content, encoding="utf-8")
    assert not relay_to_waiting_panel(address_file, nothing_in(), _Storage())


def test_a_wrong_secret_is_refused_and_the_host_still_connects(tmp_path: Path) -> None:
    address_file, connected = tmp_path / "waiting.json", threading.Event()

    def let_in(connection: socket.socket) -> None:
        connection.close()
        connected.set()

    waiting = ReconnectListener(address_file, let_in)
    address = json.loads(address_file.read_text(encoding="utf-8"))
    for wrong in (b"guess\n", b"\n", b"x" * 1000):
        with socket.create_connection(("127.0.0.1", address["port"]), timeout=60) as client:
            client.sendall(wrong)
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(100) == b""
    assert not connected.is_set()
    assert relay_to_waiting_panel(address_file, nothing_in(), _Storage())
    assert connected.wait(60)
    waiting.close()


class _Storage:
    """A stream that stores what is written, in parts as a pipe may."""

    def __init__(self) -> None:
        self.stored = bytearray()

    def read(self, size: int, /) -> bytes:
        return b""

    def write(self, data: memoryview, /) -> int:
        part = bytes(data[:1000])
        self.stored += part
        return len(part)

    def close(self) -> None:
        """Hold nothing."""


def _echo(connection: socket.socket) -> bool:
    stream = SocketStream(connection)
    while chunk := stream.read(4096):
        connection.sendall(chunk)
    stream.close()
    return True
