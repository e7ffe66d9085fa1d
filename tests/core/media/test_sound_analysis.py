"""Overviews, event bounds and loudness of known signals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemline.media import Overview, find_event_bounds, measure_loudness, peaks_of

RATE = 48000


def sine(hertz: float, level_db: float, seconds: float, rate: int = RATE) -> npt.NDArray[np.float32]:
    time_s = np.arange(round(seconds * rate)) / rate
    return (10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * time_s)).astype(np.float32)[None]


@given(
    length=st.integers(1, 5000),
    start=st.integers(-50, 50),
    parts=st.lists(st.integers(1, 700), min_size=1, max_size=20),
    columns=st.integers(1, 300),
)
def test_an_overview_does_not_depend_on_the_blocks(length: int, start: int, parts: list[int], columns: int) -> None:
    sound = np.random.default_rng(length).normal(size=(2, length)).astype(np.float32)
    overview = Overview(start, length)
    at = 0
    for part in [*parts, length]:
        overview.add(sound[:, at : at + part])
        at = min(length, at + part)
    assert overview.complete
    seen, wanted = overview.peaks(start, start + length, columns), peaks_of(sound, start, columns)
    assert seen.step == wanted.step
    assert np.array_equal(seen.low, wanted.low)
    assert np.array_equal(seen.high, wanted.high)


def test_an_overview_of_a_day_is_as_small_as_one_of_an_hour() -> None:
    assert len(Overview(0, 86_400 * RATE)._low) <= 1 << 16
    part = Overview(0, 3600 * RATE)
    part.add(np.ones((1, part.step * 10 + 3), np.float32))
    known = part.peaks(0, 3600 * RATE, 100_000)
    assert len(known.high) == 11, "columns that are not decoded yet are left out"
    assert known.high.min() == 1


def beeps(*spans: tuple[float, float], seconds: float = 10.0, level: float = 0.3) -> npt.NDArray[np.float32]:
    sound = np.random.default_rng(3).normal(0, 0.003, (1, round(seconds * RATE))).astype(np.float32)
    for start, end in spans:
        first, last = round(start * RATE), round(end * RATE)
        sound[:, first:last] += sine(700, 20 * np.log10(level), end - start)[:, : last - first]
    return sound


@pytest.mark.parametrize(("start", "end"), [(1.0, 1.2), (4.0, 6.5), (9.0, 10.0), (0.0, 0.5)])
def test_onset_and_offset_are_found_from_a_point_inside(start: float, end: float) -> None:
    found = find_event_bounds(beeps((start, end)), RATE, round((start + end) / 2 * RATE))
    assert found is not None
    assert found.start_sample / RATE == pytest.approx(start, abs=0.04)
    assert found.end_sample / RATE == pytest.approx(end, abs=0.04)


def test_short_pauses_are_bridged_and_long_ones_are_not() -> None:
    sound = beeps((2.0, 2.5), (2.58, 3.0), (3.6, 4.0))
    found = find_event_bounds(sound, RATE, round(2.2 * RATE))
    assert found is not None
    assert found.end_sample / RATE == pytest.approx(3.0, abs=0.04)


@pytest.mark.parametrize("sound", [beeps(), np.zeros((2, RATE), np.float32), np.zeros((1, 10), np.float32)])
def test_background_has_no_event(sound: npt.NDArray[np.float32]) -> None:
    assert find_event_bounds(sound, RATE, sound.shape[1] // 2) is None


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
def test_reference_tones_have_their_stated_loudness(rate: int) -> None:
    """ITU-R BS.1770: a sine of 997 Hz at full scale on one channel is -3.01 LKFS; EBU Tech 3341: 1 kHz on two channels
    at -23 dBFS is -23 LUFS."""
    one = measure_loudness([sine(997, 0, 5, rate)], rate)
    assert one.lufs == pytest.approx(-3.01, abs=0.05)
    assert one.peak == pytest.approx(1.0, abs=1e-3)
    both = np.repeat(sine(1000, -23, 20, rate), 2, axis=0)
    assert measure_loudness([both], rate).lufs == pytest.approx(-23.0, abs=0.05)


def test_quiet_passages_are_gated() -> None:
    """EBU Tech 3341, case 3: 10 s at -36, 60 s at -23, 10 s at -36 dBFS are -23 LUFS."""
    parts = [np.repeat(sine(1000, level, s), 2, axis=0) for level, s in ((-36, 10), (-23, 60), (-36, 10))]
    assert measure_loudness(parts, RATE).lufs == pytest.approx(-23.0, abs=0.1)


def test_low_tones_weigh_less() -> None:
    """The K weighting takes rumble down and lifts treble by the 4 dB of its shelf, of which 1 kHz has 0.7."""
    low, middle = (measure_loudness([sine(hz, -20, 5)], RATE).lufs for hz in (30.0, 1000.0))
    high = measure_loudness([sine(8000, -20, 5)], RATE).lufs
    assert low < middle - 5
    assert high == pytest.approx(middle + 3.3, abs=0.3)


@pytest.mark.parametrize(
    ("layout", "count", "channel", "weight_db"),
    [("5.1", 6, 3, None), ("5.1", 6, 4, 1.5), ("5.1", 6, 2, 0.0), ("quad", 4, 0, 0.0)],
)
def test_surround_channels_weigh_more_and_the_lfe_does_not_count(
    layout: str, count: int, channel: int, weight_db: float | None
) -> None:
    """ITU-R BS.1770-4, table 3. Channels of an unknown layout weigh the same."""
    sound = np.zeros((count, 3 * RATE), np.float32)
    sound[channel] = sine(1000, -20, 3)
    alone = measure_loudness([sine(1000, -20, 3)], RATE).lufs
    found = measure_loudness([sound], RATE, layout)
    assert found.silent if weight_db is None else found.lufs == pytest.approx(alone + weight_db, abs=0.02)
    assert measure_loudness([sound], RATE).lufs == pytest.approx(alone, abs=0.02)


@pytest.mark.parametrize("step", [1, 4800, 12_345])
def test_loudness_does_not_depend_on_the_blocks(step: int) -> None:
    sound = np.repeat(sine(1000, -23, 1), 2, axis=0)
    parts = (sound[:, start : start + step] for start in range(0, RATE if step > 1 else 500, step))
    whole = measure_loudness([sound[:, : RATE if step > 1 else 500]], RATE)
    assert measure_loudness(parts, RATE) == whole


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.399])
def test_a_sound_shorter_than_a_measured_block_is_measured(seconds: float) -> None:
    """It is padded with silence to 400 ms."""
    heard = measure_loudness([sine(997, -10, seconds)], RATE)
    whole = measure_loudness([sine(997, -10, 0.4)], RATE)
    assert not heard.silent
    assert heard.lufs == pytest.approx(whole.lufs + 10 * np.log10(seconds / 0.4), abs=0.5)


def test_silence_is_silent() -> None:
    for blocks in ([], [np.zeros((2, RATE), np.float32)], [np.zeros((1, 3), np.float32)]):
        assert measure_loudness(blocks, RATE).silent
