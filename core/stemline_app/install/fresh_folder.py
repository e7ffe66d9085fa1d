"""An installed folder, replaced as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """Give the block an empty folder, which replaces `target` at the end of the block. Raises OSError.

    The old folder stays complete until the new one is: Windows refuses to move a folder while a file in it is in use.
    """
    fresh, old = (target.with_name(f".{target.name}.{kind}") for kind in ("part", "old"))
    for left in (fresh, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)
