"""The tests of a module share a private server: what a killed host leaves at work must not wait before others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared_servers import cache_of_a_server


@pytest.fixture(scope="module")
def server_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with cache_of_a_server(tmp_path_factory) as cache:
        yield cache
