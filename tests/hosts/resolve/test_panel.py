"""The real panel on the fake Resolve: its own process, the real pipe, a real server, used through its widgets."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PyQt5.QtGui import QImage

from conftest import ROOT
from hosts.resolve.running import run_menu_script_with_user, seen_by_user
from stemline import paths
from stemline_panel.model.settings import PanelSettings, write_settings

Config = dict[str, Any]
RATE = 48000


@pytest.fixture
def interview(folder: Path) -> Config:
    """A talk of two takes and its picture: 25 fps, from 01:00:00:00, the picture of the first take selected."""
    recorder = shutil.copy(ROOT / "examples" / "interview" / "recorder.wav", folder / "recorder.wav")
    talk = [
        {"name": "Anna take 2", "media": 0, "start": "10", "frames": "165", "source": "20/25"},
        {"name": "Anna take 3", "media": 0, "start": "175", "frames": "40", "source": "30/25"},
    ]
    picture = {"name": "Camera", "media": 0, "start": "10", "frames": "165", "source": "20/25"}
    return {
        "product": "DaVinci Resolve Studio",
        "version": [21, 0, 4],
        "project_rate": "25",
        "media": [{"path": str(recorder), "start_frame": 900000}],
        "timelines": [
            {
                "name": "Interview",
                "label": 25.0,
                "rate": "25",
                "zero": 90000,
                "audio": [{"kind": "stereo", "name": "Talk", "items": talk}],
                "video": [{"items": [picture]}],
                "linked": [["Camera", "Anna take 2"]],
                "selected": ["Camera"],
            }
        ],
    }


@pytest.fixture
def noop(own_folders: None) -> None:
    """The panel's settings as an earlier session left them: the engine that takes half, or as long as it is told."""
    write_settings(paths.home_dir() / "panel" / "settings.json", PanelSettings(model="noop"))


