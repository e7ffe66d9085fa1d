"""Exact time: a label, a rate or a rounding that is off moves every cut after it."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemline.errors import UsageError
from stemline.timebase import Grid, ceil_to, floor_to, format_timecode, grid_of, parse_timecode, snap_rate

pytestmark = pytest.mark.smoke

NTSC = Fraction(30000, 1001)


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (23.976023976, Fraction(24000, 1001)),
        (23.976024627685547, Fraction(24000, 1001)),
        (29.97, NTSC),
        ("30000/1001", NTSC),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (25, Fraction(25)),
        (24.0000001, Fraction(24)),
        (12.5, Fraction(25, 2)),
        (48000, Fraction(48000)),
    ],
)
def test_rates_snap_to_what_they_stand_for(told: float | str, meant: Fraction) -> None:
    assert snap_rate(told) == meant


@pytest.mark.parametrize("rate", [0, -25, float("nan"), float("inf"), "fast", "1/0"])
def test_what_is_no_rate_is_refused(rate: float | str) -> None:
    with pytest.raises(UsageError):
        snap_rate(rate)


def test_the_grid_of_known_pairs() -> None:
    assert grid_of(NTSC, 48000) == Grid(5, 8008)
    assert grid_of(NTSC, 44100) == Grid(100, 147147)
    assert grid_of(Fraction(25), 48000) == Grid(1, 1920)


@pytest.mark.parametrize(
    ("label", "frame"),
    [
        ("00:00:59;29", 1799),
        ("00:01:00;02", 1800),
        ("00:09:59;29", 17981),
        ("00:10:00;00", 17982),
        ("01:00:00;00", 107892),
    ],
)
def test_drop_frame_labels_of_29_97(label: str, frame: int) -> None:
    assert parse_timecode(label, NTSC) == frame
    assert format_timecode(frame, NTSC, drop_frame=True) == label


@given(frame=st.integers(0, 30 * 3600 * 60), rate=st.sampled_from([NTSC, Fraction(60000, 1001)]))
def test_every_drop_frame_label_reads_back(frame: int, rate: Fraction) -> None:
    assert parse_timecode(format_timecode(frame, rate, drop_frame=True), rate) == frame


@given(frame=st.integers(0, 10**7), rate=st.sampled_from([Fraction(24000, 1001), Fraction(24), Fraction(25), NTSC]))
def test_every_label_reads_back(frame: int, rate: Fraction) -> None:
    assert parse_timecode(format_timecode(frame, rate), rate) == frame


@pytest.mark.parametrize("label", ["00:01:00;00", "00:00:00:30", "1:2:3", "aa:bb:cc:dd", "00:00:61:00"])
def test_labels_that_do_not_exist_are_refused(label: str) -> None:
    with pytest.raises(UsageError):
        parse_timecode(label, NTSC)


def test_drop_frame_is_refused_where_it_does_not_exist() -> None:
    with pytest.raises(UsageError, match="drop frame"):
        parse_timecode("01:00:00;00", Fraction(25))


@given(value=st.integers(-(10**9), 10**9), step=st.integers(1, 10**5))
def test_rounding_to_a_step(value: int, step: int) -> None:
    assert floor_to(value, step) <= value <= ceil_to(value, step)
    assert ceil_to(value, step) - floor_to(value, step) in (0, step)
    assert floor_to(value, step) % step == ceil_to(value, step) % step == 0
