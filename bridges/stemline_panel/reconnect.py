# SPDX-License-Identifier: GPL-3.0-or-later
"""A panel whose host ended waits for it to come back: the panel that the host starts then hands its pipe over.

The waiting panel listens on this machine alone and leaves its port with a secret in a file that only its user can read.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from stemline_bridge.lines import ByteStream

_GREETING = b"stemline panel\n"
_ANSWER_S = 2.0
_READ_BYTES = 1 << 16


class SocketStream:
    """One direction of a socket as the byte stream that JSON-RPC takes."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: int, /) -> bytes:
        return self._connection.recv(size)

    def write(self, data: memoryview, /) -> int:
        return self._connection.send(data)

    def close(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return
        finally:
            self._connection.close()


class ReconnectListener:
    """Waits until a host comes back, once. `came` gets the connection, in a thread of this class."""

    def __init__(self, place: Path, came: Callable[[socket.socket], None]) -> None:
        self._place, self._came = place, came
        self._secret = secrets.token_hex(32)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
            json.dump({"port": self._listener.getsockname()[1], "secret": self._secret}, file)
        part.replace(place)
        threading.Thread(target=self._wait, name="stemline-panel-waiting", daemon=True).start()

    def close(self) -> None:
        """Waits no longer."""
        with contextlib.suppress(OSError):  # macOS and Windows do not shut down what only listens
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        told = _read_address(self._place)
        if told is not None and told[1] == self._secret:
            self._place.unlink(missing_ok=True)

    def _wait(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._knows_the_secret(connection):
                self._came(connection)
                return
            connection.close()

    def _knows_the_secret(self, connection: socket.socket) -> bool:
        connection.settimeout(_ANSWER_S)
        try:
            said = _line(connection)
            if not hmac.compare_digest(said, self._secret.encode()):
                return False
            connection.sendall(_GREETING)
        except OSError:
            return False
        connection.settimeout(None)
        return True


def relay_to_waiting_panel(place: Path, incoming: ByteStream, outgoing: ByteStream) -> bool:
    """Carries a host's pipe to the panel that waits for it, until either end is closed. False when none waits."""
    told = _read_address(place)
    if told is None:
        return False
    try:
        connection = socket.create_connection(("127.0.0.1", told[0]), timeout=_ANSWER_S)
    except OSError:
        place.unlink(missing_ok=True)  # a killed panel left it
        return False
    with connection:
        try:
            connection.sendall(told[1].encode() + b"\n")
            if _line(connection) + b"\n" != _GREETING:
                return False
        except OSError:
            return False
        connection.settimeout(None)
        threading.Thread(target=_pump_in, args=(incoming, connection), name="stemline-panel-relay", daemon=True).start()
        _pump_out(connection, outgoing)
    return True


def _pump_in(incoming: ByteStream, connection: socket.socket) -> None:
    try:
        while chunk := incoming.read(_READ_BYTES):
            connection.sendall(chunk)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        connection.close()


def _pump_out(connection: socket.socket, outgoing: ByteStream) -> None:
    try:
        while chunk := connection.recv(_READ_BYTES):
            left = memoryview(chunk)
            while left:
                left = left[outgoing.write(left) or 0 :]
    except OSError:
        connection.close()


def _read_address(place: Path) -> tuple[int, str] | None:
    try:
        told = json.loads(place.read_text(encoding="utf-8"))
        return int(told["port"]), str(told["secret"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _line(connection: socket.socket) -> bytes:
    """What comes before the first LF, at most a hundred bytes."""
    said = b""
    while not said.endswith(b"\n") and len(said) < 100:
        more = connection.recv(1)
        if not more:
            break
        said += more
    return said.removesuffix(b"\n")
