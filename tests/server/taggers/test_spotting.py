"""Spotting: which sounds are shown, and where they are said to be heard."""

from __future__ import annotations

import numpy as np
import pytest

from stemline.errors import UsageError
from stemline_server.engines.embedded.vocabulary import match_sound
from stemline_server.taggers.spotting import CALIBRATION_SCORES, Calibration, Track, known_sounds, spot

RATE = 48_000
HOP, WINDOW = RATE // 4, RATE
AS_SCORED = Calibration(CALIBRATION_SCORES)


def tags_of(scores: dict[str, np.ndarray], seconds: float) -> dict[str, list[tuple[float, float]]]:
    track = Track(tuple(scores), np.stack(list(scores.values()), 1).astype(np.float32), HOP, WINDOW)
    found = spot([track], dict.fromkeys(scores, AS_SCORED), round(seconds * RATE), RATE)
    return {tag.prompt: [(s.range.start_sample / RATE, s.range.end_sample / RATE) for s in tag.spans] for tag in found}


def windows(seconds: float, *heard: tuple[float, float]) -> np.ndarray:
    """Scores of windows of one second, four a second: the share of each window in which the sound is heard."""
    starts = np.arange(0, seconds, 0.25)
    return sum(
        (np.clip(np.minimum(starts + 1, b) - np.maximum(starts, a), 0, 1) for a, b in heard), np.zeros(len(starts))
    )


def test_every_known_sound_is_a_prompt_that_the_engine_takes_for_that_sound() -> None:
    for prompt in known_sounds():
        try:
            assert match_sound(prompt).sound == prompt
        except UsageError as error:
            raise AssertionError(prompt) from error


def test_a_sound_is_heard_where_it_is_and_not_before_or_after() -> None:
    ((start, end),) = tags_of({"dog": windows(10, (3, 6))}, 10)["dog"]
    assert start == pytest.approx(3, abs=0.5)
    assert end == pytest.approx(6, abs=0.5)


def test_two_barks_far_apart_are_two_spans_and_two_near_ones_are_one() -> None:
    assert len(tags_of({"dog": windows(10, (1, 2.2), (6, 7.2))}, 10)["dog"]) == 2
    assert len(tags_of({"dog": windows(10, (1, 4), (4.1, 7))}, 10)["dog"]) == 1


def test_an_hour_of_media_lists_the_sounds_of_each_part_not_three_for_all() -> None:
    seconds = 60.0
    sounds = ("dog", "cat", "bird", "rain", "siren", "bell")
    scores = {name: windows(seconds, (10 * n + 1, 10 * n + 9)) for n, name in enumerate(sounds)}
    found = tags_of(scores, seconds)
    assert set(found) == set(sounds)
    for number, name in enumerate(sounds):
        assert all(10 * number <= start < 10 * number + 10 for start, _ in found[name])


def test_a_broad_sound_gives_way_to_a_narrower_one() -> None:
    everywhere = windows(10, (0, 10))
    assert list(tags_of({"animal": everywhere, "dog": 0.8 * everywhere}, 10)) == ["dog"]
    assert list(tags_of({"animal": everywhere, "dog": 0.2 * everywhere}, 10)) == ["animal"]


def test_unlikely_sounds_are_not_shown() -> None:
    assert tags_of({"dog": 0.1 * windows(10, (0, 10))}, 10) == {}
