"""A watched folder: what appears is separated once, half-copied files wait, and a stop loses nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import opentimelineio as otio
import pytest

import stemline
from runs.conftest import noise
from stemline.api import watching
from stemline_app.cli.main import main

NOOP = stemline.Settings(model="noop")
STEMS = {"dialogue": "speech"}


def edit_of(media: Path, edit: Path) -> Path:
    whole = otio.opentime.TimeRange(otio.opentime.RationalTime(0, 25), otio.opentime.RationalTime(25, 25))
    clip = otio.schema.Clip("a", otio.schema.ExternalReference(str(media), whole), whole)
    timeline = otio.schema.Timeline("cut")
    timeline.tracks.append(otio.schema.Track("A1", [clip], kind=otio.schema.TrackKind.Audio))
    otio.adapters.write_to_file(timeline, str(edit))
    return edit


def states(folder: Path, **options: Any) -> list[tuple[str, str]]:
    events = stemline.watch(folder, STEMS, settings=NOOP, once=True, settle_s=0, **options)
    return [(event.path.name, event.state.value) for event in events]


@pytest.fixture
def drop(shared_server: None, tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


def test_edits_and_media_are_separated_once_and_stay_as_they_are(drop: Path, tmp_path: Path) -> None:
    media = noise(tmp_path / "elsewhere.wav", seconds=1)
    edit_of(media, drop / "cut.otio")
    noise(drop / "cut.wav", seconds=1)
    (drop / "notes.txt").write_text("no media", encoding="utf-8")
    (drop / ".hidden.wav").write_bytes(b"half")
    before = {path: path.read_bytes() for path in drop.iterdir()}
    assert states(drop) == [("cut.otio", "working"), ("cut.otio", "done"), ("cut.wav", "working"), ("cut.wav", "done")]
    assert {path: path.read_bytes() for path in before} == before
    results = drop / "Stemline"
    assert (results / "cut" / "cut.stems.otio").exists()
    assert (results / "cut-wav" / "cut.dialogue.wav").exists()
    assert states(drop) == []
    noise(drop / "cut.wav", seconds=2)
    assert states(drop) == [("cut.wav", "working"), ("cut.wav", "done")]
    assert (results / "cut-wav-2" / "cut.dialogue.wav").stat().st_size > (
        results / "cut-wav" / "cut.dialogue.wav"
    ).stat().st_size


def test_a_file_that_is_still_copied_waits(drop: Path) -> None:
    whole = noise(drop.parent / "whole.wav", seconds=2).read_bytes()
    target = drop / "take.wav"
    target.write_bytes(whole[: len(whole) // 2])
    seen: list[tuple[str, str]] = []
    for event in stemline.watch(drop, STEMS, settings=NOOP, once=True, settle_s=0.2):
        seen.append((event.state.value, event.message))
        if event.state == "waiting":
            target.write_bytes(whole)
    assert [state for state, _ in seen] == ["waiting", "working", "done"]
    assert "cut short" in seen[0][1]
    assert stemline.verify(drop / "Stemline" / "take" / "take.dialogue.wav").intact


def test_a_broken_file_fails_after_a_while_with_its_reason(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PATIENCE_S", 1.0)
    (drop / "a.wav").write_bytes(b"RIFF" + bytes(100))
    (drop / "b.otio").write_text('{"OTIO_SCHEMA": "Timel', encoding="utf-8")
    noise(drop / "c.wav", seconds=1)
    seen = states(drop)
    assert [event for event in seen if event[1] == "failed"] == [("a.wav", "failed"), ("b.otio", "failed")]
    assert ("c.wav", "done") in seen
    assert "a.wav" in (drop / "Stemline" / "failed" / "a.wav.txt").read_text(encoding="utf-8")
    assert states(drop) == []
    edit_of(noise(drop.parent / "m.wav", seconds=1), drop / "b.otio")
    assert states(drop) == [("b.otio", "working"), ("b.otio", "done")]
    assert not (drop / "Stemline" / "failed" / "b.otio.txt").exists()
    assert ("a.wav", "failed") in states(drop, retry_failed=True)


def test_two_watches_of_one_folder_do_not_work_against_each_other(drop: Path) -> None:
    first = stemline.watch(drop, STEMS, settings=NOOP, settle_s=0)
    noise(drop / "a.wav", seconds=1)
    next(first)
    with pytest.raises(stemline.UsageError, match="another watch"):
        next(iter(stemline.watch(drop, STEMS, settings=NOOP, settle_s=0)))
    first.close()  # type: ignore[attr-defined]


def test_a_killed_watch_goes_on_and_repeats_no_finished_file(drop: Path) -> None:
    names = [f"take {number:02d}.wav" for number in range(12)]
    for name in names:
        noise(drop / name, seconds=1)
    argv = [sys.executable, "-m", "stemline", "watch", str(drop), "--stem", "a=sleep:0.2", "--model", "noop", "--once"]
    journal = drop / "Stemline" / "watch.json"
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
        while not journal.exists() or len(json.loads(journal.read_text(encoding="utf-8"))["files"]) < 4:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    results = drop / "Stemline"
    finished = {path: path.stat().st_mtime_ns for path in results.rglob("*.a.wav")}
    done = subprocess.run([*argv, "--json"], capture_output=True, text=True, check=True)
    again = [Path(result["input"]).name for result in json.loads(done.stdout)["results"]]
    assert len(again) <= len(names) - 3
    assert sorted(path.name for path in results.rglob("*.a.wav")) == [f"{Path(name).stem}.a.wav" for name in names]
    assert {path: path.stat().st_mtime_ns for path in finished} == finished


def test_a_watch_stops_when_asked(drop: Path) -> None:
    noise(drop / "a.wav", seconds=1)
    calls = iter([False] * 3)
    events = stemline.watch(drop, {"a": "sleep:30"}, settings=NOOP, settle_s=0, stopped=lambda: next(calls, True))
    assert [event.state.value for event in events] == ["working"]
    assert not list((drop / "Stemline").rglob("*.wav"))


def test_a_file_that_vanishes_as_it_is_found_does_not_end_the_watch(
    drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = noise(drop / "a.wav", seconds=1)
    noise(drop / "b.wav", seconds=1)
    is_file = Path.is_file

    def vanishing(self: Path) -> bool:
        found = is_file(self)
        if self == gone:
            self.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(Path, "is_file", vanishing)
    assert states(drop) == [("b.wav", "working"), ("b.wav", "done")]


def test_a_full_disk_is_no_fault_of_the_file(drop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(drop / "a.wav", seconds=1)
    full = stemline.OutputError("The disk is full.", code=stemline.Code.DISK_FULL)
    faults = iter([full])

    def start(*args: Any, **options: Any) -> Any:
        for fault in faults:
            raise fault
        return stemline.start(*args, **options)

    monkeypatch.setattr(watching, "start", start)
    monkeypatch.setattr(watching, "_RETRY_S", 0.2)
    seen = []
    for event in stemline.watch(drop, STEMS, settings=NOOP, settle_s=0):
        seen.append(event.state.value)
        if event.state == "done":
            break
    assert seen == ["working", "waiting", "working", "done"]


def test_a_truncated_file_is_done_with_the_remark_that_it_is_cut_short(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It plays, so that only the remark tells the user that the copy was never finished."""
    monkeypatch.setattr(watching, "_PATIENCE_S", 0)
    take = noise(drop / "take.wav", seconds=2)
    take.write_bytes(take.read_bytes()[: take.stat().st_size // 2])
    edit_of(take, drop / "cut.otio")
    ended = [event for event in stemline.watch(drop, STEMS, settings=NOOP, once=True, settle_s=0) if event.output]
    assert [(event.path.name, event.state.value) for event in ended] == [("cut.otio", "done"), ("take.wav", "done")]
    assert ended[0].message == "Media is cut short (a); the report has the details."
    assert "is cut short: its sound ends after 1.00 s" in ended[1].message
    journal = json.loads((drop / "Stemline" / "watch.json").read_text(encoding="utf-8"))
    assert journal["files"]["take.wav"]["message"] == ended[1].message
    again = [str(drop), "--stem", "dialogue=speech", "--model", "noop", "--once", "--json", "-o", str(tmp_path / "b")]
    assert main(["watch", *again]) == 0
    said = capsys.readouterr()
    assert ended[1].message in said.err
    assert ended[1].message in said.out
