"""Separation from Python: the same files and bytes as the command line, and errors before work."""

from __future__ import annotations

from pathlib import Path

import pytest

import stemline
from stemline.api.stems import Stems
from stemline_app.cli import main

pytestmark = pytest.mark.smoke


def stems_in(folder: Path) -> dict[str, tuple[str, dict[str, object]]]:
    """Sound and record of every stem file; the record without the job, which has a new name each time."""
    found = {}
    for path in folder.rglob("*.wav"):
        verdict = stemline.verify(path)
        record = verdict.record.to_json() if verdict.record else {}
        found[path.relative_to(folder).as_posix()] = (verdict.audio_sha256, {**record, "job": ""})
    return found


def test_a_file_gives_the_names_and_sound_of_the_command_line(project: Path) -> None:
    spans = ["--plus", "0.5..1", "--minus", "dog=1.5..1.75"]
    assert main(["separate", "interview.wav", "--stem", "dog=dog barking", *spans, "--out", "1.9", "-o", "a"]) == 0
    prompt = stemline.Prompt("dog barking", (stemline.Span(0.5, 1), stemline.Span(1.5, 1.75, sounds=False)))
    result = stemline.separate("interview.wav", {"dog": prompt}, range=(None, 1.9), output="b")
    assert stems_in(project / "a") == stems_in(project / "b")
    assert set(stems_in(project / "b")) == {"interview.0-1.9.dog.wav", "interview.0-1.9.residual.wav"}
    assert (result.length_samples, result.null.dbfs, result.reused) == (45_600, -240.0, False)


def test_an_edit_gives_the_files_of_the_command_line(project: Path) -> None:
    assert main(["batch", "edit.otio", "--stem", "dialogue=speech", "--to", "wav", "-o", "a"]) == 0
    options = stemline.EditOptions(to=("wav",))
    result = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="b", options=options)
    assert stems_in(project / "a") == stems_in(project / "b")
    assert len(result.exports) == 1 and result.export_errors == ()
    names = [{path.name for path in (project / folder).iterdir()} for folder in ("a", "b")]
    assert names[0] == names[1] >= {"edit.stems.otio", "report.html", "report.json"}
    assert result.to_json()["clips"]["separated"] == 1


def test_marked_stretches_of_an_edit_count_from_its_start(project: Path) -> None:
    prompt = stemline.Prompt(spans=[stemline.Span(0.5, "1")])
    result = stemline.separate_edit("edit.otio", {"bang": prompt}, output="out")
    record = stemline.verify(result.clips[0].stems[0].path).record
    assert record is not None
    assert [(span.start_sample, span.end_sample) for span in record.prompt.plus] == [(12_000, 24_000)]


def test_progress_reaches_the_end(project: Path) -> None:
    seen: list[stemline.Progress] = []
    stemline.separate("interview.wav", "speech", output="out", progress=seen.append)
    assert seen and seen[-1].fraction == 1.0


@pytest.mark.parametrize(
    ("stems", "what"),
    [
        ({}, "No stem"),
        ({"residual": "x"}, "residual"),
        ([stemline.Stem("a", "x"), stemline.Stem("A", "y")], "a"),
        ({"a": stemline.Prompt("x", (stemline.Span(5, 6),))}, "outside"),
    ],
)
def test_stems_that_cannot_be_made_are_refused_before_any_work(project: Path, stems: Stems, what: str) -> None:
    with pytest.raises(stemline.UsageError, match=what):
        stemline.separate("interview.wav", stems, output="out")
    assert not (project / "out").exists()


@pytest.mark.parametrize("times", [(2, 1), (1, 1), (-1, 1), ("x", 1), (float("nan"), 1)])
def test_a_span_that_is_no_stretch_of_time_is_refused(times: tuple[float, float]) -> None:
    with pytest.raises(stemline.UsageError):
        stemline.Span(*times)


def test_timecode_is_read_by_the_file_and_refused_for_an_edit(project: Path) -> None:
    prompt = stemline.Prompt("x", (stemline.Span("00:00:00:12", "00:00:01:00"),))
    with pytest.raises(stemline.UsageError, match="no frame rate"):
        stemline.separate("interview.wav", {"a": prompt}, output="out")
    with pytest.raises(stemline.UsageError, match="timecode"):
        stemline.separate_edit("edit.otio", {"a": prompt}, output="out")


@pytest.mark.parametrize(
    "wrong",
    [
        {"handle_s": 601}, {"handle_s": "x"}, {"rate": 0.5}, {"enable": "none"}, {"tracks": "A1"}, {"audition_s": -1},
        {"dialect": "kdenlove"}, {"to": ("mp3",)}, {"media_roots": ("nowhere",)},
    ],
)  # fmt: skip
def test_options_that_no_run_accepts_are_refused(project: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(stemline.UsageError):
        options = stemline.EditOptions(**wrong)  # type: ignore[arg-type]
        stemline.separate_edit("edit.otio", {"a": "x"}, output="out", options=options)
    assert not (project / "out").exists()


def test_a_token_given_to_connect_is_enough_for_a_run(
    project: Path, noop_server: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STEMLINE_SERVER")
    monkeypatch.delenv("STEMLINE_TOKEN")
    with stemline.connect(noop_server[0], token=noop_server[1]) as client:
        first = stemline.separate("interview.wav", "speech", output="a", client=client)
        second = stemline.separate("interview.wav", "speech", output="b", client=client)
    assert first.model == second.model == "noop"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["--play", "stem"], ["--enable", "stem"]),
        (["--to", "wav", "--legs", "mono"], ["--to", "wav", "--split-channels", "mono"]),
        (["--to", "wav", "--stamp", "source"], ["--to", "wav", "--timecode", "source"]),
        (["--to", "wav", "--names", "{clip}"], ["--to", "wav", "--name-template", "{clip}"]),
    ],
)
def test_flags_of_earlier_versions_go_on_working(
    project: Path, capsys: pytest.CaptureFixture[str], old: list[str], new: list[str]
) -> None:
    for folder, flags in (("a", old), ("b", new)):
        assert main(["batch", "edit.otio", "--stem", "dialogue=speech", *flags, "-o", folder]) == 0
    assert stems_in(project / "a") == stems_in(project / "b")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["batch", "--help"])
    text = capsys.readouterr().out
    assert all(flag in text for flag in new if flag.startswith("--"))
    assert not any(f"{flag} " in text for flag in set(old) - set(new) if flag.startswith("--"))
