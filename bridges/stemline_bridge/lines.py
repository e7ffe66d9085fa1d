"""Lines of bytes: what carries JSON-RPC between a host and Stemline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

_HEAD_BYTES = 1024
_MEMBER = re.compile(rb'\s*"(\w+)"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)\s*,')
_CONTENT = re.compile(rb'\s*"(params|result|error)"\s*:')


class TooLong(NamedTuple):
    """A line above the limit, dropped while it arrived. `call_id` and `is_call` say which message it was, where that
    stands before its content."""

    call_id: Any = None
    is_call: bool = False


def read_lines(incoming: IO[bytes], most_bytes: int) -> Iterator[bytes | TooLong]:
    """Each whole line with its LF. One that is too long is passed over in pieces, never held whole."""
    head = b""
    while True:
        line = incoming.readline(most_bytes)
        if not line:
            return
        if not line.endswith(b"\n"):
            head = head or line[:_HEAD_BYTES]
        elif head:
            yield _too_long(head)
            head = b""
        else:
            yield line


def _too_long(head: bytes) -> TooLong:
    """What the beginning of the line tells."""
    members: dict[bytes, Any] = {}
    at = head.find(b"{") + 1
    member = _MEMBER.match(head, at)
    while member:
        try:
            members[member[1]] = json.loads(member[2].decode("utf-8"))
        except ValueError:
            return TooLong()
        at = member.end()
        member = _MEMBER.match(head, at)
    content = _CONTENT.match(head, at)
    is_call = content is not None and content[1] == b"params" and b"method" in members
    return TooLong(members.get(b"id") if content else None, is_call)
