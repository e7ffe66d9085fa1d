"""Proof by playing: an independent player renders the originals and their stems, and they are the same sound."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

import stemline
from hosts.formats.exported import RATES, stereo_edit, written
from hosts.formats.melt import needs_melt, render, tracks_of_otio, tracks_of_xml
from hosts.otio.support import is_stem, separate, source_samples, write_wav
from otio_player import Player
from stemline_otio import Dialect, OtioTarget, open_edit
from stemline_otio.export import ExportRequest, export_stems

FRAMES = 120
TEN_HOURS_S = 36000
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
@pytest.mark.parametrize("rate", [RATES["25"], RATES["29.97"]], ids=["25", "29.97"])
def test_an_old_melt_plays_the_stems_of_its_dialect_in_time(tmp_path: Path, rate: Fraction) -> None:
    """MLT 7.12 enters a 24-bit WAV late, but not a 16-bit one: originals of 16 bits and their stems must agree."""
    edit = stereo_edit(tmp_path, rate)
    take = tmp_path / "take.wav"
    samples = source_samples(str(take)) % 32768 * 256
    bext = TEN_HOURS_S * 48000
    write_wav(take, samples, 48000, bext)
    output = tmp_path / "out" / "edit.stems.otio"
    separate(open_edit(edit, OtioTarget(output, Dialect.MLT_7_12)), output, head_handle=False)
    with wave.open(str(take), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(48000)
        sound.writeframes((samples // 256).T.astype("<i2").tobytes())
    original = render(tracks_of_otio(output, lambda t: not is_stem(t)), rate, tmp_path, "original", FRAMES)
    played = render(tracks_of_otio(output, is_stem), rate, tmp_path, "stems", FRAMES)
    assert np.abs(original).max() > 0.1
    assert np.abs(original - played).max() <= 2 * FLOAT_STEP


@needs_melt
def test_melt_hears_a_stem_that_lies_a_frame_off(tmp_path: Path) -> None:
    rate = RATES["29.97"]
    edit, _ = written(stereo_edit(tmp_path, rate, channels=1), tmp_path)
    original = render(tracks_of_otio(edit, lambda t: not is_stem(t)), rate, tmp_path, "original", FRAMES)
    moved = [[entry._replace(inside=entry.inside + 1) for entry in t] for t in tracks_of_otio(edit, is_stem)]
    assert np.abs(original - render(moved, rate, tmp_path, "moved", FRAMES)).max() > 1000 * FLOAT_STEP


@needs_melt
def test_melt_plays_fills_in_the_place_of_the_clips_and_nowhere_else(shared_server: None, tmp_path: Path) -> None:
    edit = stereo_edit(tmp_path, RATES["25"], channels=1)
    fill = stemline.Replace(words="rain", generator="noop", takes=2)
    settings = stemline.Settings(model="noop", replace={"half": fill})
    result = stemline.separate_edit(edit, {"half": "x"}, output=tmp_path / "out", settings=settings)
    output = Path(result.output)
    enabled = {
        track.name: track.enabled
        for track in otio.adapters.read_from_file(str(output)).audio_tracks()
        if is_stem(track)
    }
    assert [name for name, on in enabled.items() if on] == ["residual A1", "fill half A1"], enabled
    played = render(tracks_of_otio(output, lambda t: t.name == "fill half A1"), RATES["25"], tmp_path, "fill", FRAMES)
    judged = Player(output).render(lambda t: t.name == "fill half A1", sample_rate=48000, channels=1, length_s=12)
    length = min(played.shape[1], judged.shape[1], int(FRAMES / 25 * 48000))
    judged = judged / 2**0.5  # melt pans mono to both sides at equal power
    assert np.abs(played[:1, :length] - judged[:1, :length]).max() <= 2 * FLOAT_STEP
    silent, first, second = slice(0, 10 * 1920), slice(10 * 1920, 60 * 1920), slice(80 * 1920, 110 * 1920)
    assert not played[:, silent].any() and not played[:, 60 * 1920 : 80 * 1920].any()
    assert played[:, first].any() and played[:, second].any()
