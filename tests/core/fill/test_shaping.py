"""Files in the place of a sound that keep the wrong tone, stay dry, drown the dialogue, or lie at the wrong time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.fill.test_own_file import impact, removed, written
from core.fill.test_room_tone import RATE, Recording, Sound, pink, third_octaves_db
from stemline.clips import SampleRange
from stemline.errors import MediaError, UsageError
from stemline.fill import Ducking, FillPlacement, check_room, convert_fill_file, file_fill
from stemline.fill.onsets import event_onsets
from stemline.fill.shaping import filtered, room_impulse


def placed(
    path: Path, stem: Sound, span: tuple[int, int], folder: Path, placement: FillPlacement, room: str = ""
) -> Sound:
    file = convert_fill_file(path, RATE, stem.shape[0], folder, room)
    return np.concatenate(list(file_fill(file, removed(stem, [SampleRange(*span)]), placement, seed=7)), axis=1)


@given(st.lists(st.integers(1, 700), min_size=1, max_size=8), st.integers(1, 900), st.integers(0, 300))
@settings(max_examples=30)
def test_filtering_in_blocks_is_filtering_the_whole(sizes: list[int], length: int, delay: int) -> None:
    random = np.random.default_rng(sum(sizes))
    sound = random.standard_normal((2, sum(sizes))).astype(np.float32)
    taps = random.standard_normal((1, length)).astype(np.float32)
    blocks = np.split(sound, np.cumsum(sizes)[:-1], axis=1)
    made = np.concatenate(list(filtered(blocks, taps, delay)), axis=1)
    whole = np.stack([np.convolve(channel.astype(np.float64), taps[0].astype(np.float64)) for channel in sound])
    assert np.allclose(made, whole[:, delay:], atol=1e-3)


def test_equalisation_brings_the_tone_of_the_removed_sound(tmp_path: Path) -> None:
    white = (0.05 * np.random.default_rng(3).standard_normal((1, 12 * RATE))).astype(np.float32)
    stem = pink(12.0, seed=4)
    path, span = written(tmp_path / "white.wav", white), (2 * RATE, 10 * RATE)
    heard = slice(3 * RATE, 9 * RATE)
    errors = []
    for share in (0.0, 0.5, 1.0):
        fill = placed(path, stem, span, tmp_path, FillPlacement(match_eq=share))
        difference = third_octaves_db(fill[:, heard]) - third_octaves_db(stem[:, heard])
        errors.append(float(np.sqrt(np.mean((difference - np.median(difference)) ** 2))))
    assert errors[1] < 0.75 * errors[0]
    assert errors[2] < 0.25 * errors[0]


def test_equalisation_does_not_delay_an_effect(tmp_path: Path) -> None:
    stem = np.zeros((1, 3 * RATE), np.float32)
    stem[:, RATE : RATE + RATE // 2] = impact(lead_s=0)
    fill = placed(
        written(tmp_path / "hit.wav", impact(seed=9)), stem, (RATE, 2 * RATE), tmp_path, FillPlacement(match_eq=1)
    )
    assert abs(event_onsets(fill, RATE)[0] - RATE) <= 0.005 * RATE


def test_several_events_of_one_span_each_get_the_file_at_their_level(tmp_path: Path) -> None:
    stem = np.zeros((1, 4 * RATE), np.float32)
    for number, at in enumerate((RATE, 2 * RATE, 3 * RATE)):
        stem[:, at : at + RATE // 2] += impact(lead_s=0, seed=number) * 10 ** (-6 * number / 20)
    fill = placed(
        written(tmp_path / "hit.wav", impact(seed=9)), stem, (RATE - 100, 4 * RATE), tmp_path, FillPlacement()
    )
    assert [round(at / RATE, 2) for at in event_onsets(fill, RATE)] == [1, 2, 3]
    peaks = [np.abs(fill[:, at : at + RATE]).max() for at in (RATE, 2 * RATE, 3 * RATE)]
    assert 20 * np.log10(peaks[0] / peaks[2]) == pytest.approx(12, abs=3)


@pytest.mark.parametrize("nudge_s", [-0.25, 0.1])
def test_a_nudge_moves_the_file_and_nothing_else(tmp_path: Path, nudge_s: float) -> None:
    stem = np.zeros((1, 3 * RATE), np.float32)
    stem[:, RATE : RATE + RATE // 2] = impact(lead_s=0)
    path, span = written(tmp_path / "hit.wav", impact(seed=9)), (RATE, 2 * RATE)
    plain = placed(path, stem, span, tmp_path, FillPlacement())
    nudged = placed(path, stem, span, tmp_path, FillPlacement(nudge_s=nudge_s))
    shift = round(nudge_s * RATE)
    assert np.array_equal(np.roll(plain, shift, axis=1), nudged)


def test_a_short_file_can_cover_a_clip_and_a_long_one_can_be_played_once(tmp_path: Path) -> None:
    stem = np.zeros((1, 12 * RATE), np.float32)
    stem[:, 6 * RATE : 7 * RATE] = pink(1.0)
    short, long = written(tmp_path / "short.wav", pink(1.0, seed=5)), written(tmp_path / "long.wav", pink(5.0, seed=6))
    span = (6 * RATE, 7 * RATE)
    throughout = placed(short, stem, span, tmp_path, FillPlacement(at="clip"))
    assert all(np.abs(throughout[:, at : at + RATE]).max() > 0 for at in range(0, 12 * RATE, RATE))
    once = placed(long, stem, span, tmp_path, FillPlacement(at="onset"))
    assert once[:, round(10.5 * RATE) : round(10.9 * RATE)].any(), "it goes on after the event"
    assert not once[:, : round(5.9 * RATE)].any()


def test_a_room_lengthens_a_hit_by_its_reverberation(tmp_path: Path) -> None:
    path = written(tmp_path / "hit.wav", impact(length_s=0.2))
    dry = convert_fill_file(path, RATE, 1, tmp_path)
    wet = convert_fill_file(path, RATE, 1, tmp_path, "large")
    assert wet.length_samples == dry.length_samples + round(1.5 * RATE) - 1
    assert wet.is_effect, "its tail does not make it ambience"
    impulse = room_impulse("medium", RATE, 2)
    energy = 10 * np.log10(np.cumsum(impulse[0, ::-1].astype(np.float64) ** 2)[::-1] + 1e-20)
    assert energy[round(0.3 * RATE)] - energy[1] == pytest.approx(-30, abs=3), "60 dB in 0.6 s"


def test_an_impulse_response_from_a_file_is_convolved(tmp_path: Path) -> None:
    click = np.zeros((1, 4800), np.float32)
    click[0, 1000] = 0.5
    echo = written(tmp_path / "echo.wav", click)
    dry = convert_fill_file(written(tmp_path / "hit.wav", impact(lead_s=0)), RATE, 1, tmp_path)
    wet = convert_fill_file(tmp_path / "hit.wav", RATE, 1, tmp_path, str(echo))
    assert wet.onset_sample - dry.onset_sample == pytest.approx(1000, abs=48)
    with pytest.raises(MediaError, match="has 3 channels"):
        convert_fill_file(
            tmp_path / "hit.wav", RATE, 2, tmp_path, str(written(tmp_path / "three.wav", pink(0.1, channels=3)))
        )
    with pytest.raises(UsageError, match="no room 'hall'"):
        check_room("hall")


def test_ducking_is_down_before_the_voice_and_back_after_it() -> None:
    voice = np.zeros((1, 6 * RATE), np.float32)
    voice[:, 2 * RATE : 3 * RATE] = pink(1.0)
    gains = 20 * np.log10(Ducking(Recording(voice), voice.shape[1], -6.0).gains(0, voice.shape[1]))
    assert gains[: round(1.8 * RATE)] == pytest.approx(0, abs=1e-3)
    assert gains[2 * RATE : 3 * RATE] == pytest.approx(-6, abs=0.6)
    assert gains[round(3.5 * RATE) :] == pytest.approx(0, abs=1e-3)
    assert np.abs(np.diff(gains)).max() < 0.01, "no step"


def test_a_silent_stem_ducks_nothing() -> None:
    gains = Ducking(Recording(np.zeros((1, RATE), np.float32)), RATE, -6.0).gains(0, RATE)
    assert np.array_equal(gains, np.ones(RATE, np.float32))


@given(
    st.integers(1, 3 * RATE),
    st.lists(st.tuples(st.integers(0, 3 * RATE), st.integers(1, RATE)), max_size=4),
    st.sampled_from(["auto", "onset", "span", "clip"]),
    st.floats(-2, 2),
)
@settings(max_examples=25, deadline=None)
def test_a_fill_has_the_length_of_its_place_wherever_its_spans_lie(
    tmp_path_factory: pytest.TempPathFactory, length: int, spans: list[tuple[int, int]], at: str, nudge_s: float
) -> None:
    folder = tmp_path_factory.mktemp("fill")
    stem = pink(3.1)[:, :length]
    ranges = [SampleRange(start, min(start + size, length)) for start, size in sorted(spans) if start < length]
    file = convert_fill_file(written(folder / "hit.wav", impact()), RATE, 1, folder)
    blocks = list(file_fill(file, removed(stem, ranges), FillPlacement(at, nudge_s=nudge_s), seed=7))
    made = np.concatenate(blocks, axis=1)
    assert made.shape == stem.shape
    assert np.isfinite(made).all()
