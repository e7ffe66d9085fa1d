# SPDX-License-Identifier: GPL-3.0-or-later
"""Reconnection of an open panel to a host that was started again.

A panel whose host ended listens on the loopback interface and writes its port with a secret to a file that only its
user can read. The panel process that the host starts next relays its pipe to that port.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from stemline_bridge import atomic_write, read_json_object
from stemline_bridge.lines import ByteStream

_GREETING = b"stemline panel\n"
_ANSWER_S = 2.0
_READ_BYTES = 1 << 16
_MAX_LINE_BYTES = 100


class SocketStream:
    """A socket as the byte stream that JSON-RPC uses."""

    def __init__(self, connection: socket.socket) -> None:
        """Wrap a connected socket."""
        self._connection = connection

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; empty at the end."""
        return self._connection.recv(size)

    def write(self, data: memoryview, /) -> int:
        """Write some of `data` and return the number of bytes written."""
        return self._connection.send(data)

    def close(self) -> None:
        """Shut the connection down in both directions."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._connection.close()


class ReconnectListener:
    """Waits once for a host that comes back."""

    def __init__(self, address_file: Path, connected: Callable[[socket.socket], None]) -> None:
        """Listen, and write port and secret to `address_file`. Raises OSError.

        `connected` gets the connection, in a thread of this object.
        """
        self._address_file, self._connected = address_file, connected
        self._secret = secrets.token_hex(32)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        address = {"port": self._listener.getsockname()[1], "secret": self._secret}
        atomic_write(address_file, json.dumps(address), mode=0o600)
        threading.Thread(target=self._accept, name="stemline-panel-waiting", daemon=True).start()

    def close(self) -> None:
        """Stop listening and delete the address file if it is still this object's."""
        with contextlib.suppress(OSError):  # macOS and Windows cannot shut down a listening socket
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        address = _read_address(self._address_file)
        if address is not None and address[1] == self._secret:
            self._address_file.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._authenticates(connection):
                self._connected(connection)
                return
            connection.close()

    def _authenticates(self, connection: socket.socket) -> bool:
        connection.settimeout(_ANSWER_S)
        try:
            if not hmac.compare_digest(_read_line(connection), self._secret.encode()):
                return False
            connection.sendall(_GREETING)
        except OSError:
            return False
        connection.settimeout(None)
        return True


def relay_to_waiting_panel(address_file: Path, incoming: ByteStream, outgoing: ByteStream) -> bool:
    """Relay a host's pipe to the panel that waits for it, until either end closes. Return False if none waits."""
    address = _read_address(address_file)
    if address is None:
        return False
    try:
        connection = socket.create_connection(("127.0.0.1", address[0]), timeout=_ANSWER_S)
    except OSError:
        address_file.unlink(missing_ok=True)  # left by a killed panel
        return False
    with connection:
        try:
            connection.sendall(address[1].encode() + b"\n")
            if _read_line(connection) + b"\n" != _GREETING:
                return False
        except OSError:
            return False
        connection.settimeout(None)
        threading.Thread(
            target=_relay_incoming, args=(incoming, connection), name="stemline-panel-relay", daemon=True
        ).start()
        _relay_outgoing(connection, outgoing)
    return True


def _relay_incoming(incoming: ByteStream, connection: socket.socket) -> None:
    try:
        while chunk := incoming.read(_READ_BYTES):
            connection.sendall(chunk)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        connection.close()


def _relay_outgoing(connection: socket.socket, outgoing: ByteStream) -> None:
    try:
        while chunk := connection.recv(_READ_BYTES):
            rest = memoryview(chunk)
            while rest:
                rest = rest[outgoing.write(rest) or 0 :]
    except OSError:
        connection.close()


def _read_address(address_file: Path) -> tuple[int, str] | None:
    """Return (port, secret) from an address file, or None if it is missing or invalid."""
    address = read_json_object(address_file) or {}
    try:
        return int(address["port"]), str(address["secret"])
    except (ValueError, KeyError, TypeError):
        return None


def _read_line(connection: socket.socket) -> bytes:
    """Read up to the first LF, which is removed, but at most 100 bytes."""
    line = b""
    while not line.endswith(b"\n") and len(line) < _MAX_LINE_BYTES:
        more = connection.recv(1)
        if not more:
            break
        line += more
    return line.removesuffix(b"\n")
