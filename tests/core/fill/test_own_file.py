"""A file in the place of a sound that is late, too loud, clicks, repeats or has the wrong length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.fill.test_room_tone import RATE, Recording, Sound, pink, repetition
from stemline.clips import SampleRange
from stemline.errors import MediaError
from stemline.fill import FillPlacement, RemovedSound, convert_fill_file, file_fill, own_file
from stemline.fill.onsets import onset
from stemline.fill.texture import read_whole
from stemline.media import AudioFormat, SampleFormat, measure_loudness, open_writer


def impact(length_s: float = 0.5, lead_s: float = 0.1, seed: int = 1) -> Sound:
    """Return a hit: silence, then noise that decays by 60 dB in 0.4 s."""
    random = np.random.default_rng(seed)
    hit = random.standard_normal(round(length_s * RATE)) * 10 ** (-3 * np.arange(round(length_s * RATE)) / (0.4 * RATE))
    return np.concatenate([np.zeros(round(lead_s * RATE)), 0.3 * hit]).astype(np.float32)[np.newaxis]


def written(path: Path, sound: Sound, rate: int = RATE) -> Path:
    with open_writer(path, AudioFormat(SampleFormat.WAV32F, rate, sound.shape[0])) as writer:
        writer.write(sound)
    return path


def filled(path: Path, stem: Sound, spans: list[tuple[int, int]], folder: Path, gain_db: float = 0.0) -> Sound:
    file = convert_fill_file(path, RATE, stem.shape[0], folder)
    ranges = [SampleRange(*span) for span in spans]
    return np.concatenate(list(file_fill(file, removed(stem, ranges), FillPlacement(gain_db=gain_db), seed=7)), axis=1)


def removed(stem: Sound, spans: list[SampleRange]) -> RemovedSound:
    """Return a stem beside a silent residual."""
    return RemovedSound(Recording(stem), Recording(np.zeros_like(stem)), spans, stem.shape[1])


@pytest.mark.parametrize("background_db", [-60, -40, -30])
def test_onsets_are_found_within_milliseconds(background_db: int) -> None:
    errors = []
    for seed in range(30):
        sound = impact(seed=seed)
        background = np.random.default_rng(seed + 100).standard_normal(sound.shape) * 0.3 * 10 ** (background_db / 20)
        found = onset((sound + background).astype(np.float32), RATE)
        errors.append(abs(found - 0.1 * RATE) / RATE)
    assert np.quantile(errors, 0.9) <= 0.005


def test_an_effect_meets_each_event_at_its_time_and_loudness(tmp_path: Path) -> None:
    stem = np.zeros((1, 6 * RATE), np.float32)
    events = [RATE, 3 * RATE, 5 * RATE]
    for at, gain in zip(events, (1.0, 0.25, 0.5), strict=True):
        hit = impact(lead_s=0, seed=3)[:, : RATE // 2] * gain
        stem[:, at : at + hit.shape[1]] += hit
    path = written(tmp_path / "knock.wav", impact(lead_s=0.2, seed=9))
    fill = filled(path, stem, [(at - 2000, at + RATE // 2) for at in events], tmp_path)
    assert fill.shape == stem.shape
    for at in events:
        window = slice(at - 2000, at + RATE // 2)
        assert abs(onset(fill[:, window], RATE) - 2000) <= 0.005 * RATE
        energies = [10 * np.log10((sound[:, window] ** 2).sum()) for sound in (fill, stem)]
        assert abs(energies[0] - energies[1]) < 1.5
    assert not fill[:, 2 * RATE : 2 * RATE + 1000].any()


def test_an_event_at_the_very_start_and_end_keeps_the_length(tmp_path: Path) -> None:
    stem = np.zeros((1, RATE), np.float32)
    stem[:, :4000], stem[:, -4000:] = 0.2, 0.2
    path = written(tmp_path / "knock.wav", impact(lead_s=0.3))
    fill = filled(path, stem, [(0, 4000), (RATE - 4000, RATE)], tmp_path)
    assert fill.shape == stem.shape
    assert fill.any()


def test_short_ambience_is_extended_without_audible_repetition(tmp_path: Path) -> None:
    stem = pink(20.0, seed=11)
    path = written(tmp_path / "rain.wav", pink(4.0, seed=12) * 10)
    fill = filled(path, stem, [(RATE, 19 * RATE)], tmp_path)
    assert repetition(fill[:, 2 * RATE : 18 * RATE]) <= 0.2
    loudness = [measure_loudness([sound[:, RATE : 19 * RATE]], RATE).lufs for sound in (fill, stem)]
    assert abs(loudness[0] - loudness[1]) < 1.0
    steps = np.abs(np.diff(fill[0]))
    assert steps[:RATE].max() < 0.05, "the ambience fades in"


def test_long_ambience_goes_on_where_it_stopped(tmp_path: Path) -> None:
    stem, ambience = pink(20.0, seed=11), pink(30.0, seed=12)
    path = written(tmp_path / "rain.wav", ambience)
    fill = filled(path, stem, [(2 * RATE, 5 * RATE), (10 * RATE, 13 * RATE)], tmp_path)
    first, second = fill[:, 3 * RATE : 4 * RATE], fill[:, 11 * RATE : 12 * RATE]
    assert abs(np.corrcoef(first[0], second[0])[0, 1]) < 0.3
    assert not fill[:, 7 * RATE : 8 * RATE].any()


@pytest.mark.parametrize(("rate", "have", "channels"), [(44_100, 1, 1), (96_000, 2, 2), (48_000, 1, 2), (32_000, 2, 1)])
def test_rate_and_channels_become_those_of_the_media(tmp_path: Path, rate: int, have: int, channels: int) -> None:
    sound = np.tile(np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate) * 0.1, (have, 1)).astype(np.float32)
    file = convert_fill_file(written(tmp_path / "tone.wav", sound, rate), RATE, channels, tmp_path)
    assert file.length_samples == pytest.approx(4 * RATE, abs=2)
    fill = filled(tmp_path / "tone.wav", np.tile(pink(6.0), (channels, 1)), [(RATE, 2 * RATE)], tmp_path)
    assert fill.shape == (channels, 6 * RATE)
    spectrum = np.abs(np.fft.rfft(fill[0, RATE : 2 * RATE]))
    assert int(spectrum.argmax()) == 440


def test_channels_that_cannot_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="has 3 channels"):
        convert_fill_file(written(tmp_path / "odd.wav", pink(1.0, channels=3)), RATE, 2, tmp_path)


class CountingRecording(Recording):
    """A recording that remembers how many samples were read."""

    read_samples = 0

    def read(self, start_sample: int, end_sample: int) -> Sound:
        self.read_samples += end_sample - start_sample
        return super().read(start_sample, end_sample)


def test_an_event_that_lasts_for_the_whole_film_is_not_read_into_memory(tmp_path: Path) -> None:
    length = 60 * RATE
    stem = CountingRecording(np.full((1, length), 0.1, np.float32))
    file = convert_fill_file(written(tmp_path / "knock.wav", impact()), RATE, 1, tmp_path)
    whole = RemovedSound(stem, stem, [SampleRange(0, length)], length)
    blocks = file_fill(file, whole, FillPlacement(), seed=7)
    assert sum(block.shape[1] for block in blocks) == length
    assert stem.read_samples <= length // 2


def test_many_long_spans_share_one_copy_of_the_ambience(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[SampleRange] = []

    def counted(sound: Recording, span: SampleRange) -> Sound:
        reads.append(span)
        return read_whole(sound, span)

    monkeypatch.setattr(own_file, "read_whole", counted)
    stem = pink(40, 1, 3)
    path = written(tmp_path / "rain.wav", pink(4, 1, 4))
    filled(path, stem, [(at * RATE, (at + 7) * RATE) for at in (0, 10, 20, 30)], tmp_path)
    assert len(reads) == 1


def test_a_sound_of_one_sample_is_refused_by_its_name(tmp_path: Path) -> None:
    path = written(tmp_path / "click.wav", np.full((1, 1), 0.5, np.float32), 44_100)
    with pytest.raises(MediaError, match=r"^click\.wav is shorter than a millisecond"):
        convert_fill_file(path, RATE, 1, tmp_path)
