"""Turnover conventions: files for spotting, names, mono legs, checkerboard lanes."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest

from hosts.formats.exported import RATES, stereo_edit, written
from hosts.otio.support import audio_track, clip, cross, difference, frames, is_stem, media, save, source_samples
from stemline.errors import UsageError
from stemline.media import read_tags
from stemline_app.cli import main
from stemline_otio.export import ExportRequest, WaveOptions, check_names, export_stems, export_waves


def waves(tmp_path: Path, rate: Fraction, options: WaveOptions, *, mono: bool = False) -> list[Path]:
    edit, tracks = written(stereo_edit(tmp_path, rate), tmp_path)
    request = ExportRequest(edit, tracks, edit, mono=mono)
    return sorted(export_waves(request, options, lambda digest: tmp_path / "waves").path.iterdir())


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_a_wave_stamped_for_the_record_spots_to_where_its_clip_stands(tmp_path: Path, rate: Fraction) -> None:
    files = waves(tmp_path, rate, WaveOptions())
    assert [file.name[: file.name.index("_")] for file in files] == ["half-A1"] * 2 + ["residual-A1"] * 2
    assert files[0].name == "half-A1_01000010_take.wav"
    first = files[0]
    source = next(f for f in (tmp_path / "out" / "stems").iterdir() if np.array_equal(sound(f), sound(first)))
    start = 3600 * round(rate) + 10  # the clip's first frame
    inside = Fraction(take_sample(rate)) - (stamp(source) - ten_hours(rate))
    assert abs(stamp(first) + inside - start / rate * 48000) <= 1


def stamp(path: Path) -> int:
    bext = read_tags(path).bext
    assert bext is not None
    return bext.time_reference_sample


def sound(path: Path) -> np.ndarray:
    return source_samples(str(path))


def ten_hours(rate: Fraction) -> int:
    per_frame = Fraction(48000) / rate
    return 36000 * round(rate) // per_frame.denominator * per_frame.numerator


def take_sample(rate: Fraction) -> Fraction:
    """Where in its media the first clip begins."""
    return 40 / rate * 48000


def test_a_wave_stamped_for_the_source_says_what_its_stem_says(tmp_path: Path) -> None:
    files = waves(tmp_path, Fraction(25), WaveOptions("{number}_{stem}", record_stamp=False))
    assert [file.name for file in files] == ["001_half.wav", "001_residual.wav", "002_half.wav", "002_residual.wav"]
    stems = {stamp(file) for file in (tmp_path / "out" / "stems").iterdir()}
    assert {stamp(file) for file in files} == stems


def test_nothing_is_stamped_before_midnight(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 6)
    edit = save(tmp_path / "edit.otio", audio_track("A1", [clip(take.as_uri(), (50, 50), 25, (0, 150))]))
    output, tracks = written(edit, tmp_path)
    folder = export_waves(ExportRequest(output, tracks, output), WaveOptions(), lambda digest: tmp_path / "waves").path
    whole = source_samples(str(take))
    halves = [sound(file) for file in sorted(folder.iterdir())]
    assert all(stamp(file) == 0 for file in folder.iterdir())
    assert np.array_equal(sum(halves), whole[:, 96000 : 96000 + halves[0].shape[1]])


def test_mono_legs_are_the_channels_of_the_interleaved_files(tmp_path: Path) -> None:
    legs = waves(tmp_path, Fraction(25), WaveOptions(), mono=True)
    both = waves(tmp_path / "other", Fraction(25), WaveOptions())
    assert len(legs) == 2 * len(both)
    for number, file in enumerate(both):
        left, right = (sound(leg) for leg in legs[number // 2 * 4 + number % 2 :: 2][:2])
        assert np.array_equal(np.concatenate([left, right]), sound(file))


def test_final_cut_xml_takes_mono_legs_too(tmp_path: Path) -> None:
    edit, tracks = written(stereo_edit(tmp_path, Fraction(25)), tmp_path)
    request = ExportRequest(edit, tracks, tmp_path / "out" / "edit.stems.xml", mono=True)
    timeline = otio.adapters.read_from_file(str(export_stems(request).path))
    found = [(t.metadata["fcp_xml"]["@MZ.TrackName"], len(t.find_clips())) for t in timeline.tracks]
    assert found == [(f"{stem} A1.{side}", 2) for stem in ("half", "residual") for side in "LR"]


@pytest.mark.parametrize("names", ["same", "{nothing}", "{clip", "{clip.__class__}", "{}"])
def test_a_template_of_names_that_makes_none_is_refused(names: str) -> None:
    with pytest.raises(UsageError, match="--name-template"):
        check_names(names)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--legs", "interleaved", "--to", "aaf"], "mono"),
        (["--stamp", "source"], "--to wav"),
        (["--rewrite", "--to", "wav"], "--rewrite"),
        (["--to", "wav", "--format", "flac"], "WAV"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], words: str
) -> None:
    code = main(["batch", str(stereo_edit(tmp_path, Fraction(25))), "--stem", "x=speech", "--json", *more])
    assert code == 2
    assert words in json.loads(capsys.readouterr().out)["errors"][0]["message"]


def test_on_a_checkerboard_neighbours_never_share_a_track(tmp_path: Path) -> None:
    take = media(tmp_path / "take.wav", 12)
    uses = [clip(take.as_uri(), (start, 50), 25, (0, 300)) for start in (10, 80, 150)]
    edit = save(tmp_path / "edit.otio", audio_track("A1", [uses[0], cross(5, 5, 25), *uses[1:]]), start=frames(0, 25))
    output, _ = written(edit, tmp_path, checkerboard=True)
    timeline = otio.adapters.read_from_file(str(output))
    lanes = [[c.range_in_parent().start_time.value for c in t.find_clips()] for t in timeline.tracks if is_stem(t)]
    assert lanes == [[0, 100], [50]] * 2
    assert [t.name for t in timeline.tracks if is_stem(t)] == ["half A1", "half A1 b", "residual A1", "residual A1 b"]
    worst, loudest = difference(output)
    assert loudest > 0.001
    assert worst < 1e-9


@pytest.mark.usefixtures("shared_server")
def test_a_format_that_cannot_be_written_costs_neither_the_edit_nor_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit, out = stereo_edit(tmp_path, Fraction(25)), tmp_path / "out"
    (out / f".{os.getpid()}.{edit.stem}.stems.xml").mkdir(parents=True)  # where the file would be written first
    asked = ["--stem", "x=speech", "--model", "noop", "--to", "xml", "--to", "wav", "-o", str(out), "--json"]
    assert main(["batch", str(edit), *asked]) == 1
    answer = json.loads(capsys.readouterr().out)
    (error,) = answer["errors"]
    assert error["code"] == "OUTPUT_UNWRITABLE"
    (result,) = answer["results"]
    assert Path(result["output"]).is_file()
    assert [Path(path).suffix for path in result["exports"]] == [".waves"]
    assert (out / "report.html").is_file()


def test_a_frame_rate_that_a_format_needs_is_asked_for_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    take = media(tmp_path / "take.wav", 4)
    edit = save(tmp_path / "edit.otio", audio_track("A1", [clip(take.as_uri(), (0, 96000), 48000, (0, 192000))]))
    asked = ["--stem", "x=speech", "--model", "noop", "--to", "xml", "-o", str(tmp_path / "out"), "--json"]
    assert main(["batch", str(edit), *asked]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert "--rate" in answer["errors"][0]["advice"]
    assert not list((tmp_path / "out").rglob("*.wav"))
