"""Messages for callers on other machines: file names without the server's folders."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""(['"])((?:[A-Za-z]:[\\/]|\\\\|/)[^'"]*)\1""")
_BARE = re.compile(r"(?<![\w/\\.:'\"<-])(?:[A-Za-z]:[\\/]|\\\\|/)[^\s'\";,()]+")


def without_folders(text: str) -> str:
    """Return `text` with every absolute path cut to its last part, in quotation marks as it was."""
    text = _QUOTED.sub(lambda found: f"{found[1]}{_last_part(found[2])}{found[1]}", text)
    return _BARE.sub(lambda found: _last_part(found[0]), text)


def _last_part(path: str) -> str:
    stripped = path.rstrip("/\\.:")
    ending = path[len(stripped) :].strip("/\\")
    return re.split(r"[/\\]", stripped)[-1] + ending