@pytest.mark.slow
@pytest.mark.usefixtures("shared_server")
def test_open_mark_separate_compare_apply_remove(folder: Path, interview: Config) -> None:
    """From the selected picture to tracks of its sound and back, with the embedded model. Its picture "5 applied" is
    docs/pictures/resolve.png, kept by hand."""
    session = run_menu_script_with_user(folder, interview, "whole_way")
    seen = seen_by_user(folder, "whole_way")
    assert session.console == ""
    assert seen["target"] == "Anna take 2, A1, 01:00:00:10-01:00:07:00, 25 fps, stereo, 48 kHz"
    assert seen["marks"] == "Marks: 1 × target here, 0 × not here."
    assert seen["asks"][0] == "Isolate speech"
    assert "The timeline doesn't change until you apply the result." in seen["asks"][1]
    assert seen["done"][0] == "Nothing lost"
    assert seen["done"][1] == "Isolate speech in Anna take 2"
    assert "Adds 2 tracks (speech, residual) with 1 clip." in seen["will"]
    clock = "01:00:01:10"
    order = ("speech", "residual", "mix", "speech", "mix")
    assert seen["compared"] == [[name, clock] for name in order], "the playhead stays"
    assert seen["applied"][0].startswith("Applied speech A1, residual A1 to Interview.")
    assert "applied: speech A1, residual A1" in seen["applied"][2]
    assert seen["removed"].startswith("The stems were taken back.")

    applied = session.saved
    original, stem, residual = applied.tracks
    assert [track["name"] for track in applied.tracks] == ["Talk", "speech A1", "residual A1"]
    assert [track["kind"] for track in applied.tracks] == ["stereo"] * 3
    assert [track["enabled"] for track in applied.tracks] == [True, True, False], "isolated: the rest is switched off"
    place = [(item["start"], item["frames"]) for item in original["items"][:1]]
    assert [[(item["start"], item["frames"]) for item in track["items"]] for track in (stem, residual)] == [place] * 2
    assert [item["enabled"] for item in original["items"]] == [False, True]
    assert all(item["enabled"] for item in applied.report["timelines"][0]["pictures"])
    (marker,) = applied.report["timelines"][0]["markers"].values()
    assert marker["note"] == "speech A1, residual A1"
    taken = slice(10 * RATE // 25, 175 * RATE // 25)
    assert np.abs(applied.sound(2)[taken]).max() > 100_000, "the stem sounds"
    assert np.abs(applied.sound(2)[taken] - applied.sound(1)[taken]).max() > 10_000, "and is not the original"
    assert np.abs(applied.sound(2) + applied.sound(3) - applied.sound(1))[taken].max() == 0

    assert session.report["timelines"] == session.report["before"]
    assert_pictures(folder / "pictures", 8)


@pytest.fixture
def outlived(folder: Path) -> Iterator[None]:
    """For a panel that is to outlive its Resolve: it does not outlive the test."""
    yield
    notes = folder / "resolve_quits.json"
    if notes.exists():
        pid = int(json.loads(notes.read_text())["pid"])
        if _lives(pid):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("shared_server", "noop", "outlived")
def test_resolve_quits_under_a_run_and_comes_back(folder: Path, interview: Config) -> None:
    """The panel goes on, takes the pipe of the panel that the new Resolve starts, and applies what it made."""
    run_menu_script_with_user(folder, interview, "resolve_quits", outlived=True)
    until(lambda: "meanwhile" in seen_by_user(folder, "resolve_quits", whole=None))
    session = run_menu_script_with_user(folder, interview, "resolve_quits_never_read")
    until(lambda: seen_by_user(folder, "resolve_quits", whole=None).get("ended"))
    seen = seen_by_user(folder, "resolve_quits")
    banner, big = seen["gone"]
    assert "DaVinci Resolve Studio has quit. Your stems are safe, and the current run goes on." in banner
    assert big == "Isolate sleep 3"
    title, status, *can_apply = seen["meanwhile"]
    assert title == "Isolate sleep 3 in Anna take 2"
    assert status.startswith("done in")
    assert can_apply == [False, False], "there is nothing to apply it to"
    assert seen["back"] == [False, "Anna take 2, A1, 01:00:00:10-01:00:07:00, 25 fps, stereo, 48 kHz"]
    assert session.console == ""
    assert [track["name"] for track in session.tracks] == ["Talk", "sleep 3 A1", "residual A1"]
    assert not (paths.home_dir() / "panel" / "waiting.json").exists()


@pytest.mark.usefixtures("shared_server", "noop")
def test_the_panel_is_killed_and_the_next_one_offers_what_is_there(folder: Path, interview: Config) -> None:
    first = run_menu_script_with_user(folder, interview, "is_killed")
    assert "the panel ended (it was stopped)" in first.console
    assert first.report["timelines"] == first.report["before"], "nothing was applied"
    (_, done), (_, running) = reversed(seen_by_user(folder, "is_killed", whole=False)["runs"])
    assert done.startswith("done in")
    assert "%" in running
    second = run_menu_script_with_user(folder, interview, "goes_on")
    seen = seen_by_user(folder, "goes_on")
    assert [title for title, _ in seen["found"]] == ["Isolate sleep 2 in Anna take 2", "Isolate speech in Anna take 2"]
    assert seen["found"][0][1].startswith("interrupted")
    assert seen["found"][1][1] == "earlier stems reused"
    assert "Isolate speech" in seen["shown"][0]
    assert seen["shown"][1].startswith("2 earlier runs were restored. Clips: the selected clips.")
    assert seen["after"][0][1].startswith("done in")
    assert second.console == ""
    assert [track["name"] for track in second.tracks] == ["Talk", "speech A1", "residual A1"]


def until(seen: Callable[[], object], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_pictures(folder: Path, count: int) -> None:
    """Each shows a window that is drawn, and no two are alike."""
    pictures = [QImage(str(path)) for path in sorted(folder.glob("*.png"))]
    assert len(pictures) == count
    for picture in pictures:
        assert picture.width() >= 800  # the window fits the screen of Qt's offscreen platform
        assert (
            len({picture.pixel(x, y) for x in range(0, picture.width(), 7) for y in range(0, picture.height(), 7)}) > 50
        )
    for one, other in itertools.pairwise(pictures):
        assert one != other


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
