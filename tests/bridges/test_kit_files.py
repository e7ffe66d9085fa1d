"""A file is replaced as a whole, whatever ends the write."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stemline_bridge import atomic_path, atomic_write, read_json_object
from stemline_bridge.files import PART_NAME, part_path, put_in_place


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_a_reader_sees_the_old_content_until_the_new_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    atomic_write(target, "old")
    with atomic_path(target) as part:
        part.write_text("ne")
        assert target.read_text() == "old"
        part.write_text("new")
    assert target.read_text() == "new"
    assert _names(tmp_path) == ["record.json"]


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_write_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "record.json"
    atomic_write(target, "old")
    with pytest.raises(type(failure)), atomic_path(target) as part:
        part.write_text("half")
        raise failure
    assert target.read_text() == "old"
    assert _names(tmp_path) == ["record.json"]


def test_text_that_is_not_unicode_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UnicodeEncodeError):
        atomic_write(tmp_path / "record.json", "caf\udce9")
    assert _names(tmp_path) == []


def test_a_folder_that_is_missing_is_made_and_line_ends_stay(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "text"
    atomic_write(target, "one\ntwo\r\n")
    assert target.read_bytes() == b"one\ntwo\r\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    target = tmp_path / "token"
    target.write_text("")
    target.chmod(0o644)
    atomic_write(target, "secret", mode=0o600)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["x" * 250, "語" * 83, "\U0001f3ac" * 62])
def test_the_longest_file_names_can_be_written(tmp_path: Path, name: str) -> None:
    atomic_write(tmp_path / name, b"x")
    assert _names(tmp_path) == [name]


def test_a_temporary_file_names_the_process_that_left_it(tmp_path: Path) -> None:
    match = PART_NAME.fullmatch(part_path(tmp_path / "a.b.wav").name)
    assert match is not None
    assert int(match["pid"]) == os.getpid()


def test_a_durable_write_flushes_the_file_before_and_the_folder_after_its_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure the new name must not lead to an empty file, nor the old name be all there is."""
    target, steps = tmp_path / "journal", []

    def flushed(descriptor: int) -> None:
        what = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append((what, target.exists()))

    monkeypatch.setattr(os, "fsync", flushed)
    atomic_write(target, "x")
    assert steps == []
    target.unlink()
    atomic_write(target, "x", durable=True)
    assert steps == [("file", False), ("folder", True)]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "record"
    atomic_write(target, "old")
    code = (
        "import os, sys, pathlib; from stemline_bridge import atomic_path\n"
        "with atomic_path(pathlib.Path(sys.argv[1])) as part:\n"
        "    part.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == 9
    assert target.read_text() == "old"


def test_a_file_that_cannot_be_renamed_stays_for_another_try(tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_text("x")
    (tmp_path / "target" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        put_in_place(part, tmp_path / "target")
    assert part.exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"\xff{}", b"[" * 100_000, b'{"a": ' * 50_000, b" " * 200 + b"{}"],
    ids=["empty", "cut short", "a list", "not UTF-8", "deep list", "deep object", "too large"],
)
def test_a_file_that_holds_no_small_object_reads_as_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    assert read_json_object(file, max_bytes=100 if content.startswith(b" ") else 1 << 20) is None


def test_a_missing_file_reads_as_none_and_an_object_as_itself(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert read_json_object(file) is None
    file.write_text('{"name": "Café"}', encoding="utf-8")
    assert read_json_object(file) == {"name": "Café"}
