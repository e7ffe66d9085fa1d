"""Proof by playing: an independent player renders the originals and their stems, and they are the same sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hosts.formats.exported import RATES, stereo_edit, written
from hosts.formats.melt import needs_melt, render, tracks_of_otio, tracks_of_xml
from hosts.otio.support import is_stem
from stemline_otio.export import ExportRequest, export_stems

FRAMES = 120
FLOAT_STEP = 2.0**-23


@needs_melt
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_melt_plays_the_stems_as_it_plays_the_originals(tmp_path: Path, rate: Fraction) -> None:
    edit, tracks = written(stereo_edit(tmp_path, rate, channels=1), tmp_path)
    xml = export_stems(ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.xml")).path
    original = render(tracks_of_otio(edit, lambda t: not is_stem(t)), rate, tmp_path, "original", FRAMES)
    assert original.shape[1] >= int(FRAMES / rate * 48000) - 1
    assert np.abs(original).max() > 0.005
    assert np.abs(original[:, : int(9 / rate * 48000)]).max() == 0
    for name, stems in (("otio", tracks_of_otio(edit, is_stem)), ("xml", tracks_of_xml(xml))):
        assert len(stems) == 2
        played = render(stems, rate, tmp_path, name, FRAMES)
        assert np.abs(original - played).max() <= 2 * FLOAT_STEP, name


@needs_melt
def test_melt_hears_a_stem_that_lies_a_frame_off(tmp_path: Path) -> None:
    rate = RATES["29.97"]
    edit, _ = written(stereo_edit(tmp_path, rate, channels=1), tmp_path)
    original = render(tracks_of_otio(edit, lambda t: not is_stem(t)), rate, tmp_path, "original", FRAMES)
    moved = [[entry._replace(inside=entry.inside + 1) for entry in t] for t in tracks_of_otio(edit, is_stem)]
    assert np.abs(original - render(moved, rate, tmp_path, "moved", FRAMES)).max() > 1000 * FLOAT_STEP
