"""Textures that flatten the movement of their source, repeat its events, or use one part of it more than another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.fill_measures import envelope_repetition, modulation_distance_db
from core.fill.test_room_tone import RATE, Sound, pink
from stemline.fill.selection import SegmentChooser
from stemline.fill.texture import grains, joined, quilt
from stemline.media import measure_loudness

Maker = Callable[[tuple[Sound, ...], int, int], object]


def made(pieces: tuple[Sound, ...], seed: int, seconds: float = 20.0) -> Sound:
    blocks, left = [], round(seconds * RATE)
    for block in joined(grains(pieces, RATE, seed)):
        blocks.append(block[:, :left])
        left -= block.shape[1]
        if left <= 0:
            return np.concatenate(blocks, axis=1)
    raise AssertionError("a texture has no end")


def fluttering(seconds: float, seed: int) -> Sound:
    """Return noise whose level goes up and down by 20 dB, several times a second and at random."""
    sound = pink(seconds, seed=seed)
    steps = np.random.default_rng(seed + 1).uniform(0.1, 1, round(seconds * 12) + 2)
    level = np.interp(np.arange(sound.shape[1]), np.arange(len(steps)) * RATE / 12, steps)
    return (sound * level).astype(np.float32)


def with_events(seconds: float) -> Sound:
    """Return noise with a loud event in its last second: 20 dB above it, for 0.4 seconds."""
    sound = pink(seconds)
    at = round((seconds - 0.8) * RATE)
    sound[:, at : at + round(0.4 * RATE)] *= 10
    return sound


def test_the_movement_of_the_level_survives() -> None:
    whole = fluttering(24.0, 3)
    source, held_out = whole[:, : 4 * RATE], whole[:, 4 * RATE :]
    looped = np.tile(source, (1, 5))
    distances = [modulation_distance_db(made((source,), seed), held_out) for seed in (1, 2)]
    assert max(distances) <= 1.3 * modulation_distance_db(looped, held_out)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_single_loud_event_is_heard_as_often_as_in_the_source(seed: int) -> None:
    source = with_events(4.0)
    loudness = [measure_loudness([sound], RATE).lufs for sound in (made((source,), seed), np.tile(source, (1, 5)))]
    assert abs(loudness[0] - loudness[1]) <= 1.0


@pytest.mark.parametrize("seed", [1, 3])
def test_no_order_of_grains_comes_again(seed: int) -> None:
    whole = fluttering(24.0, 9)
    assert envelope_repetition(made((whole[:, : 4 * RATE],), seed)) <= 0.1 + max(
        0.1, envelope_repetition(whole[:, 4 * RATE :])
    )


def test_all_of_every_piece_is_used_evenly() -> None:
    pieces = tuple(np.full((1, round(length * RATE)), number, np.float32) for number, length in enumerate((0.3, 1, 2)))
    texture = made(pieces, seed=4, seconds=60)
    found = np.array([np.mean(np.abs(texture - number) < 0.01) for number in range(3)])  # outside the crossfades
    assert found / found.sum() == pytest.approx([0.3 / 3.3, 1 / 3.3, 2 / 3.3], abs=0.06)
    chooser = SegmentChooser(pieces[2:], RATE, 1, 0.5)
    for _ in range(200):
        (segment,) = chooser.propose(1)
        chooser.take(segment, 4800, 4800)
    assert chooser._used[10:-12].min() > 0.5 * chooser._used.mean(), "also near its beginning and its end"


@pytest.mark.parametrize("length", [1, 2, 400, 7000])
@pytest.mark.parametrize("texture", [grains, quilt])
def test_pieces_of_any_length_give_an_endless_texture(texture: Maker, length: int) -> None:
    pieces = (pink(1.0)[:, :length], np.zeros((1, length), np.float32))
    total = 0
    for block in joined(texture(pieces, RATE, 1)):  # type: ignore[arg-type]
        assert np.isfinite(block).all()
        total += max(block.shape[1], 1)
        if total > 3 * length + 10:
            break
    assert total > 3 * length
