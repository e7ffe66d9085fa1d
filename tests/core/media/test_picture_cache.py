"""The cache of pictures stays below its limit without taking a file from another process."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from stemline.media.pictures.cache import PictureCache

MIB = 1 << 20
HOUR_S = 3600


def filled(cache: PictureCache, name: str, *, age_s: float = 0) -> Path:
    def write(part: Path) -> None:
        part.write_bytes(bytes(MIB))

    path = cache.get(name, ".mov", write)
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    return PictureCache(tmp_path / "pictures", limit_bytes=2 * MIB)


def test_above_the_limit_the_files_used_longest_ago_are_deleted(cache: PictureCache) -> None:
    old = [filled(cache, f"{age}", age_s=age * HOUR_S) for age in (4, 3, 2)]
    filled(cache, "new")
    assert [path.exists() for path in old] == [False, False, True]


def test_files_that_another_process_just_got_or_still_writes_stay(cache: PictureCache) -> None:
    """Another process has these paths and has not opened them yet: deleting them would fail its run."""
    theirs = [filled(cache, f"theirs {number}", age_s=60) for number in range(3)]
    part = theirs[0].with_name(".theirs.mov.123-0123abcd.part")
    part.write_bytes(bytes(4 * MIB))
    filled(cache, "ours")
    assert all(path.exists() for path in (*theirs, part))


def test_a_file_that_is_found_again_counts_as_used(cache: PictureCache) -> None:
    first, second = filled(cache, "first", age_s=5 * HOUR_S), filled(cache, "second", age_s=4 * HOUR_S)
    assert cache.find("first", ".mov") == first
    filled(cache, "third")
    assert first.exists()
    assert not second.exists()


def test_abandoned_parts_are_removed_and_a_failed_write_leaves_nothing(cache: PictureCache) -> None:
    path = filled(cache, "whole")
    abandoned = path.with_name(".gone.mov.123-0123abcd.part")
    abandoned.write_bytes(b"part")
    os.utime(abandoned, (0, 0))

    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise ValueError

    with pytest.raises(ValueError):
        cache.get("failed", ".mov", fail)
    filled(cache, "next")
    assert not abandoned.exists()
    assert cache.find("failed", ".mov") is None
    assert not list(cache.folder.glob("*.part"))
