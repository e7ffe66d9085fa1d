"""Playback: the end of a clip, loops, layers, loudness, and a slow or missing device."""

from __future__ import annotations

import json
import threading
import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from PyQt5.QtCore import Qt

from bridges.panel.conftest import OpenPanel
from bridges.panel.factories import stems_of
from bridges.panel.harness import RATE, FakeSink, tones
from conftest import ROOT
from stemline.clips import MediaSource, TimeRange
from stemline.media import open_audio
from stemline_panel.model.formatting import next_frame, time_label
from stemline_panel.sound.layers import matched_gains


def test_playback_stops_at_the_end_and_starts_over(open_panel: OpenPanel, tmp_path: Path) -> None:
    """The latency of the device must not repeat the end of the clip."""
    media = tones(tmp_path / "a.wav", seconds=2)
    panel = open_panel(media).ready()
    panel.playback.seek(Fraction(19, 10))
    for _ in range(2):
        panel.key(Qt.Key_Space)

        def over() -> bool:
            panel.sink.pull(480)
            return not panel.plays()

        panel.until(over)
        assert panel.playback.playhead == 2
    panel.key(Qt.Key_Space)
    with open_audio(MediaSource(str(media))) as reader:
        assert np.array_equal(panel.sink.hear(4096), reader.read(0, 4096).T), "from the start"


def test_another_file_is_not_compared_with_stems_of_the_first(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav")))
    assert list(panel.playback.player.layers) == ["mix", "beep", "residual", "remix"]
    panel.director.open(tones(tmp_path / "b.wav"))
    panel.until(lambda: panel.window.clip_bar.line.text().startswith("b.wav") and panel.playback.clip)
    assert list(panel.playback.player.layers) == ["mix"]
    panel.director.open(tmp_path / "a.wav")
    panel.until(lambda: panel.window.clip_bar.line.text().startswith("a.wav") and panel.playback.clip)
    assert list(panel.playback.player.layers) == ["mix", "beep", "residual", "remix"], (
        "the first file has its stems again"
    )


def test_stems_at_another_rate_are_not_played_at_the_wrong_speed(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav", rate=44100), rate=44100))
    assert list(panel.playback.player.layers) == ["mix"]


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(60000, 1001), Fraction(25)])
@pytest.mark.parametrize("sample_rate", [44100, 48000])
def test_each_arrow_key_moves_one_frame_and_the_clock_shows_it(
    open_panel: OpenPanel, tmp_path: Path, rate: Fraction, sample_rate: int
) -> None:
    """The playhead is on a whole sample, which may lie just before its frame."""
    panel = open_panel(tones(tmp_path / "a.wav", seconds=2, rate=sample_rate)).ready()
    assert panel.session.clip is not None
    panel.session.replace_clip(replace(panel.session.clip, frame_rate=rate))
    panel.director._show_clip()
    panel.until(lambda: panel.playback.clip)
    clock = panel.window.transport.clock
    frames = [time_label(frame / rate, rate) for frame in range(24)]
    seen = [clock.text()]
    for _ in frames[1:]:
        panel.key(Qt.Key_Right)
        seen.append(clock.text())
    assert seen == frames
    for frame in reversed(frames[:-1]):
        panel.key(Qt.Key_Left)
        assert clock.text() == frame


def test_a_step_from_within_a_frame_goes_to_its_boundary() -> None:
    rate, slack = Fraction(25), Fraction(1, 96000)
    assert next_frame(Fraction(1, 2), rate, 1, slack) == Fraction(13, 25)
    assert next_frame(Fraction(1, 2), rate, -1, slack) == Fraction(12, 25)
    assert next_frame(Fraction(13, 25) - slack, rate, 1, slack) == Fraction(14, 25)
    assert next_frame(Fraction(13, 25) + slack, rate, -1, slack) == Fraction(12, 25)


def test_matched_loudness_does_not_clip_parts_that_were_not_measured(open_panel: OpenPanel, tmp_path: Path) -> None:
    """Loudness is measured in every third second here, and the only peak is in another one."""
    noise = np.random.default_rng(0).normal(0, 0.1, 250 * 8000)
    quiet = noise / 10
    quiet[100 * 8000 : 100 * 8000 + 400] = 0.5
    panel = open_panel(wav(tmp_path / "long.wav", noise)).ready()
    clip = panel.session.clip
    assert clip is not None
    stem = wav(tmp_path / "stem.wav", quiet)
    record = json.loads((ROOT / "tests/core/sidecars/Hund.json").read_text(encoding="utf-8"))
    record |= {"waveform": [30, 500], "mix_waveform": [400]}
    stem.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
    panel.finish(stems_of(clip, stem, rate=8000))
    panel.until(lambda: len(panel.playback.levels) == 3)
    gains = matched_gains(panel.playback.levels)
    assert gains["beep"] * 0.5 <= 1
    assert gains["beep"] == pytest.approx(gains["mix"] * 10, rel=0.05), "the loudness still matches"


def wav(path: Path, sound: npt.NDArray[np.float64], rate: int = 8000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound * 32767).astype("<i2").tobytes())
    return path


