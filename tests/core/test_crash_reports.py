"""Internal errors: the user gets one sentence and a file, never a traceback."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stemline.paths import cache_dir
from stemline_app.cli import main, models
from stemline_app.doctor import environment


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> int:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(models, "run", fault)


@pytest.mark.usefixtures("broken")
def test_an_internal_error_is_one_sentence_and_a_file_with_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 1
    out, err = capsys.readouterr()
    (error,) = json.loads(out)["errors"]
    (kept,) = (cache_dir() / "faults").iterdir()
    assert error["code"] == "INTERNAL"
    assert err == f"stemline: {error['message']} {error['advice']}\n"
    assert str(kept) in error["advice"]
    assert "ZeroDivisionError: on purpose" in kept.read_text(encoding="utf-8")


@pytest.mark.usefixtures("broken")
def test_an_internal_error_is_printed_where_no_file_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEMLINE_CACHE", str(tmp_path / "file"))
    assert main(["models"]) == 1
    assert "ZeroDivisionError: on purpose" in capsys.readouterr().err


def test_a_nul_in_a_folder_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["separate", "a.wav", "--prompt", "x", "-o", "a\0b"])
    assert ended.value.code == 2
    assert "NUL" in capsys.readouterr().err


def test_an_unreadable_edit_is_named_as_the_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit = tmp_path / "edit.otio"
    edit.write_text("no edit", encoding="utf-8")
    assert main(["batch", str(edit), "--stem", "a=speech", "-o", str(tmp_path / "out"), "--json"]) == 2
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error["input"] == str(edit)


def test_a_check_that_times_out_is_reported_without_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def late() -> None:
        raise subprocess.TimeoutExpired(["python", "-c", "a long program"], 120)

    monkeypatch.setattr(environment, "_probe", late)
    (check,) = environment._server_packages()
    assert check.message == "did not load within 120 s"
    assert "long program" not in check.message + check.advice
