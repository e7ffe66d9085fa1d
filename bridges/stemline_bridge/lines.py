"""Framing of JSON-RPC messages: one JSON text a line, over byte streams."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

MAX_LINE_BYTES = 64 * 2**20
_READ_BYTES = 64 * 1024
_HEAD_BYTES = 1024
_MEMBER = re.compile(rb'\s*"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*,')
_CONTENT = re.compile(rb'\s*"(params|result|error)"\s*:')


class ByteStream(Protocol):
    """A binary file. `read` returns b"" at the end; `write` may take only a part."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes."""
        ...

    def write(self, data: memoryview, /) -> int | None:
        """Write and return how many bytes were taken."""
        ...

    def close(self) -> None:
        """Close the stream."""
        ...


class TooLong(NamedTuple):
    """A line above the limit, dropped while it arrived.

    `call_id` and `is_call` say which message it was, where they come before its content.
    """

    call_id: int | str | None = None
    is_call: bool = False

    @staticmethod
    def of(head: bytes) -> TooLong:
        """Return what the first bytes of the line say about the message."""
        members: dict[bytes, Any] = {}
        at = head.find(b"{") + 1
        member = _MEMBER.match(head, at)
        while member:
            try:
                members[member[1]] = load(member[2])
            except ValueError:
                return TooLong()
            at = member.end()
            member = _MEMBER.match(head, at)
        content = _CONTENT.match(head, at)
        is_call = content is not None and content[1] == b"params" and b"method" in members
        return TooLong(members.get(b"id") if content else None, is_call)


def read_lines(stream: ByteStream, max_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes | TooLong]:
    """Yield each line without its LF; a last line without one counts.

    A line longer than `max_bytes` is dropped while it arrives, so that it never takes more memory than that.

    Raises:
        OSError: The stream breaks.
    """
    read = getattr(stream, "read1", stream.read)  # a buffered `read` would wait for all the bytes
    line = bytearray()
    dropping = False
    while True:
        chunk = read(_READ_BYTES)
        if not chunk:
            break
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            too_long = dropping or len(line) + len(piece) > max_bytes
            yield TooLong.of(bytes(line + piece)[:_HEAD_BYTES]) if too_long else bytes(line + piece)
            line.clear()
            dropping = False
        line += rest
        if dropping or len(line) > max_bytes:
            dropping = True
            del line[_HEAD_BYTES:]  # the head names the message
    if line and not dropping:
        yield bytes(line)


def write_line(stream: ByteStream, line: bytes) -> None:
    """Write `line` and its LF. Raises OSError when the other side is gone."""
    rest = memoryview(line + b"\n")
    while rest:
        rest = rest[stream.write(rest) or 0 :]
    flush = getattr(stream, "flush", None)
    if flush is not None:
        flush()


def dump(message: object) -> bytes:
    """Return one line of JSON, pure ASCII, so that no console encoding can break it.

    Raises:
        TypeError: JSON has no such value.
        ValueError: A number is NaN or infinite.
    """
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")


def load(line: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything else: bad UTF-8, NaN, nesting beyond reason."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
