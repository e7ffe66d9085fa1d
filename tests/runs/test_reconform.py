"""A changed edit: only ranges that no earlier run covered are separated; the others are linked again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest

from otio_player import Player
from runs.conftest import noise
from stemline.client import Client, Job, JobRequest, Media
from stemline.clips import MediaSource, SampleRange
from stemline.media import media_facts
from stemline.workflow import estimate

Command = Callable[..., tuple[int, dict[str, Any], str]]
RATE = 25


def cut(path: Path, take: Path, *uses: tuple[int, int]) -> Path:
    """Write an edit of one track that plays seconds of `take` one after the other, a second apart."""
    return cut_of(path, *((take, start, end) for start, end in uses))


def cut_of(path: Path, *uses: tuple[Path, int, int]) -> Path:
    track = otio.schema.Track(name="A1", kind="Audio")
    available = otio.opentime.range_from_start_end_time(at(0), at(60))
    for take, start, end in uses:
        reference = otio.schema.ExternalReference(take.as_uri(), available)
        used = otio.opentime.range_from_start_end_time(at(start), at(end))
        track.append(otio.schema.Clip(f"{start}", reference, used))
        track.append(otio.schema.Gap(duration=at(1)))
    timeline = otio.schema.Timeline("cut")
    timeline.tracks.append(track)
    path.parent.mkdir(parents=True, exist_ok=True)
    otio.adapters.write_to_file(timeline, str(path))
    return path


def at(second: int) -> otio.opentime.RationalTime:
    return otio.opentime.RationalTime(second * RATE, RATE)


def separated(command: Command, edit: Path, folder: Path) -> dict[str, Any]:
    code, answer, _ = command("batch", edit, "--stem", "voice=speech", "--model", "noop", "-o", folder)
    assert code == 0
    result: dict[str, Any] = answer["results"][0]
    return result


def jobs(command: Command) -> int:
    """Return how many different sounds were requested so far."""
    return len({(job["media"], job["prompt"]) for job in command("jobs")[1]["results"]})


def null(path: Path) -> float:
    player = Player(path)
    how = {"sample_rate": 48000, "channels": 2, "length_s": 60}
    stems = player.render(lambda t: "stemline" in t.metadata, **how)
    for track in player.timeline.tracks:
        for clip in track.find_clips():
            clip.enabled = True
    mix = player.render(lambda t: "stemline" not in t.metadata, **how)
    assert np.abs(mix).max() > 0.1
    return float(np.abs(mix - stems).max())


def test_a_changed_edit_separates_only_new_ranges(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=60), tmp_path / "out"
    first = separated(command, cut(tmp_path / "one" / "cut.otio", take, (10, 20), (30, 40)), out)
    assert first["clips"]["separated"] == 2
    before, files = jobs(command), set((out / "stems").glob("*.wav"))

    recut = cut(tmp_path / "two" / "cut.otio", take, (33, 38), (12, 18), (11, 13), (28, 40), (50, 55))
    second = separated(command, recut, out)
    assert second["clips"]["reused"] == 3  # trimmed, moved and added inside of what is there: the same files
    assert second["clips"]["separated"] == 2
    assert jobs(command) == before + 1  # 28 to 40 is cut from the old extent; 50 to 55 alone is new sound
    assert len(set((out / "stems").glob("*.wav")) - files) == 4
    assert null(Path(second["output"])) < 2**-22

    moved = tmp_path / "elsewhere" / "take.wav"
    moved.parent.mkdir()
    take.rename(moved)
    third = separated(command, cut(tmp_path / "three" / "cut.otio", moved, (12, 18)), out)
    assert third["clips"]["reused"] == 1
    assert jobs(command) == before + 1


def test_changed_media_of_the_same_name_is_separated_again(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=30), tmp_path / "out"
    separated(command, cut(tmp_path / "cut.otio", take, (10, 20)), out)
    data = bytearray(take.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = bytes(600)
    take.write_bytes(data)
    again = separated(command, cut(tmp_path / "cut.otio", take, (12, 18)), out)
    assert again["clips"]["separated"] == 1
    assert null(Path(again["output"])) < 2**-22


def test_damaged_sidecars_of_earlier_runs_are_ignored(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=20), tmp_path / "out"
    separated(command, cut(tmp_path / "cut.otio", take, (5, 10)), out)
    bad = [
        "", "[]", "{}", '{"source": 1}', '{"source": {"channels": [[1]]}, "settings": {}}',
        '{"source": {"media": "take.wav", "stream": {}, "channels": [], "sample_rate": 48000}, "settings": {}}',
        '{"source": {"media": "take.wav", "stream": 0, "channels": [0, 1], "sample_rate": 48000,'
        ' "start_sample": -48000000, "end_sample": 96000000000}, "settings": {}, "extent": [0, 99999999999]}',
    ]  # fmt: skip
    for number, text in enumerate(bad):
        (out / "stems" / f"residual_bad{number}.json").write_text(text)
    again = separated(command, cut(tmp_path / "cut.otio", take, (6, 9)), out)
    assert again["clips"]["reused"] == 1
    assert null(Path(again["output"])) < 2**-22


def test_another_edit_of_the_same_name_is_not_overwritten(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=60), tmp_path / "out"
    first = separated(command, cut(tmp_path / "monday" / "cut.otio", take, (10, 20)), out)
    kept = Path(first["output"]).read_bytes()
    second = separated(command, cut(tmp_path / "tuesday" / "cut.otio", take, (30, 35)), out)
    assert Path(second["output"]).name == "cut-2.stems.otio"
    assert Path(first["output"]).read_bytes() == kept
    assert separated(command, tmp_path / "monday" / "cut.otio", out)["output"] == first["output"]


def test_a_file_range_is_not_replaced_by_a_longer_stem_of_an_edit(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=30), tmp_path / "out"
    separated(command, cut(tmp_path / "cut.otio", take, (10, 20)), out)
    part = ("separate", take, "--stem", "voice=speech", "--model", "noop", "--in", "12", "--out", "13", "-o", out)
    code, answer, _ = command(*part)
    (result,) = answer["results"]
    assert code == 0
    assert result["length_samples"] == media_facts(MediaSource(result["residual"])).length_samples == 48_000


def test_a_refused_prompt_stops_the_run_before_all_sound_is_sent(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes = [noise(tmp_path / f"{number}.wav", seconds=1, channels=1) for number in range(96)]
    edit = cut_of(tmp_path / "cut.otio", *((take, 0, 1) for take in takes))
    refused = threading.Event()
    sent: list[SampleRange] = []
    create, ensure = Client.create_jobs, Client.ensure_media

    def creating(client: Client, requests: Sequence[JobRequest]) -> list[Job]:
        try:
            return create(client, requests)
        finally:
            refused.set()

    def ensuring(
        client: Client,
        source: MediaSource,
        wanted: SampleRange,
        progress: Callable[[int, int], None],
        *,
        accept_peaks: bool,
    ) -> Media:
        if len(sent) > 16:
            assert refused.wait(60), "the first lot is on its way by now"
        sent.append(wanted)
        return ensure(client, source, wanted, progress, accept_peaks=accept_peaks)

    monkeypatch.setattr(Client, "create_jobs", creating)
    monkeypatch.setattr(Client, "ensure_media", ensuring)
    asked = ("batch", edit, "--stem", "a=xqzzy", "--model", "embedded", "-o", tmp_path / "out")
    code, answer, _ = command(*asked)
    assert code == 2
    assert answer["errors"][0]["code"] == "PROMPT_UNKNOWN"
    assert len(sent) <= 64, "of 96"


def test_reports_of_other_edits_are_not_overwritten(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=20), tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("mine")
    edit = cut(tmp_path / "cut.otio", take, (5, 10))
    separated(command, edit, out)
    assert (out / "report.html").read_text() == "mine"
    assert (out / "report-2.html").is_file()
    first = (out / "report.json").read_bytes()
    command("batch", edit, "--stem", "other=music", "--model", "noop", "-o", out)
    assert (out / "report.json").read_bytes() == first
    assert (out / "report-2.json").is_file()


def test_two_runs_at_once_write_separate_edits(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=20), tmp_path / "out"
    edit = cut(tmp_path / "cut.otio", take, (5, 10))
    argv = [sys.executable, "-m", "stemline", "batch", str(edit), "--model", "noop", "-o", str(out), "--json"]
    both = [
        subprocess.Popen([*argv, "--stem", f"{name}=sleep:{seconds}"], stdout=subprocess.PIPE)
        for name, seconds in (("a", 1), ("b", 1.1))
    ]
    results = [json.loads(process.communicate(timeout=120)[0])["results"][0] for process in both]
    assert sorted(Path(result["output"]).name for result in results) == ["cut-2.stems.otio", "cut.stems.otio"]
    assert [null(Path(result["output"])) < 2**-22 for result in results] == [True, True]


def test_the_demo_of_the_readme_succeeds_and_names_missing_parts(command: Command, tmp_path: Path) -> None:
    edit = Path(__file__).parents[2] / "examples" / "interview" / "edit.otio"
    code, answer, _ = command("batch", edit, "--stem", "dialogue=speech", "--model", "noop", "-o", tmp_path / "out")
    assert code == 0
    skipped = {skip["code"] for skip in answer["results"][0]["skipped"]}
    assert skipped == {"CLIP_DISABLED", "MEDIA_MISSING"}


def test_a_resumed_run_needs_room_only_for_the_missing_files(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=60), tmp_path / "out"
    monkeypatch.setattr(estimate, "_RESERVE_BYTES", 0)
    asked = ("batch", cut(tmp_path / "cut.otio", take, (10, 40)), "--stem", "a=x", "--model", "noop", "-o", out)
    monkeypatch.setattr(estimate, "_free_bytes", lambda _: 10_000_000)
    code, answer, _ = command(*asked)
    assert code == 1
    assert answer["errors"][0]["code"] == "DISK_FULL"
    monkeypatch.setattr(estimate, "_free_bytes", lambda _: 30_000_000)
    assert command(*asked)[0] == 0
    monkeypatch.setattr(estimate, "_free_bytes", lambda _: 1_000_000)
    assert command(*asked)[0] == 0


def test_an_edit_names_its_report(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=20), tmp_path / "out"
    for folder, report in (("monday", "report.json"), ("tuesday", "report-2.json")):
        result = separated(command, cut(tmp_path / folder / "cut.otio", take, (5, 10)), out)
        timeline = otio.adapters.read_from_file(result["output"])
        assert timeline.metadata["stemline"]["report"] == report


def test_a_changed_cut_keeps_its_fills(command: Command, tmp_path: Path) -> None:
    take, out = noise(tmp_path / "take.wav", seconds=40), tmp_path / "out"
    fill = ("--stem", "voice=speech", "--model", "noop", "--replace", "voice=words:rain", "--generator", "noop")
    code, _, _ = command("batch", cut(tmp_path / "one" / "cut.otio", take, (10, 20), (25, 30)), *fill, "-o", out)
    assert code == 0
    fills = {path: path.stat().st_mtime_ns for path in (out / "stems").glob("fill-voice*.wav")}
    assert len(fills) == 2
    recut = cut(tmp_path / "two" / "cut.otio", take, (26, 30), (12, 18))
    code, answer, _ = command("batch", recut, *fill, "-o", out)
    assert code == 0
    assert answer["results"][0]["clips"]["reused"] == 2
    assert {path: path.stat().st_mtime_ns for path in (out / "stems").glob("fill-voice*.wav")} == fills
    edit = otio.adapters.read_from_file(answer["results"][0]["output"])
    (track,) = [track for track in edit.audio_tracks() if track.name.startswith("fill voice")]
    assert track.enabled
    assert [round(clip.source_range.duration.to_seconds()) for clip in track.find_clips()] == [4, 6]
