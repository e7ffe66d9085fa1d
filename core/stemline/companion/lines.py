"""Lines of bytes over unbuffered streams: what carries JSON-RPC between a host and Stemline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

MAX_LINE_BYTES = 64 * 2**20
_READ_BYTES = 64 * 1024
_HEAD_BYTES = 1024
_MEMBER = re.compile(rb'\s*"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*,')
_CONTENT = re.compile(rb'\s*"(params|result|error)"\s*:')


class ByteStream(Protocol):
    """An unbuffered file: `read` gives what has arrived and b"" at the end, `write` may take only a part."""

    def read(self, size: int, /) -> bytes | None: ...
    def write(self, data: memoryview, /) -> int | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line above the limit. It is dropped while it arrives, so that it never takes memory.

    `call_id` and `is_call` say which message it was, where that stands before its content.
    """

    call_id: int | str | None = None
    is_call: bool = False

    @staticmethod
    def of(head: bytes) -> TooLong:
        """What the beginning of the line tells."""
        members: dict[bytes, int | str] = {}
        at = head.find(b"{") + 1
        while member := _MEMBER.match(head, at):
            try:
                members[member[1]] = load(member[2])
            except ValueError:
                return TooLong()
            at = member.end()
        content = _CONTENT.match(head, at)
        is_call = content is not None and content[1] == b"params" and b"method" in members
        return TooLong(members.get(b"id") if content else None, is_call)


def read_lines(stream: ByteStream, max_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes | TooLong]:
    """Each whole line without its end; a last line without one counts. Raises OSError when the stream breaks."""
    line = bytearray()
    dropping = False
    while chunk := stream.read(_READ_BYTES):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            too_long = dropping or len(line) + len(piece) > max_bytes
            yield TooLong.of(bytes(line + piece)[:_HEAD_BYTES]) if too_long else bytes(line + piece)
            line.clear()
            dropping = False
        line += rest
        if dropping or len(line) > max_bytes:
            dropping = True
            del line[_HEAD_BYTES:]  # it says whose line it was
    if line and not dropping:
        yield bytes(line)


def write_line(stream: ByteStream, line: bytes) -> None:
    """All of `line` and the end of it. Raises OSError when the other side is gone."""
    left = memoryview(line + b"\n")
    while left:
        left = left[stream.write(left) or 0 :]


def dump(message: object) -> bytes:
    """One line of JSON. Pure ASCII, so that no console encoding and no odd file name can break it."""
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")


def load(line: bytes) -> Any:
    """The JSON of a line. Raises ValueError for anything else: bad UTF-8, NaN, numbers or nesting beyond reason."""
    try:
        return json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