def test_the_loop_follows_check_box_and_selection_during_playback(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    panel = open_panel(media).ready()
    loop, marks = panel.window.transport.loop, panel.director.marks
    with open_audio(MediaSource(str(media))) as reader:
        mix = reader.read(0, 12 * RATE).T
    length, two, five = 4096, 2 * RATE, 5 * RATE
    marks.select(TimeRange(Fraction(2), 2 + Fraction(length, RATE)))
    loop.setChecked(True)
    panel.key(Qt.Key_Space)
    assert np.array_equal(panel.sink.hear(2 * length), np.tile(mix[two : two + length], (2, 1)))
    marks.select(TimeRange(Fraction(5), 5 + Fraction(length, RATE)))
    assert np.array_equal(panel.sink.hear(2 * length), np.tile(mix[five : five + length], (2, 1)))
    panel.sink.hear(512)
    loop.setChecked(False)
    assert np.array_equal(panel.sink.hear(2 * length), mix[five + 512 : five + 512 + 2 * length])
    loop.setChecked(True)
    assert np.array_equal(panel.sink.hear(512), mix[five : five + 512]), "the playhead had left the selection"
    marks.select(None)
    assert np.array_equal(panel.sink.hear(2 * length), mix[five + 512 : five + 512 + 2 * length])


def test_an_audition_plays_by_itself_only_once(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav"), audition=True))
    panel.until(panel.plays)
    panel.key(Qt.Key_Space)
    assert not panel.plays()
    panel.director.host.read()
    with panel.bot.waitSignal(panel.playback.compared, timeout=60_000):
        panel.until(lambda: not panel.director.host.busy)
    assert list(panel.playback.player.layers) == ["mix", "beep", "residual", "remix"]
    assert not panel.plays()


def test_b_returns_to_the_layer_that_the_mouse_chose(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    clip = panel.session.clip
    assert clip is not None
    panel.finish(stems_of(clip, tones(tmp_path / "stem.wav")))
    panel.until(lambda: len(panel.playback.levels) == 3)
    panel.key(Qt.Key_2)
    panel.click(panel.window.transport.layers.buttons["residual"])
    panel.key(Qt.Key_B)
    assert panel.choice == "mix"
    panel.key(Qt.Key_B)
    assert panel.choice == "residual"
    sounds = panel.window.results.list
    sounds.itemClicked.emit(sounds.item(0))
    assert panel.choice == "beep"
    panel.key(Qt.Key_B)
    panel.key(Qt.Key_B)
    assert panel.choice == "beep"


def test_the_device_is_opened_in_a_thread_and_retried_at_the_next_press(open_panel: OpenPanel, tmp_path: Path) -> None:
    late = FakeSink("No sound device was found.")
    panel = open_panel(tones(tmp_path / "a.wav"), sink=late).ready()
    panel.key(Qt.Key_Space)
    panel.until(lambda: not panel.plays() and panel.window.transport.problem.text())
    late.missing = ""
    panel.key(Qt.Key_Space)
    panel.sink.hear(512)
    assert not panel.window.transport.problem.text()
    assert len(late.opened_by) == 2
    assert threading.main_thread() not in late.opened_by


def test_another_sample_rate_reopens_the_device(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.key(Qt.Key_Space)
    panel.sink.hear(512)
    other = tones(tmp_path / "b.wav", rate=44100)
    panel.director.open(other)
    panel.until(lambda: panel.window.clip_bar.line.text().startswith("b.wav") and panel.playback.clip)
    assert not panel.plays()
    panel.key(Qt.Key_Space)
    with open_audio(MediaSource(str(other))) as reader:
        assert np.array_equal(panel.sink.hear(4096), reader.read(0, 4096).T)
    assert panel.sink.rate == 44100


def test_a_missing_device_is_reported_without_blocking_the_window(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    asked: list[threading.Thread] = []

    def why() -> str:
        asked.append(threading.current_thread())
        return "No sound device found; connect one to listen."

    panel.playback.check_device(why)
    panel.until(lambda: panel.window.transport.problem.text() == "No sound device found; connect one to listen.")
    assert len(asked) == 1
    assert asked[0] is not threading.main_thread()


def test_compressed_sound_says_how_far_it_is_read_before_its_middle_is_shown(
    open_panel: OpenPanel, tmp_path: Path
) -> None:
    """AC-3 is exact only when it is decoded from its start, so a view of its middle first needs all of it."""
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("ac3", rate=48000, layout="stereo")
        for start in range(0, 30 * 48000, 48000):
            sound = np.sin(np.arange(start, start + 48000) / 20).astype(np.float32) * np.float32(0.1)
            frame = av.AudioFrame.from_ndarray(np.stack([sound, sound]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    panel = open_panel(film).ready()
    said: list[str] = []
    panel.playback.decoding.connect(lambda _: said.append(panel.window.status_text))
    panel.playback.seek(Fraction(20))
    panel.window.wave.show_range(TimeRange(Fraction(20), Fraction(22)))
    panel.until(lambda: said and said[-1] == "The sound was read.")
    assert said[0].startswith("Reading the sound: ")
    percents = [int(text.split()[3]) for text in said[:-1]]
    assert percents == sorted(percents)
    panel.director.transport.play()
    assert panel.sink.hear(2048).any()
