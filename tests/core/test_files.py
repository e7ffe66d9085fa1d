"""Small files that are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stemline.errors import Code, OutputError
from stemline.files import write_json


def test_a_name_that_is_no_utf8_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not UTF-8") as caught:
        write_json(tmp_path / "kept.json", {"path": os.fsdecode(b"/m/caf\xe9.wav")})
    assert caught.value.code is Code.OUTPUT_UNWRITABLE
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        write_json(tmp_path / "file" / "kept.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_json(tmp_path / "kept.json", {"name": "spät"})
    assert (tmp_path / "kept.json").read_bytes() == '{"name": "spät"}'.encode()
