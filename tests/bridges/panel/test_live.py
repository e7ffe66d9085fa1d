"""A run is heard while it is computed: before its end, without a gap at its end, and never against the user."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PyQt5.QtCore import Qt

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import Panel
from runs.conftest import noise
from runs.test_live_sound import SteppingEngine
from stemline.clips import MediaSource
from stemline.media import open_audio
from stemline_panel.model.queue import ItemState, QueueItem
from stemline_server.engines.base import EnginePrompt, Waveform
from stemline_server.testing import FunctionEngine, serve_engines

RATE, NEAR_S = 8000, 25
SAMPLES = 64
"""Samples that are pulled at once; a part of what the player reads at once."""


@dataclass
class GatedEngine:
    """Separates the cell at the playhead, and the others when `rest` is set."""

    rest: threading.Event = field(default_factory=threading.Event)
    first: float = 0.0
    """The first sample of what it hears of that cell."""

    def separate(self, mix: Waveform, rate: int, prompt: EnginePrompt) -> Waveform:
        if abs(mix[0, 0] - self.first) > 1e-6:
            self.rest.wait(120)
        return mix * np.float32(0.5)


@pytest.fixture
def engine() -> Iterator[GatedEngine]:
    gated = GatedEngine()
    yield gated
    gated.rest.set()


@pytest.fixture
def panel(
    engine: GatedEngine, open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Panel]:
    """A panel with its playhead in the middle of a file of several cells."""
    media = noise(tmp_path / "take.wav", seconds=42, sample_rate=RATE, channels=1)
    with open_audio(MediaSource(str(media))) as reader:
        engine.first = float(reader.read(19 * RATE, 20 * RATE)[0, 0])
    with serve_engines(FunctionEngine(engine.separate, cell_s=10), state=tmp_path / "state") as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        opened = open_panel(media, server=server.address).ready()
        opened.playback.seek(Fraction(NEAR_S))
        yield opened
        engine.rest.set()
        opened.close()


def begin(panel: Panel, prompt: str) -> QueueItem:
    """Start a run. Each test has its own prompt, because results are shared."""
    panel.type(prompt)
    panel.trigger_primary()
    return list(panel.session.queue)[-1]


def hear(panel: Panel, count: int) -> list[npt.NDArray[np.float32]]:
    return [panel.sink.hear(SAMPLES) for _ in range(count // SAMPLES)]


def test_a_run_is_heard_from_the_playhead_before_its_end_and_goes_on_from_its_file(
    panel: Panel, engine: GatedEngine
) -> None:
    item = begin(panel, "x")
    panel.until(panel.plays, 60)
    heard = hear(panel, 8192)
    assert item.state is ItemState.RUNNING, "heard while it is computed"
    assert panel.choice == "x"
    panel.director.runs.finished.connect(lambda _: heard.append(panel.sink.pull(SAMPLES)))
    engine.rest.set()
    assert panel.done() is item
    assert (panel.choice, panel.plays()) == ("x", True)
    assert heard[-1].any(), "no gap when the file takes its place"
    panel.until(lambda: "residual" in panel.playback.player.layers)
    heard += hear(panel, 81920)
    clip, outcome = panel.session.clip, item.outcome
    assert clip is not None
    assert outcome is not None
    with open_audio(MediaSource(outcome.stem_clips(clip.clip_id)["x"].path)) as reader:
        sound = reader.read(NEAR_S * RATE, NEAR_S * RATE + sum(map(len, heard)))[0]
    faded = 1024  # from the mix, which was heard before
    own = slice(faded, 8192)
    np.testing.assert_array_equal(np.concatenate(heard)[own, 0], sound[own])
    difference = np.abs(np.concatenate(heard)[faded:, 0] / sound[faded:])
    assert np.ptp(difference[sound[faded:] != 0]) < 2, "at the same place, at most at another level"


def test_a_run_does_not_interrupt_what_the_user_plays(panel: Panel) -> None:
    panel.key(Qt.Key_Space)
    assert panel.plays()
    item = begin(panel, "y")
    panel.until(lambda: "y" in panel.playback.player.layers, 60)
    assert item.state is ItemState.RUNNING
    assert (panel.choice, panel.plays()) == ("mix", True)


def test_a_stopped_run_leaves_no_layer_and_no_sound(panel: Panel, engine: GatedEngine) -> None:
    item = begin(panel, "z")
    panel.until(panel.plays, 60)
    panel.director.requests.stop()
    engine.rest.set()
    panel.until(lambda: item.state.ended)
    assert item.state is ItemState.STOPPED
    assert not panel.plays()
    assert panel.playback.player.layers == ("mix",)


def test_a_short_clip_which_is_one_job_is_heard_before_its_end(
    open_panel: OpenPanel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = noise(tmp_path / "take.wav", seconds=16, sample_rate=RATE, channels=1)
    stepping = SteppingEngine(cell_s=0)
    with serve_engines(stepping, state=tmp_path / "state") as server:
        monkeypatch.setenv("STEMLINE_TOKEN", server.token)
        panel = open_panel(media, server=server.address).ready()
        item = begin(panel, "x")
        panel.until(panel.plays, 60)
        heard = panel.sink.hear(SAMPLES)
        assert item.state is ItemState.RUNNING and not stepping.finished and heard.any()
        stepping.go_on.set()
        assert panel.done() is item
        panel.close()
