"""Names out of edits in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_NAME = 120
_SHOWN_NAMES = 3


def printable_name(name: str) -> str:
    """A name from a file, fit for a terminal and a report: no control characters, no novels."""
    short = name[:_MAX_NAME]
    return (short if short.isprintable() else "".join(c if c.isprintable() else " " for c in short)).strip()


def several(names: Sequence[str], what: str = "clips") -> str:
    """One name, or how many there are and some of them."""
    if len(names) == 1:
        return names[0]
    some = list(dict.fromkeys(names))[:_SHOWN_NAMES]
    return f"{len(names)} {what} ({', '.join(some)}{', ...' if len(set(names)) > len(some) else ''})"
