"""A screenshot of the panel on the example edit; docs/pictures/panel.png is a copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PyQt5.QtCore import Qt
from PyQt5.QtGui import QImage, QPixmap

from bridges.panel.conftest import OpenPanel
from conftest import ROOT
from stemline.media import Loudness
from stemline_panel.model.queue import ItemState


@pytest.mark.slow
def test_screenshot_of_the_panel_during_work(open_panel: OpenPanel, tmp_path: Path) -> None:
    """Separate speech from the first clip with the embedded model."""
    folder = tmp_path / "interview"
    shutil.copytree(ROOT / "examples" / "interview", folder)
    panel = open_panel(folder / "edit.otio").ready()
    panel.window.resize(1440, 900)
    clip = panel.session.clip
    assert clip is not None
    start = float(clip.record_range.start)
    panel.type("electric kettle")
    panel.trigger_primary()
    assert panel.ended().state is ItemState.FAILED
    panel.window.hide_banner()
    panel.select(start + 1.0, start + 2.1)
    panel.key(Qt.Key_M)
    panel.select(start + 2.6, start + 3.1)
    panel.key(Qt.Key_N)
    panel.type("speech")
    panel.trigger_primary()
    item = panel.done()
    panel.until(lambda: len(panel.playback.levels) == 3)
    levels = panel.playback.levels
    assert all(isinstance(level, Loudness) for level in levels.values())
    assert levels["speech"].lufs > -60
    panel.playback.seek(clip.record_range.start + 1)
    panel.window.strip.setFocus()
    panel.until(lambda: _colours(panel.window.grab()) > 500)  # waveform, spectrogram and words are drawn
    panel.bot.wait(300)  # the levels are laid out
    panel.window.grab().save(str(tmp_path / "panel.png"))
    assert item.outcome is not None
    assert [track.stem for track in item.outcome.tracks] == ["speech", "residual"]


def _colours(picture: QPixmap) -> int:
    image = picture.toImage().convertToFormat(QImage.Format_RGB32)
    bits = image.constBits()
    assert bits is not None
    bits.setsize(image.sizeInBytes())
    return len(np.unique(np.frombuffer(bits, np.uint32)))  # type: ignore[call-overload]
