"""Detection that accuses a foreign file, misses our own, guesses gains, or calls a sound made by a model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT
from core.sound_textures import RATE, Sound, coded, equalised, texture
from stemline import detect
from stemline.clips import MediaSource
from stemline.media import AudioFormat, SampleFormat, open_audio, open_writer
from stemline.trust import privacy
from stemline.trust.spread_mark import SpreadMark
from stemline_app.cli import main


def wave(path: Path, sound: Sound, rate: int = RATE) -> Path:
    with open_writer(path, AudioFormat(SampleFormat.WAV32F, rate, sound.shape[0])) as writer:
        writer.write(np.ascontiguousarray(sound))
    return path


def pair(folder: Path, seed: int) -> tuple[list[Path], list[Sound]]:
    """Write speech and a street, like the stem and the residual of a set, in another order for each seed."""
    sounds = []
    for name, step in (("recorder.wav", 91_117), ("street.flac", 54_011)):
        with open_audio(MediaSource(str(ROOT / "examples" / "interview" / name))) as reader:
            sounds.append(np.roll(reader.read(0, 8 * RATE), seed * step, axis=1) * np.ones((2, 1), np.float32))
    return [wave(folder / f"{name}.wav", sound) for name, sound in zip("ab", sounds, strict=True)], sounds


@pytest.mark.parametrize("clips", [4, pytest.param(40, marks=[pytest.mark.hour, pytest.mark.timeout(3600)])])
def test_gains_of_stems_are_told_after_coding_trimming_and_other_gains(tmp_path: Path, clips: int) -> None:
    random = np.random.default_rng(3)
    close, shares = 0, []
    for seed in range(clips):
        stems, sounds = pair(tmp_path, seed)
        gains = random.uniform(-12, 6, 2)
        amounts = (0.4 * 10 ** (gains / 20)).astype(np.float32)
        mix = (amounts[0] * sounds[0] + amounts[1] * sounds[1])[:, RATE:]
        published = wave(tmp_path / "mix.wav", coded(mix, "aac", 128_000))
        explained = detect(published, against=stems).explanation
        assert explained is not None and explained.found
        shares.append(explained.share)
        found = [stem.gain_db for stem in explained.stems]
        close += all(
            value is not None and abs(value - gain - 20 * np.log10(0.4)) <= 0.5
            for value, gain in zip(found, gains, strict=True)
        )
        other = texture(4 * seed + 2, 8.0)[:, : mix.shape[1]]
        under = mix + other * np.float32(mix.std() / other.std() * 10 ** (-10 / 20))
        buried = detect(wave(tmp_path / "under.wav", coded(under, "aac", 128_000)), against=stems).explanation
        assert buried is not None and buried.found
    assert close >= 0.95 * clips and np.quantile(shares, 0.05) >= 0.95


@pytest.mark.parametrize("clips", [6, pytest.param(200, marks=[pytest.mark.hour, pytest.mark.timeout(3600)])])
def test_foreign_recordings_are_never_called_explained(tmp_path: Path, clips: int) -> None:
    stems, _ = pair(tmp_path, 0)
    for seed in range(clips):
        explained = detect(wave(tmp_path / "foreign.wav", texture(1000 + seed, 8.0)), against=stems).explanation
        assert explained is not None and not explained.found and not explained.stems


def test_gains_are_not_guessed_where_they_cannot_be_known(tmp_path: Path) -> None:
    stems, sounds = pair(tmp_path, 1)
    mix = sounds[0] + sounds[1]
    louder = texture(2, 8.0)
    explained = detect(
        wave(tmp_path / "buried.wav", mix + louder * (mix.std() / louder.std())), against=stems
    ).explanation
    assert explained is not None and explained.found and explained.stems[0].gain_db is None
    explained = detect(wave(tmp_path / "equalised.wav", equalised(mix)), against=stems).explanation
    assert explained is not None and explained.equalised and explained.stems[0].gain_db is None
    inverted = detect(wave(tmp_path / "inverted.wav", 0.5 * sounds[0] - sounds[1]), against=stems).explanation
    assert inverted is not None
    assert [(stem.gain_db, stem.inverted) for stem in inverted.stems] == [(-6.02, False), (0.0, True)]
    alone = detect(wave(tmp_path / "alone.wav", sounds[1]), against=stems).explanation
    assert alone is not None and [stem.to_json()["gain_db"] for stem in alone.stems] == ["off", 0.0]


def test_clips_of_an_edit_are_found_at_their_places(tmp_path: Path) -> None:
    first, second = texture(1, 6.0), texture(5, 9.0)
    stems = [wave(tmp_path / "first.wav", first), wave(tmp_path / "second.wav", second)]
    edit = np.concatenate([np.zeros((2, RATE // 2), np.float32), 0.5 * first, second[:, 2 * RATE :]], axis=1)
    explained = detect(wave(tmp_path / "edit.wav", edit), against=stems).explanation
    assert explained is not None and explained.share > 0.8
    assert sorted(round(stem.start_s, 2) for stem in explained.stems) == [0.5, 4.5]


def test_nothing_found_is_called_nothing_and_never_a_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wave(tmp_path / "a.wav", texture(1, 3.0))
    assert main(["detect", str(file)]) == 0
    text = capsys.readouterr().out
    assert "proves nothing" in text and "observed:" in text
    assert main(["detect", str(file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["results"][0]
    assert answer["findings"] == [] and answer["mark"] is None and answer["explained"] is None
    (tmp_path / "b.wav").write_bytes(b"RIFF but not really")
    assert main(["detect", str(tmp_path / "b.wav"), str(tmp_path / "none.wav")]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_the_mark_of_this_installation_is_found_and_that_of_another_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wave(tmp_path / "plain.wav", texture(1))
    assert detect(plain).mark is None, "there is no key yet, and looking makes none"
    assert privacy.mark_key(make=False) is None
    key = privacy.mark_key(make=True)
    assert key is not None and detect(plain).mark is not None and detect(plain).findings == ()
    long = np.concatenate(
        [texture(3, 40.0), np.concatenate(list(SpreadMark(key).embed([texture(1)], 0xCAFE, RATE)), axis=1)], axis=1
    )
    file = wave(tmp_path / "marked.wav", long)
    assert detect(file).findings == ("Mark of this installation in sound made from words; message cafe.",)
    monkeypatch.setenv("STEMLINE_HOME", str(tmp_path / "other"))
    privacy.mark_key(make=True)
    assert detect(file).findings == ()


def test_a_stem_is_found_by_its_record_its_signature_and_its_set(
    shared_server: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    media = wave(tmp_path / "in.wav", texture(1, 3.0))
    assert main(["separate", str(media), "--stem", "one=x", "--model", "noop", "-o", str(tmp_path / "out")]) == 0
    stems = [str(path) for path in sorted((tmp_path / "out").glob("*.wav"))]
    assert len(stems) == 2
    found = detect(stems[0], against=stems)
    assert found.findings[0].startswith("Record: Unchanged by its own checksum")
    assert found.verdict is not None and found.verdict.record is not None
    assert detect(media, against=stems).findings == ("Explained by these stems: they account for 100 % of its energy.",)
