"""`stemline verify` and other output of untrusted text: files and hosts can contain anything."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemline.clips import Skip
from stemline.errors import Code
from stemline.media import AudioFormat, SampleFormat, StemTags, open_writer
from stemline.workflow import RunResult
from stemline_app.cli import main
from stemline_app.cli.output import say_edit_notices

RECORD: dict[str, Any] = json.loads((Path(__file__).parent / "sidecars" / "Hund.json").read_text(encoding="utf-8"))
RECORD = {name: RECORD[name] for name in list(RECORD)[: list(RECORD).index("null")]}
STEERING = "\x1b]0;another title\x07dog\nresidual: ok"
ODD_RECORDS: list[dict[str, object]] = [
    {**RECORD, "source": 1},
    {**RECORD, "prompt": [1]},
    {**RECORD, "source": {"media": "m"}},
    {"stem": "x"},
]
ODD_SIDECARS = ["[1]", *(json.dumps({**RECORD, "null": null}) for null in (1, {}, {"dbfs": "x"})), "[" * 100_000, ""]


def stem_file(path: Path, record: dict[str, object]) -> str:
    with open_writer(path, AudioFormat(SampleFormat.WAV24, 48000, 1), StemTags(metadata=record)) as writer:
        writer.write(np.zeros((1, 100), np.float32))
    return str(path)


def test_an_invalid_record_is_reported_and_the_next_file_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = [stem_file(tmp_path / f"{n}.wav", record) for n, record in enumerate(ODD_RECORDS)]
    good = stem_file(tmp_path / "good.wav", RECORD)
    assert main(["verify", *odd, good]) == 1
    out, err = capsys.readouterr()
    for path in odd:
        assert f"stemline: {path}: This file carries no record of Stemline." in err
    assert out.splitlines()[-5:-3] == [
        "  stem       Hund, prompt 'der Hund bellt, größer'",
        "  source     file:///media/take.wav, stream 0",
    ]


@pytest.mark.parametrize("sidecar", ODD_SIDECARS, ids=lambda text: text[:30])
def test_an_invalid_sidecar_is_ignored(tmp_path: Path, sidecar: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = stem_file(tmp_path / "a.wav", RECORD)
    (tmp_path / "a.json").write_text(sidecar, encoding="utf-8")
    assert main(["verify", path]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: ok. ") and "null" not in out
    assert err == ""


def test_text_of_a_file_cannot_control_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = {**RECORD["prompt"], "text": "\ud800"}
    record = {**RECORD, "stem": STEERING, "prompt": prompt, "model": STEERING}
    path = stem_file(tmp_path / "a.wav", record)
    main(["verify", path])
    plain = capsys.readouterr().out
    assert "\x1b" not in plain and "\x07" not in plain
    assert "\\x1b]0;another title\\x07dog\\nresidual: ok" in plain.splitlines()[1]
    main(["verify", path, "--json"])
    out = capsys.readouterr().out
    assert out.isascii(), "a lone surrogate could not be written"
    assert json.loads(out)["results"][0]["stemline"]["stem"] == STEERING


def test_names_of_a_host_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    skip = Skip(STEERING, STEERING, Fraction(0), Code.CLIP_NOT_MEDIA, STEERING)
    say_edit_notices(RunResult((), (skip,), (), (), (), "", (STEERING,), "noop", 0.0, 0.0, 0.0))
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert err.replace("\n", "").isprintable()
