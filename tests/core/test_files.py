"""Small files are written completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stemline.errors import Code, OutputError
from stemline.files import write_json


def test_a_name_that_is_not_utf8_is_refused_without_a_trace(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not UTF-8") as caught:
        write_json(tmp_path / "kept.json", {"path": os.fsdecode(b"/m/caf\xe9.wav")})
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(tmp_path / "file" / "kept.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_text_is_written_as_utf8_with_unix_line_ends(tmp_path: Path) -> None:
    write_json(tmp_path / "kept.json", {"name": "spät"})
    assert (tmp_path / "kept.json").read_bytes() == '{"name": "spät"}'.encode()
