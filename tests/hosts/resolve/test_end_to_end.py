"""From the menu to stems on the timeline and back, over the real pipe, in the Pythons of hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hosts.pythons import NEWEST, OLDEST, python_command
from hosts.resolve.running import Session, run_host_session, run_menu_script

PARAMS = {"stems": [{"name": "speech", "prompt": {"text": "speech"}}], "selection": {"tracks": ["A1", "A2"]}}


def params(folder: Path) -> dict[str, Any]:
    return {**PARAMS, "settings": {"output_dir": str(folder / "stems"), "model": "noop"}}


def assert_stems_add_up(session: Session) -> None:
    """Tracks 3 to 6 are the stems and residuals of tracks 1 and 2: every sample is where it was."""
    assert [track["name"] for track in session.tracks[2:]] == ["speech A1", "speech A2", "residual A1", "residual A2"]
    assert [track["kind"] for track in session.tracks] == ["mono", "stereo"] * 3
    for original, stem, residual in ((1, 3, 5), (2, 4, 6)):
        added_up = session.sound(stem) + session.sound(residual)
        assert np.abs(session.sound(original)).max() > 1_000_000
        assert np.abs(added_up - session.sound(original)).max() == 0


@pytest.mark.usefixtures("shared_server")
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_menu_script_brings_stems_in_under_every_python_of_resolve(
    folder: Path, cut: dict[str, Any], version: str
) -> None:
    """Up to the built-in Python 3.14 of 21.1, which runs menu scripts without `__file__`."""
    python = python_command(version)
    session = run_menu_script(folder, cut, [{"do": "separate", "params": params(folder)}], python=python)
    capabilities, result = session.results
    assert capabilities["name"] == "DaVinci Resolve Studio"
    assert session.console == ""
    assert session.report["python"] == version
    assert_stems_add_up(session)
    assert result["tracks"] == [track["name"] for track in session.tracks[2:]]
    assert result["null"]["peak"] == 0.0
    originals = [item for track in session.tracks[:2] for item in track["items"]]
    assert [item["enabled"] for item in originals] == [False, False, False]
    assert all(picture["enabled"] for picture in session.report["timelines"][0]["pictures"])
    assert session.report["saves"] == 1
    assert session.report["current_bin"] == "Master"


@pytest.mark.usefixtures("shared_server")
def test_the_bridge_talks_to_stemline_host(folder: Path, cut: dict[str, Any]) -> None:
    session = run_host_session(folder, cut, params(folder))
    assert "error" not in session.report["end"], session.report["end"]
    assert_stems_add_up(session)


def test_removing_a_result_leaves_no_trace(folder: Path, cut: dict[str, Any]) -> None:
    copy = {"do": "copy", "output_dir": str(folder / "stems")}
    session = run_menu_script(folder, cut, [copy, {"do": "remove", "result": "last"}])
    assert session.results[1]["tracks"] == ["speech A1", "speech A2"]
    assert session.results[2] == {"notes": []}
    assert [track["name"] for track in session.tracks] == ["Audio 1", "Audio 2"]
    assert all(item["enabled"] for track in session.tracks for item in track["items"])
    assert session.report["timelines"][0]["markers"] == {}
