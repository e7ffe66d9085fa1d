"""`stemline separate` run again or stopped: existing files are reused, refused or rewritten, and reported correctly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runs.conftest import noise, record_in
from stemline.errors import Cancelled
from stemline.workflow import fileset
from stemline.workflow.previous_stems import claim
from stemline.workflow.results import Null

Command = Callable[..., tuple[int, dict[str, Any], str]]


def test_a_second_run_reuses_and_another_prompt_does_not_overwrite(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    how = ("--model", "noop", "-o", tmp_path)
    _, first, _ = command("separate", media, "--stem", "a=x", *how)
    before = Path(first["results"][0]["residual"]).stat().st_mtime_ns
    code, again, _ = command("separate", media, "--stem", "a=x", *how)
    assert code == 0
    assert again["results"][0]["engine_s"] == 0
    assert Path(first["results"][0]["residual"]).stat().st_mtime_ns == before
    code, refused, _ = command("separate", media, "--stem", "a=other", *how)
    assert code == 1
    assert refused["errors"][0]["code"] == "OUTPUT_EXISTS"
    code, _, _ = command("separate", media, "--stem", "a=other", *how, "--overwrite")
    assert code == 0


@pytest.mark.parametrize("part", [{"file": "a.wav"}, {"null": None}, {"warnings": {}}, {"file": {"name": 3}}])
def test_a_file_with_a_damaged_sidecar_is_written_again(
    command: Command, tmp_path: Path, part: dict[str, object]
) -> None:
    how = ("separate", noise(tmp_path / "in.wav"), "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    _, first, _ = command(*how)
    sidecar = Path(first["results"][0]["stems"][0]["path"]).with_suffix(".json")
    record = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**record, **part}))
    code, answer, _ = command(*how)
    assert (code, answer["errors"]) == (0, [])
    assert {**json.loads(sidecar.read_text()), "job": ""} == {**record, "job": ""}


def test_temporary_files_of_killed_runs_alone_are_removed(command: Command, tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    gone = tmp_path / f".in.mix-a.wav.{int(dead.stdout)}-0123abcd.part"
    alive, other = tmp_path / f".in.mix-a.wav.{os.getpid()}-0123abcd.part", tmp_path / ".film.mov.part"
    for path in (gone, alive, other):
        path.write_bytes(b"half")
    command("separate", noise(tmp_path / "in.wav"), "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    assert [path.exists() for path in (gone, alive, other)] == [False, True, True]


def test_a_new_file_never_has_the_old_sidecar(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped while the null is measured, when the files have their names already."""
    how = ("separate", noise(tmp_path / "in.wav"), "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    command(*how)
    with monkeypatch.context() as patch:
        patch.setattr(fileset, "measure_null", stopped)
        code, _, _ = command(*how, "--seed", "1", "--overwrite")
    assert code == 130
    code, refused, _ = command(*how)
    assert (code, refused["errors"][0]["code"]) == (1, "OUTPUT_EXISTS")
    code, answer, _ = command(*how, "--seed", "1")
    assert code == 0
    assert record_in(answer["results"][0]["stems"][0]["path"]).seed == 1


def stopped(*_: object) -> Null:
    raise Cancelled


def test_finished_files_are_listed_after_a_stop(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = noise(tmp_path / "first.wav"), noise(tmp_path / "second one.wav")
    measured = fileset.measure_null
    monkeypatch.setattr(
        fileset,
        "measure_null",
        lambda request, *rest: (stopped if request.source.path == str(second) else measured)(request, *rest),
    )
    code, answer, err = command("separate", first, second, "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    assert code == 130
    assert [result["media"] for result in answer["results"]] == [str(first)]
    assert [error["input"] for error in answer["errors"]] == [str(second)]
    assert "Stopped" in err


def test_two_runs_do_not_write_the_same_set_at_once(own_folders: None, tmp_path: Path) -> None:
    paths, fingerprints = {"a": tmp_path / "in.a", "residual": tmp_path / "in.residual"}, {"a": "1", "residual": "2"}
    log: list[str] = []
    first_writes = threading.Event()

    def write(name: str) -> None:
        with claim(paths, fingerprints, overwrite=False):
            log.append(f"{name} starts")
            first_writes.set()
            time.sleep(0.2)
            log.append(f"{name} ends")

    first = threading.Thread(target=write, args=("first",))
    first.start()
    assert first_writes.wait(10)
    write("second")
    first.join()
    assert log == ["first starts", "first ends", "second starts", "second ends"]
