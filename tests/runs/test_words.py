"""Sounds from words that are lost, repeated, told where they must not be, or made where nothing is replaced."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runs.conftest import noise, record_in
from runs.test_derived import Command, derived, level_db
from runs.test_separate import samples
from stemline import detect
from stemline.media import AudioFormat, SampleFormat, measure_loudness, open_writer

pytestmark = pytest.mark.smoke


def words_of(tmp_path: Path, *more: str, text: str = "rain") -> tuple[object, ...]:
    media = noise(tmp_path / "in.wav", seconds=3)
    stems = ("--stem", "a=x", "--model", "noop", "--replace", f"a=words:{text}", "--generator", "noop")
    return ("separate", media, *stems, *more, "-o", tmp_path / "out")


def test_a_sound_from_words_fills_the_place_at_its_loudness_and_says_so(command: Command, tmp_path: Path) -> None:
    code, answer, _ = command(*words_of(tmp_path))
    assert code == 0, answer
    assert list(answer["results"][0]["derived"]) == ["fill a"], "the residual stays as it is"
    fill, stem = samples(derived(answer, "fill a")), samples(answer["results"][0]["stems"][0]["path"])
    assert fill.shape == stem.shape
    loudness = [measure_loudness([sound.astype(np.float32)], 48_000).lufs for sound in (fill, stem)]
    assert abs(loudness[0] - loudness[1]) < 1.0
    record = record_in(str(derived(answer, "fill a")))
    made_from = record.extra["made_from"]
    assert (record.kind, record.made_by) == ("fill", "generative")
    assert (made_from["words"], made_from["generator"], made_from["commercial"]) == ("rain", "noop", "yes")
    assert answer["results"][0]["null"] == {"peak": 0.0, "dbfs": -240.0}
    assert not [path for path in (tmp_path / "out").iterdir() if path.suffix == ".part"]


def test_the_same_words_give_the_same_bytes_and_each_take_others(command: Command, tmp_path: Path) -> None:
    _, first, _ = command(*words_of(tmp_path, "--takes", "2"))
    takes = [derived(first, name).read_bytes() for name in ("fill a", "fill a take 2")]
    assert takes[0] != takes[1]
    for name in ("fill a", "fill a take 2"):
        derived(first, name).unlink()
    code, again, _ = command(*words_of(tmp_path, "--takes", "2"))
    assert code == 0
    assert [derived(again, name).read_bytes() for name in ("fill a", "fill a take 2")] == takes
    code, other, _ = command(*words_of(tmp_path, text="wind"))
    assert code != 0, "other words are another file of the same name"
    code, other, _ = command(*words_of(tmp_path, "--overwrite", text="wind"))
    assert derived(other, "fill a").read_bytes() != takes[0]


def test_a_sound_longer_than_the_generator_makes_is_joined_without_a_step(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav", seconds=24)
    stems = ("--stem", "a=x", "--model", "noop", "--replace", "a=words:hiss", "--generator", "noop")
    code, answer, _ = command("separate", media, *stems, "-o", tmp_path / "out")
    assert code == 0, answer
    fill = samples(derived(answer, "fill a"))
    assert fill.shape == samples(media).shape
    levels = [level_db(fill[:, at : at + 12_000]) for at in range(0, fill.shape[1] - 12_000, 12_000)]
    assert max(levels) - min(levels) < 1.5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--generator", "nonsense"), "no generator 'nonsense'"),
        (("--generator", "stable_audio"), "cannot run on the server"),
        (("--takes", "99"), "takes lies from 1 to 8"),
        (("--replace-vary", "200"), "vary needs words"),
        (("--replace-duck", "b=-6"), "cannot be lowered under 'b'"),
        (("--replace-room", "cathedral"), "no room 'cathedral'"),
        (("--replace-eq", "900"), "match_eq lies from 0 to 1"),
    ],
)
def test_words_that_cannot_be_made_are_one_sentence(
    command: Command, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    code, answer, _ = command(*words_of(tmp_path, *more))
    assert code != 0
    assert message in answer["errors"][0]["message"]


def test_words_stay_out_of_records_where_that_was_asked_for(command: Command, tmp_path: Path) -> None:
    code, answer, _ = command(*words_of(tmp_path, "--record-words", "omit", text="secret project rain"))
    assert code == 0, answer
    telling = [path.name for path in (tmp_path / "out").rglob("*") if b"secret project" in path.read_bytes()]
    assert telling == []


def test_a_variation_lies_at_the_place_of_its_stem(command: Command, tmp_path: Path) -> None:
    code, answer, _ = command(*words_of(tmp_path, "--replace-vary", "1"))
    assert code == 0, answer
    fill, stem = samples(derived(answer, "fill a")), samples(answer["results"][0]["stems"][0]["path"])
    middle = slice(48_000, 96_000)
    assert np.corrcoef(fill[0, middle], stem[0, middle])[0, 1] > 0.9, "nearly the stem itself"


def test_only_sounds_from_words_are_marked_and_the_record_says_so(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav", seconds=8)
    arguments = ("separate", media, "--stem", "a=x", "--model", "noop", "--generator", "noop", "--remix", "a=-3")
    found: dict[str, tuple[Any, Any]] = {}
    for mark in ("auto", "never"):
        output = tmp_path / mark
        code, answer, err = command(*arguments, "--replace", "a=words:hiss", "--mark", mark, "-o", output)
        assert code == 0, err
        result = answer["results"][0]
        fill = Path(result["derived"]["fill a"])
        record = record_in(str(fill))
        found[mark] = (record.extra["made_from"].get("mark"), detect(fill).mark)
        for path in (result["stems"][0]["path"], result["residual"], result["derived"]["remix"]):
            assert not getattr(detect(path).mark, "found", False), "the sum and the null are as they were"
        assert result["null"] == {"peak": 0.0, "dbfs": -240.0}
    noted, mark_found = found["auto"]
    assert mark_found.found and noted == {"name": "stemline-spread-1", "message": f"{mark_found.message:04x}"}
    assert found["never"][0] is None and not found["never"][1].found


def test_a_killed_run_leaves_no_half_fill_and_the_next_one_finishes(
    command: Command, tmp_path: Path, shared_server: None
) -> None:
    arguments = words_of(tmp_path, "--takes", "2", text="sleep:2")
    process = subprocess.Popen(
        [sys.executable, "-m", "stemline", *map(str, arguments), "--json"], stdout=subprocess.DEVNULL
    )
    out, deadline = tmp_path / "out", time.monotonic() + 60
    while time.monotonic() < deadline and not any(out.glob(".fills.*.part")):
        time.sleep(0.05)
    assert any(out.glob(".fills.*.part")), "it works on the fills"
    process.kill()
    process.wait()
    assert not list(out.glob("*fill a*.wav")), "no half file has a final name"
    code, answer, _ = command(*arguments)
    assert code == 0, answer
    assert answer["results"][0]["engine_s"] == 0, "the stems are not separated again"
    assert list(answer["results"][0]["derived"]) == ["fill a", "fill a take 2"]
    assert not list(out.glob(".fills.*.part")), "the folder of the killed run goes"


def test_a_silent_stem_gets_silence_and_no_sound_is_made(command: Command, tmp_path: Path) -> None:
    media = tmp_path / "silence.wav"
    with open_writer(media, AudioFormat(SampleFormat.WAV24, 48_000, 2)) as writer:
        writer.write(np.zeros((2, 96_000), np.float32))
    for number, value in enumerate(("words:sleep:600", "room")):
        more = ("--replace", f"a={value}", "--generator", "noop", "--replace-mode", "under")
        out = tmp_path / str(number)
        code, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", *more, "-o", out)
        assert code == 0, answer
        files = answer["results"][0]["derived"]
        assert "fill a" in files and not answer["results"][0]["warnings"][1:]
        assert not any(samples(path).any() for path in files.values())


def test_words_fill_sounds_at_the_very_start_and_end(command: Command, tmp_path: Path) -> None:
    media = tmp_path / "ends.wav"
    sound = np.zeros((1, 4 * 48_000), np.float32)
    burst = np.random.default_rng(1).integers(-(2**21), 2**21, (1, 48_000)) / 2**23
    sound[:, :48_000], sound[:, -48_000:] = burst, burst
    with open_writer(media, AudioFormat(SampleFormat.WAV24, 48_000, 1)) as writer:
        writer.write(sound)
    stems = ("--stem", "a=x", "--model", "noop", "--replace", "a=words:rain", "--generator", "noop")
    code, answer, _ = command("separate", media, *stems, "-o", tmp_path / "out")
    assert code == 0, answer
    fill = samples(derived(answer, "fill a"))
    assert fill.shape == sound.shape
    assert level_db(fill[:, :2000]) > -40 and level_db(fill[:, -2000:]) > -40, "no fade at the ends of the media"
    assert not fill[:, round(1.7 * 48_000) : round(2.3 * 48_000)].any()
