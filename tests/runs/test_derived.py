"""Remixes and fills that change the stems, repeat work, sound twice, or are lost without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest

from conftest import ROOT
from runs.conftest import noise, record_in
from runs.test_separate import samples
from stemline.workflow.derived_writer import Derivation
from stemline.workflow.work_pools import SegmentResult

pytestmark = pytest.mark.smoke

Command = Callable[..., tuple[int, dict[str, Any], str]]
INTERVIEW = ROOT / "examples" / "interview"


def derived(answer: dict[str, Any], name: str) -> Path:
    return Path(answer["results"][0]["derived"][name])


def level_db(block: np.ndarray) -> float:
    return float(10 * np.log10((block**2).mean() + 1e-12))


def test_a_remix_is_the_stems_and_the_residual_at_their_amounts(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    code, answer, _ = command(
        "separate", media, "--stem", "a=x", "--model", "noop", "--remix", "a=-20,residual=-6", "-o", tmp_path
    )
    assert code == 0
    stem, residual = answer["results"][0]["stems"][0]["path"], answer["results"][0]["residual"]
    expected = samples(stem) * 10 ** (-20 / 20) + samples(residual) * 10 ** (-6 / 20)
    assert np.abs(samples(derived(answer, "remix")) - expected).max() <= 2.0**-23
    assert answer["results"][0]["null"] == {"peak": 0.0, "dbfs": -240.0}


def test_off_takes_the_stem_away_completely(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    _, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", "--remix", "a=off", "-o", tmp_path)
    assert np.array_equal(samples(derived(answer, "remix")), samples(answer["results"][0]["residual"]))
    assert record_in(str(derived(answer, "remix"))).extra["made_from"] == {"gains_db": {"a": "off"}}


def test_the_manifest_of_another_file_is_not_deleted(command: Command, tmp_path: Path) -> None:
    media, manifest = noise(tmp_path / "in.wav"), tmp_path / "in.a.c2pa"
    manifest.write_bytes(b"of in.a.mp4")
    code, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    assert code == 1
    assert "in.a.c2pa already exists" in answer["errors"][0]["message"]
    assert manifest.read_bytes() == b"of in.a.mp4"
    assert not (tmp_path / "in.a.wav").exists()


def test_a_remix_beyond_full_scale_is_not_clipped(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    _, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", "--remix", "a=24", "-o", tmp_path)
    assert np.abs(samples(derived(answer, "remix"))).max() > 1.0
    assert np.abs(samples(answer["results"][0]["stems"][0]["path"])).max() < 1.0


def test_another_amount_leaves_the_stems_alone_and_computes_nothing(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    arguments = ("separate", media, "--stem", "a=x", "--model", "noop", "-o", tmp_path)
    _, plain, _ = command(*arguments)
    stem = Path(plain["results"][0]["stems"][0]["path"])
    before = (stem.read_bytes(), stem.stat().st_mtime_ns)
    _, first, _ = command(*arguments, "--remix", "a=-3")
    soft = derived(first, "remix").read_bytes()
    code, _, message = command(*arguments, "--remix", "a=-30")
    assert code != 0, "another amount is another file of the same name"
    assert "remix" in message
    assert derived(first, "remix").read_bytes() == soft
    code, second, _ = command(*arguments, "--remix", "a=-30", "--overwrite")
    assert code == 0
    assert second["results"][0]["engine_s"] == 0
    assert derived(second, "remix").read_bytes() != soft
    assert (stem.read_bytes(), stem.stat().st_mtime_ns) == before
    written = derived(second, "remix").stat().st_mtime_ns
    command(*arguments, "--remix", "a=-30")
    assert derived(second, "remix").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--remix", "b=-3"), "'b', which is not a stem"),
        (("--remix", "a=loud"), "--remix takes NAME=DB"),
        (("--remix", "a=inf"), "--remix takes NAME=DB"),
        (("--remix", "a=99"), "up to 24"),
        (("--replace", "b=room"), "'b', which is not a stem"),
        (("--replace", "residual=room"), "'residual', which is not a stem"),
        (("--replace", "a=magic"), "--replace takes NAME=room"),
        (("--replace", "a=file:nowhere.wav"), "nowhere.wav"),
        (("--stem", "remix=y", "--remix", "a=-3"), "'remix' is reserved"),
        (("--stem", "Remix=y", "--remix", "a=-3"), "'Remix' is reserved"),
        (("--stem", "FILL A=y", "--replace", "a=room"), "'FILL A' is reserved"),
    ],
)
def test_bad_amounts_and_fills_stop_before_any_work(
    command: Command, tmp_path: Path, option: tuple[str, ...], message: str
) -> None:
    media = noise(tmp_path / "in.wav")
    out = tmp_path / "out"
    code, answer, _ = command("separate", media, "--stem", "a=x", "--model", "noop", *option, "-o", out)
    assert code == 2
    assert message in answer["errors"][0]["message"]
    assert not out.exists() or not any(out.iterdir())


def test_an_edit_plays_the_intended_mix_and_nothing_twice(command: Command, tmp_path: Path) -> None:
    code, answer, _ = command(
        "batch", INTERVIEW / "edit.otio", "--stem", "a=x", "--model", "noop", "--remix", "a=-12", "-o", tmp_path
    )
    assert code == 0
    edit = otio.adapters.read_from_file(answer["results"][0]["output"])
    enabled = {track.name.split(" ")[0]: track.enabled for track in edit.audio_tracks() if track.name[0].islower()}
    assert enabled == {"a": False, "residual": False, "remix": True}
    originals = [clip for track in edit.audio_tracks() if not track.name[0].islower() for clip in track.find_clips()]
    assert sum(clip.enabled for clip in originals) == answer["results"][0]["clips"]["skipped"] - 1


def test_a_replaced_stem_is_not_in_the_remix_unless_it_is_named(command: Command, tmp_path: Path) -> None:
    media, bell = noise(tmp_path / "in.wav"), noise(tmp_path / "bell.wav", seconds=0.5)
    stems = ("--stem", "a=x", "--stem", "b=y", "--model", "noop", "--replace", f"a=file:{bell}")
    _, without, _ = command("separate", media, *stems, "--remix", "b=-6", "-o", tmp_path / "out")
    result = without["results"][0]
    expected = samples(result["stems"][1]["path"]) * 10 ** (-6 / 20) + samples(result["residual"])
    assert np.abs(samples(derived(without, "remix")) - expected).max() <= 2.0**-23
    _, named, _ = command("separate", media, *stems, "--remix", "a=-20", "-o", tmp_path / "named")
    assert np.abs(samples(derived(named, "remix")) - samples(derived(without, "remix"))).max() > 0.01


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        (("residual.",), "'residual.' is reserved"),
        (("hum", "hum."), "'hum' and 'hum.' have the same file name"),
        (("\u5e7f" * 60, "\u5e7f" * 61), "have the same file name"),
    ],
)
def test_no_two_sounds_of_a_run_share_a_file(
    command: Command, tmp_path: Path, stems: tuple[str, ...], message: str
) -> None:
    media, out = noise(tmp_path / "in.wav"), tmp_path / "out"
    names = [argument for stem in stems for argument in ("--stem", f"{stem}=x")]
    code, answer, _ = command("separate", media, *names, "--model", "noop", "-o", out)
    assert code == 2
    assert message in answer["errors"][0]["message"]
    assert not out.exists() or not any(out.iterdir())


def test_names_are_matched_however_their_spaces_are_typed(command: Command, tmp_path: Path) -> None:
    media = noise(tmp_path / "in.wav")
    name = "sea  wind"
    code, answer, _ = command(
        "separate",
        *(media, "--stem", f"{name}=x", "--model", "noop", "--remix", f"{name}=off", "--replace", f"{name}=room"),
        *("-o", tmp_path / "out"),
    )
    assert code == 0
    assert "remix" in answer["results"][0]["derived"]


def test_the_name_of_a_fill_is_omitted_where_records_name_no_media(command: Command, tmp_path: Path) -> None:
    media, secret = noise(tmp_path / "in.wav"), noise(tmp_path / "secret-project.wav", seconds=0.5, channels=1)
    out = tmp_path / "out"
    code, answer, _ = command(
        "batch",
        *(INTERVIEW / "edit.otio", "--stem", "a=x", "--model", "noop", "--replace", f"a=file:{secret}"),
        *("--record-paths", "omit", "-o", out),
    )
    assert code == 0, answer
    code, _, _ = command(
        "separate",
        *(media, "--stem", "a=x", "--model", "noop", "--replace", f"a=file:{secret}", "--record-paths", "omit"),
        *("-o", out),
    )
    assert code == 0
    telling = [path.name for path in out.rglob("*") if path.is_file() and b"secret-project" in path.read_bytes()]
    assert telling == []


def test_another_fill_writes_nothing_but_itself(command: Command, tmp_path: Path) -> None:
    media, bell = noise(tmp_path / "in.wav"), noise(tmp_path / "bell.wav", seconds=0.5, channels=1)
    stems = ("--stem", "a=x", "--stem", "b=y", "--remix", "a=-3,b=-6", "--replace", f"b=file:{bell}")
    arguments = ("separate", media, "--model", "noop", *stems, "-o", tmp_path / "out")
    _, first, _ = command(*arguments)
    before = {name: derived(first, name).stat().st_mtime_ns for name in ("remix", "fill b")}
    renamed = bell.rename(tmp_path / "gong.wav")
    both = (*stems[:-2], "--replace", f"a=file:{renamed}", "--replace", f"b=file:{renamed}")
    code, second, _ = command("separate", media, "--model", "noop", *both, "-o", tmp_path / "out")
    assert code == 0, second
    assert {name: derived(second, name).stat().st_mtime_ns for name in before} == before


def test_a_fill_that_fails_on_one_file_leaves_the_clips_of_others(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Derivation, result: SegmentResult, gains_db: Mapping[str, float]) -> Iterator[np.ndarray]:
        if Path(result.segment.source.path).name == "recorder.wav":
            raise ValueError("damaged")
        return whole(self, result, gains_db)

    whole = Derivation._remix
    monkeypatch.setattr(Derivation, "_remix", broken)
    code, answer, _ = command(
        "batch", two_clips(tmp_path), "--stem", "a=x", "--model", "noop", "--remix", "a=-3", "-o", tmp_path / "out"
    )
    assert code == 1
    assert Path(answer["results"][0]["output"]).is_file(), "the other clip is in the edit"


def two_clips(folder: Path) -> Path:
    """Write an edit of the two media of the example, one after the other."""
    edit = otio.schema.Timeline("two")
    track = otio.schema.Track("A1", kind="Audio")
    edit.tracks.append(track)
    for name in ("camera.mp4", "recorder.wav"):
        media = otio.schema.ExternalReference((INTERVIEW / name).as_uri())
        span = otio.opentime.TimeRange(otio.opentime.RationalTime(0, 25), otio.opentime.RationalTime(50, 25))
        track.append(otio.schema.Clip(name, media, span))
    otio.adapters.write_to_file(edit, str(folder / "two.otio"))
    return folder / "two.otio"
