"""Names from edits in messages for users."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_NAME = 120
_SHOWN_NAMES = 3


def printable_name(name: str) -> str:
    """Return a name from a file for a terminal or a report: printable, at most 120 characters."""
    short = name[:_MAX_NAME]
    return (short if short.isprintable() else "".join(c if c.isprintable() else " " for c in short)).strip()


def list_names(names: Sequence[str], what: str = "clips") -> str:
    """Return one name, or the number of names and the first of them."""
    if len(names) == 1:
        return names[0]
    some = list(dict.fromkeys(names))[:_SHOWN_NAMES]
    return f"{len(names)} {what} ({', '.join(some)}{', ...' if len(set(names)) > len(some) else ''})"
