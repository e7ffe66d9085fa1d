"""`stemline separate` refuses bad input in one sentence and separates the rest."""

from __future__ import annotations

import os
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.media import AudioFormat, AudioReader, SampleFormat, open_audio, open_writer
from stemline.workflow import segment_writer

Command = Callable[..., tuple[int, dict[str, Any], str]]


def test_an_internal_error_in_one_file_does_not_stop_the_others(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opening(source: MediaSource) -> AudioReader:
        if "bad" in source.path:
            raise ZeroDivisionError
        return open_audio(source)

    monkeypatch.setattr(segment_writer, "open_audio", opening)
    bad, good = noise(tmp_path / "bad.wav"), noise(tmp_path / "good.wav")
    code, answer, _ = command("separate", bad, good, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    assert code == 1
    assert [Path(result["media"]).name for result in answer["results"]] == ["good.wav"]
    assert [error["code"] for error in answer["errors"]] == ["INTERNAL"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every name is Unicode")
def test_a_name_that_is_not_utf8_is_refused_and_the_next_file_separated(command: Command, tmp_path: Path) -> None:
    bad, good = tmp_path / os.fsdecode(b"caf\xe9.wav"), noise(tmp_path / "good.wav")
    bad.write_bytes(good.read_bytes())
    code, answer, _ = command("separate", bad, good, "--prompt", "x", "--model", "noop", "-o", tmp_path / "o")
    assert code == 1
    assert [Path(result["media"]).name for result in answer["results"]] == ["good.wav"]
    assert "not UTF-8" in answer["errors"][0]["message"]


@pytest.mark.parametrize("part", [("--plus", "5..6"), ("--in", "0.5", "--out", "1", "--minus", "1.2..1.4")])
def test_a_span_outside_the_range_is_refused(command: Command, tmp_path: Path, part: tuple[str, ...]) -> None:
    media = noise(tmp_path / "in.wav")
    code, answer, _ = command("separate", media, "--prompt", "x", *part, "--model", "noop", "-o", tmp_path / "o")
    assert code == 2
    assert answer["errors"][0]["code"] == "MEDIA_OUT_OF_RANGE"


def test_an_impossible_peak_stops_a_file_before_the_work(command: Command, tmp_path: Path) -> None:
    path, other = tmp_path / "misread.wav", noise(tmp_path / "other.wav")
    sound = np.zeros((2, 96_000), np.float32)
    sound[1, 24_000] = -5000.0
    with open_writer(path, AudioFormat(SampleFormat.WAV32F, 48_000, 2)) as writer:
        writer.write(sound)
    asked = ("separate", path, other, "--prompt", "speech", "--model", "noop", "-o", tmp_path / "out")
    code, answer, _ = command(*asked)
    assert code == 1
    error = answer["errors"][0]
    assert error["code"] == "MEDIA_PEAK_TOO_HIGH"
    assert "+74.0 dBFS at 0.500 s" in error["message"]
    assert not list((tmp_path / "out").glob("misread*"))
    assert [Path(result["media"]).name for result in answer["results"]] == ["other.wav"]
    code, answer, _ = command(*asked, "--accept-peaks", "--overwrite")
    assert code == 0
    assert len(answer["results"]) == 2


def test_one_bad_file_does_not_stop_the_others(command: Command, tmp_path: Path) -> None:
    good, text = noise(tmp_path / "good.wav"), tmp_path / "text.wav"
    text.write_text("this is no sound")
    code, answer, err = command(
        "separate", text, good, tmp_path / "nope.wav", "--prompt", "x", "--model", "noop", "-o", tmp_path
    )
    assert code == 1
    assert [result["media"] for result in answer["results"]] == [str(good)]
    assert [error["code"] for error in answer["errors"]] == ["MEDIA_UNREADABLE", "MEDIA_MISSING"]
    assert err.count("stemline: ") == 2


def test_unreadable_files_alone_end_with_exit_code_2(command: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty.wav"
    with wave.open(str(empty), "wb") as file:
        file.setparams((1, 2, 48000, 0, "NONE", ""))
    code, answer, _ = command("separate", empty, "--prompt", "x", "--model", "noop", "-o", tmp_path)
    assert code == 2
    assert answer["errors"][0]["code"] == "MEDIA_EMPTY"


@pytest.mark.parametrize(
    "argv",
    [
        ["--prompt", ""],
        ["--prompt", "a\0b"],
        ["--prompt", "x" * 1001],
        ["--stem", "residual=x"],
        ["--stem", "../up=x"],
        ["--stem", "a=x", "--stem", "A=y"],
        ["--stem", "a=x", "--plus", "b=1..2"],
        ["--stem", "a=x", "--plus", "2..1"],
        ["--stem", "a=x", "--in", "soon"],
        ["--stem", "a=x", "--in", "5"],
        ["--stem", "a=x", "--stream", "3"],
        ["--stem", "a=x", "--model", "nonesuch"],
        [],
    ],
)
def test_wrong_usage_writes_nothing(command: Command, tmp_path: Path, argv: list[str]) -> None:
    media = noise(tmp_path / "in.wav")
    code, answer, err = command("separate", media, "--model", "noop", *argv, "-o", tmp_path / "o")
    assert code == 2
    assert answer["results"] == []
    assert err.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_channels_that_flac_cannot_hold_are_refused_before_the_work(command: Command, tmp_path: Path) -> None:
    many, few = noise(tmp_path / "many.wav", channels=9), noise(tmp_path / "few.wav", channels=8)
    code, answer, _ = command(
        "separate", many, few, "--prompt", "x", "--model", "noop", "--format", "flac", "-o", tmp_path / "o"
    )
    assert code == 1
    assert [Path(result["media"]).name for result in answer["results"]] == ["few.wav"]
    assert ["9 channels" in error["message"] for error in answer["errors"]] == [True]
    assert not list((tmp_path / "o").rglob("many*"))
