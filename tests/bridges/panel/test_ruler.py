"""The ticks of the time ruler."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest

from stemline_panel.model.formatting import TimeFormat
from stemline_panel.model.ruler import tick_times

RATES = [Fraction(24), Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50)]
SPACINGS = [0.013, 0.03, 0.07, 0.11, 0.3, 0.45, 0.6, 1.2, 3.0, 40.0]


def labels(low: float, high: float, spacing: float, time_format: TimeFormat) -> list[str]:
    rate, start = time_format.rate, time_format.start
    assert rate is not None
    _, times = tick_times(low, high, spacing, time_format)
    return [time_format.of(round((Fraction(time) + start) * rate) / rate - start) for time in times]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_ruler_has_ticks_on_whole_seconds(rate: Fraction, spacing: float) -> None:
    shown = labels(10.0, 10.0 + 30 * max(1.0, spacing), spacing, TimeFormat(rate))
    seconds = {label[:8] for label in shown if label.endswith(":00")}
    assert len(seconds) >= min(len(shown), 29)
    if spacing > 1:
        assert len(seconds) == len(shown)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_ticks_are_as_far_apart_as_asked(spacing: float) -> None:
    for rate in (*RATES, None):
        step, times = tick_times(0.0, 20 * spacing, spacing, TimeFormat(rate))
        assert step >= spacing * 0.999
        assert len(times) > 1
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert min(gaps) == pytest.approx(step)


def test_drop_frame_labels_stay_on_seconds_and_skip_what_does_not_exist() -> None:
    time_format = TimeFormat(Fraction(30000, 1001), drop_frame=True)
    shown = labels(58.0, 62.9, 0.7, time_format)
    assert shown == ["00:00:58;00", "00:00:59;00", "00:01:00;02", "00:01:01;00", "00:01:02;00"]
    assert labels(3599.5, 3600.5, 0.9, time_format) == ["01:00:00;00"]
    assert all(label.endswith(";00") for label in labels(7203.0, 7223.0, 0.9, time_format))


def test_ticks_follow_the_timecode_of_the_timeline() -> None:
    film = TimeFormat(Fraction(25), start=Fraction(3600) + Fraction(10, 25))
    assert labels(0.0, 2.0, 0.9, film) == ["01:00:01:00", "01:00:02:00"]


def test_without_a_frame_rate_ticks_are_on_round_times() -> None:
    assert tick_times(0.3, 2.2, 0.4, TimeFormat())[1] == [0.5, 1.0, 1.5, 2.0]
