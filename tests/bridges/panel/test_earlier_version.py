"""User data of the version before the panel's modules were renamed is still read."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

from bridges.panel.factories import clip, session
from stemline_panel.model.marks import Sign
from stemline_panel.model.queue import AppliedResult
from stemline_panel.model.settings import PanelSettings
from stemline_panel.user_data import UserData

EARLIER = Path(__file__).parent / "earlier_version"


def test_a_run_of_the_earlier_version_is_restored_as_the_request_it_was(tmp_path: Path) -> None:
    shutil.copytree(EARLIER, tmp_path / "panel")
    (digest,) = (path.stem for path in (EARLIER / "runs").iterdir())
    asked = session(clip(1), clip(2))
    asked.all_clips = True
    asked.stems.add("rain")
    asked.stems.current.marks.add(Sign.PLUS, Fraction(11), Fraction(25, 2))
    asked.stems.current.marks.add(Sign.MINUS, Fraction(15), Fraction(16))
    asked.stems.add("dog barking")
    (entry,) = UserData.at(tmp_path / "panel").journal.read(asked.clips).values()
    assert entry.request == asked.request(), "so that its result is found for the same request"
    assert entry.request.digest == digest, "so that both versions use one file for it"
    assert entry.asked_ns == 1764400000000000000
    tracks = ("rain A1", "dog barking A1", "residual A1")
    assert entry.applied == AppliedResult(tracks, "Interview", ("A note.",), "result-1")


def test_settings_and_history_of_the_earlier_version_are_read(tmp_path: Path) -> None:
    data = UserData.at(EARLIER)
    assert data.settings() == PanelSettings(
        model="embedded",
        quality="best",
        channels="each",
        sample_format="wav32f",
        chain=True,
        disable_originals=False,
        output_dir="/film/stems",
        audition_s=10,
        loudness_matched=False,
    )
    assert data.history.search() == ["dog barking", "rain on a roof"]
