"""One written edit that grows from Python and the command line, and is taken back."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import opentimelineio as otio
import pytest

import stemline
from conftest import ROOT
from stemline import paths
from stemline_app.cli import main
from stemline_bridge.files import MAX_JSON_BYTES
from stemline_otio import read_timeline


@pytest.fixture
def interview(project: Path) -> Path:
    """A copy of the example edit, which has several clips."""
    shutil.copytree(ROOT / "examples" / "interview", project / "show")
    return project / "show" / "edit.otio"


def packed(edit: Path) -> Path:
    """Return a bundle of an edit with its media, as far as it exists."""
    bundle, here = edit.parent / "packed.otioz", Path.cwd()
    os.chdir(edit.parent)
    try:
        timeline = otio.adapters.read_from_file(str(edit))
        policy = otio.adapters.file_bundle_utils.MediaReferencePolicy.MissingIfNotFile
        otio.adapters.write_to_file(timeline, str(bundle), media_policy=policy)
    finally:
        os.chdir(here)
    return bundle


def stem_clips(path: Path) -> dict[str, list[str]]:
    timeline = read_timeline(path)
    tracks = [track for track in timeline.tracks if "stemline" in track.metadata]
    return {track.name: [clip.name for clip in track.find_clips()] for track in tracks}


def extend(edit: Path, clip: str, stem: str = "speech") -> stemline.EditResult:
    options = stemline.EditOptions(clips=(clip,), previews=False)
    return stemline.separate_edit(edit, {stem: stem}, output="out", options=options, extend=True)


def test_clip_after_clip_grows_in_one_file_and_is_taken_back(interview: Path) -> None:
    before = interview.read_bytes()
    first = extend(interview, "camera")
    assert Path(first.output).name == "edit.stems.otio"
    cameras = {name: [f"camera {name}"] * 2 for name in ("speech", "residual")}  # two clips have the name
    assert stem_clips(Path(first.output)) == {f"{name} Talk": clips for name, clips in cameras.items()}
    second = extend(interview, "recorder")
    assert second.output == first.output
    assert sorted(stem_clips(Path(first.output))["speech Talk"]) == [*cameras["speech"], "recorder speech"]
    extend(interview, "recorder", "music")
    grown = {name: sorted(clips) for name, clips in stem_clips(Path(first.output)).items()}
    assert grown == {
        "speech Talk": cameras["speech"],
        "residual Talk": [*cameras["residual"], "recorder residual"],
        "music Talk": ["recorder music"],
    }
    named = {stem.name: stem.prompt.text for stem in stemline.recorded_stems(first.output)}
    assert named == {"speech": "speech", "music": "music"}
    assert stemline.take_back(interview, output="out", clips=["camera"]) == ()
    assert [stem.name for stem in stemline.recorded_stems(first.output)] == ["music"]
    assert set(stem_clips(Path(first.output))) == {"residual Talk", "music Talk"}
    with pytest.raises(stemline.EditError, match="No clip named camera has stems"):
        stemline.take_back(interview, output="out", clips=["camera"])
    assert stemline.take_back(interview, output="out") == ()
    assert not Path(first.output).exists()
    with pytest.raises(stemline.EditError, match="has written no growing edit"):
        stemline.take_back(interview, output="out")
    assert interview.read_bytes() == before


def test_a_file_that_another_program_changed_is_neither_extended_nor_deleted(interview: Path) -> None:
    written = Path(extend(interview, "camera").output)
    written.write_text(written.read_text(encoding="utf-8").replace("speech Talk", "mine"), encoding="utf-8")
    mine = written.read_bytes()
    assert stemline.take_back(interview, output="out") == (f"{written.name} was changed since, so it stays.",)
    result = extend(interview, "recorder")
    assert Path(result.output).name == "edit-2.stems.otio"
    assert written.read_bytes() == mine


def test_the_commands_extend_and_take_back(interview: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["batch", str(interview), "--stem", "speech=speech", "--extend", "--no-previews", "-o", "out"]
    assert main([*ask, "--clip", "camera"]) == 0
    assert main([*ask, "--clip", "recorder"]) == 0
    written = Path("out/edit.stems.otio")
    assert sorted(stem_clips(written)["speech Talk"]) == ["camera speech", "camera speech", "recorder speech"]
    assert main(["take-back", str(interview), "-o", "out", "--clip", "recorder"]) == 0
    assert stem_clips(written)["speech Talk"] == ["camera speech"] * 2
    capsys.readouterr()
    assert main([*ask, "--clip", "no such clip"]) == 2
    assert "The edit has no clip no such clip." in capsys.readouterr().err
    assert main([*ask, "--to", "wav"]) == 2


def test_the_media_of_a_bundle_lie_in_the_folder_of_the_result_and_go_with_it(interview: Path) -> None:
    bundle = packed(interview)
    before = set(interview.parent.rglob("*"))
    options = stemline.EditOptions(clips=("camera",), previews=False)
    result = stemline.separate_edit(bundle, {"speech": "speech"}, output="out", options=options, extend=True)
    assert Path(result.output).is_file()
    assert set(interview.parent.rglob("*")) == before, "nothing lies beside the bundle"
    assert stemline.take_back(bundle, output="out") == ()
    assert not Path(result.output).exists()


def test_an_edit_with_very_many_stems_goes_on_growing(interview: Path) -> None:
    clips = [clip.name for clip in read_timeline(interview).find_clips() if clip.name][:2]
    extend(interview, clips[0])
    (state,) = (paths.home_dir() / "edits").glob("*.json")
    state.write_bytes(state.read_bytes() + b" " * MAX_JSON_BYTES)
    again = extend(interview, clips[0], "rain")
    assert Path(again.output).name == "edit.stems.otio", "no numbered file is started"


@pytest.mark.parametrize("time", ["1e999999999", "0x10", 3, None, "1/0"])
def test_stems_of_an_edit_with_other_times_than_exact_ones_are_refused_at_once(tmp_path: Path, time: object) -> None:
    stem = {"name": "rain", "text": "rain", "plus": [[time, "2"]]}
    edit = tmp_path / "edit.stems.otio"
    edit.write_text(json.dumps({"metadata": {"stemline": {"stems": [stem]}}}), encoding="utf-8")
    with pytest.raises(stemline.EditError, match="cannot be read"):
        stemline.recorded_stems(edit)
