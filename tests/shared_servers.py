"""A private server that several tests share: the first that needs it starts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stemline.client import stop_private


@contextmanager
def cache_of_a_server(folders: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder that makes a private server its own; at the end the server is stopped."""
    cache = folders.mktemp("shared-server")
    yield cache
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMLINE_CACHE", str(cache))
        stop_private(timeout_s=60)
