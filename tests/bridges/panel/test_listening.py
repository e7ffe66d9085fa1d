"""What is heard: the end, loops, other sounds beside the mix, and a device that is late or missing."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from PyQt5.QtCore import Qt

from bridges.panel.conftest import OpenPanel
from bridges.panel.driving import tones
from bridges.panel.sessions import stems_of
from stemline.clips import MediaSource
from stemline.media import open_audio


def test_played_to_the_end_it_stands_there_and_starts_over(open_panel: OpenPanel, tmp_path: Path) -> None:
    """A device is late: what it has still to play does not make a last stretch that is repeated."""
    media = tones(tmp_path / "a.wav", seconds=2)
    panel = open_panel(media).ready()
    panel.sound.seek(Fraction(19, 10))
    for _ in range(2):
        panel.key(Qt.Key_Space)

        def over() -> bool:
            panel.sink.play_out()
            return not panel.plays()

        panel.until(over)
        assert panel.sound.playhead == 2
    panel.key(Qt.Key_Space)
    with open_audio(MediaSource(str(media))) as reader:
        assert np.array_equal(panel.sink.hear(4096), reader.read(0, 4096).T), "from the beginning"


def test_another_file_is_not_compared_with_the_stems_of_the_first(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav")))
    assert list(panel.sound.player.takes) == ["mix", "beep", "residual"]
    panel.director.open(tones(tmp_path / "b.wav"))
    panel.until(lambda: panel.window.target.line.text().startswith("b.wav") and panel.sound.clip)
    assert list(panel.sound.player.takes) == ["mix"]
    panel.director.open(tmp_path / "a.wav")
    panel.until(lambda: panel.window.target.line.text().startswith("a.wav") and panel.sound.clip)
    assert list(panel.sound.player.takes) == ["mix", "beep", "residual"], "back at its own"
