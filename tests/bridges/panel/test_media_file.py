"""A media file from opening to taking back: mark, separate, compare, save."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PyQt5.QtCore import Qt

from bridges.panel.conftest import OpenPanel
from bridges.panel.harness import RATE, FakeSink, tones
from stemline.clips import MediaSource, TimeRange
from stemline.media import open_audio, read_tags
from stemline_panel.model.queue import ItemState
from stemline_panel.model.session import Action

pytestmark = pytest.mark.smoke


def test_open_mark_separate_compare_save_take_back(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "interview ü.wav")
    panel = open_panel(media).ready()
    window = panel.window
    assert window.clip_bar.line.text() == "interview ü.wav, 0:00:00.000-0:00:12.000, stereo, 48 kHz"
    assert panel.primary_label == "Isolate"
    assert not window.prompt.primary.isEnabled()
    window.wave.clicked.emit(Fraction(11, 2))
    panel.until(lambda: panel.director.marks.selection)
    found = panel.director.marks.selection
    assert found is not None
    assert abs(found.start - 5) < Fraction(1, 20)
    assert abs(found.end - 6) < Fraction(1, 20)
    panel.key(Qt.Key_M)
    assert len(panel.session.stems.current.marks) == 1
    assert panel.primary_label == "Isolate marked sound"
    panel.session.settings.model = "noop"
    panel.trigger_primary()
    item = panel.done()
    assert panel.primary_label == "Save the stems"
    assert "Writes 2 files" in window.prompt.primary.toolTip()
    assert not (tmp_path / "interview ü stems").exists(), "stems are written only when they are saved"
    assert item.outcome is not None
    assert item.outcome.result.null.peak == 0.0
    assert window.results.null.text() == "Nothing lost"

    panel.until(lambda: len(panel.playback.levels) == 3)
    panel.director.results.toggle_ab()
    assert panel.playback.player.choice == "marked sound"

    panel.trigger_primary()
    panel.until(lambda: item.applied)
    folder = tmp_path / "interview ü stems"
    assert sorted(path.name for path in folder.iterdir() if path.suffix == ".wav") == [
        "interview ü.marked sound.wav",
        "interview ü.residual.wav",
    ]
    with (
        open_audio(MediaSource(str(media))) as mix,
        open_audio(MediaSource(str(folder / "interview ü.residual.wav"))) as residual,
    ):
        assert residual.length_samples == mix.length_samples
        assert np.array_equal(residual.read(0, RATE) * 2, mix.read(0, RATE)), "the noop model takes half"
    assert panel.primary_label == "Applied"

    panel.click(window.results.take_back)
    panel.until(lambda: item.applied is None)
    assert not list(folder.glob("*.wav"))
    assert media.exists()


def test_the_player_outputs_the_chosen_layer_at_the_same_playhead(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    panel = open_panel(media).ready()
    panel.session.settings.model = "noop"
    panel.separate("beep")
    panel.until(lambda: len(panel.playback.levels) == 3)
    panel.window.transport.matched.setChecked(False)
    panel.playback.seek(Fraction(5))
    panel.key(Qt.Key_Space)
    assert panel.plays()
    with open_audio(MediaSource(str(media))) as reader:
        mix = reader.read(5 * RATE, 7 * RATE).T
    assert np.array_equal(panel.sink.hear(4096), mix[:4096])
    assert panel.sink.rate == RATE
    panel.key(Qt.Key_2)
    assert panel.choice == "beep"
    faded = panel.sink.hear(1024)
    assert np.abs(np.diff(faded[:, 0])).max() < 0.05, "switching does not click"
    assert np.allclose(panel.sink.hear(2048), mix[5120:7168] / 2, atol=1e-6)
    panel.window.transport.matched.setChecked(True)
    panel.sink.hear(1024)
    assert np.allclose(panel.sink.hear(2048), mix[8192:10240], atol=2e-3), "as loud as the mix"
    panel.key(Qt.Key_B)
    assert panel.choice == "mix"
    panel.key(Qt.Key_Space)
    assert not panel.plays()
    assert abs(panel.playback.playhead - 5 - Fraction(10240, RATE) + Fraction(panel.sink.latency_s)) < Fraction(1, 1000)


def test_an_audition_plays_a_few_seconds_and_writes_nothing(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.session.settings.audition_s = 3
    panel.type("beep")
    panel.playback.seek(Fraction(6))
    panel.click(panel.window.prompt.audition)
    item = panel.done()
    assert item.request.audition
    assert item.request.clips[0].record_range == TimeRange(Fraction(9, 2), Fraction(15, 2))
    panel.until(lambda: panel.playback.player.playing)
    assert panel.playback.player.choice == "beep"
    assert panel.playback.playhead == Fraction(9, 2)
    assert panel.session.primary_action().action is Action.SEPARATE, "the whole clip is not separated yet"
    assert not panel.window.results.apply.isEnabled()


def test_several_stems_in_one_run_are_copied_as_json(open_panel: OpenPanel, tmp_path: Path) -> None:
    from PyQt5.QtWidgets import QApplication

    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.type("music")
    panel.click(panel.window.prompt.stems.add)
    panel.type("rain on a roof")
    assert panel.primary_label == "Isolate 2 stems"
    panel.trigger_primary()
    item = panel.done()
    assert item.outcome is not None
    assert [track.stem for track in item.outcome.tracks] == ["music", "rain on a roof", "residual"]
    panel.click(panel.window.queue.row(item.number).copy)
    job = json.loads(QApplication.clipboard().text())
    assert [stem["prompt"]["text"] for stem in job["stems"]] == ["music", "rain on a roof"]
    assert job["settings"]["play"] == "stem"
    assert panel.director._user_data.history.search("roof") == ["rain on a roof"]


def test_records_say_of_media_and_words_what_the_settings_allow(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "interview.wav")).ready()
    settings = panel.session.settings
    settings.model, settings.record_paths, settings.record_words = "noop", "omit", "omit"
    item = panel.separate("rain on a roof")
    assert item.outcome is not None
    records: list[dict[str, Any]] = [dict(read_tags(Path(file)).metadata) for file in item.outcome.files]
    assert len(records) == 2
    for record in records:
        assert record["source"]["media"] == "" and "roof" not in json.dumps(record["prompt"])


def test_the_output_folder_of_the_command_line_is_not_saved(open_panel: OpenPanel, tmp_path: Path) -> None:
    first = open_panel(output=str(tmp_path / "once"))
    assert first.session.output_dir == tmp_path / "once"
    first.close()
    second = open_panel()
    assert second.session.settings.output_dir == ""
    assert second.session.output_dir == second.session.default_output


def test_a_stopped_run_can_be_tried_again(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.type("sleep:60")
    panel.trigger_primary()
    panel.until(lambda: panel.session.queue.running and panel.session.queue.running.progress)
    assert not panel.window.prompt.primary.isEnabled(), "this request is in the queue already"
    panel.click(panel.window.drawer.stop)
    item = panel.ended()
    panel.key(Qt.Key_K, Qt.ControlModifier)
    assert item.state is ItemState.STOPPED
    panel.click(panel.window.queue.row(item.number).retry)
    panel.until(lambda: item.state is ItemState.RUNNING)
    panel.director.requests.stop()
    panel.ended()


def test_an_unknown_prompt_fails_with_a_message(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    item = panel.separate("gnirps qwarf")
    assert item.state is ItemState.FAILED
    assert "This model doesn't know" in panel.window.banner.text()
    assert panel.window.banner.isVisible()


@pytest.mark.parametrize("content", [b"", b"this is no sound at all" * 100])
def test_unreadable_media_is_reported_in_one_sentence(open_panel: OpenPanel, tmp_path: Path, content: bytes) -> None:
    media = tmp_path / "broken.mp4"
    media.write_bytes(content)
    panel = open_panel(media)
    panel.until(panel.window.banner.isVisible)
    assert "broken.mp4" in panel.window.banner.text()
    assert panel.session.primary_action().action is Action.OPEN


def test_without_a_sound_device_everything_else_works(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav"), sink=FakeSink("No sound device was found.")).ready()
    panel.session.settings.model = "noop"
    panel.key(Qt.Key_Space)
    panel.until(lambda: panel.window.transport.problem.text() == "No sound device was found.")
    assert not panel.playback.player.playing
    assert panel.window.transport.play.text() == "▶  Play"
    panel.separate("beep")
    assert panel.done().outcome is not None


def test_the_panel_after_a_killed_one_restores_its_runs(open_panel: OpenPanel, tmp_path: Path) -> None:
    media = tones(tmp_path / "a.wav")
    first = open_panel(media).ready()
    first.session.settings.model = "noop"
    first.separate("beep")
    first.done()
    first.type("sleep:60")
    first.trigger_primary()
    runs = first.director._user_data.folder / "runs"
    first.until(lambda: first.session.queue.running and len(list(runs.glob("*.json"))) == 2)
    second = open_panel(media).ready()  # the journal of the first is as a kill leaves it: nothing was closed
    second.until(lambda: len(second.session.queue) == 2)
    items = list(second.session.queue)
    assert [item.request.stems[0].name for item in items] == ["beep", "sleep 60"]
    second.until(lambda: items[0].state is ItemState.DONE)
    assert items[0].outcome is not None
    assert all(clip.reused for clip in items[0].outcome.result.clips), "nothing was computed again"
    assert items[1].state is ItemState.INTERRUPTED
    assert second.window.queue.row(items[1].number).retry.isVisible()
    first.director.requests.stop()
    first.ended()


def test_a_second_result_with_the_same_names_gets_a_number(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    for quality in ("standard", "fast"):
        panel.session.settings.quality = quality
        item = panel.separate("beep")
        panel.until(lambda: panel.primary_label == "Save the stems", 20)
        panel.trigger_primary()
        panel.until(lambda: panel.primary_label == "Applied", 20)
        assert item.applied is not None
    names = ["a.beep-2.wav", "a.beep.wav", "a.residual-2.wav", "a.residual.wav"]
    assert sorted(path.name for path in (tmp_path / "a stems").glob("*.wav")) == names


def test_the_selected_part_of_a_file_is_separated_and_saved(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.window.clip_bar.part.setChecked(True)
    panel.select(4.5, 6.5)
    item = panel.separate("beep")
    assert item.request.clips[0].record_range == TimeRange(Fraction(9, 2), Fraction(13, 2))
    panel.trigger_primary()
    panel.until(lambda: item.applied)
    saved = tmp_path / "a stems" / "a.4.5-6.5.beep.wav"
    with open_audio(MediaSource(str(saved))) as stem, open_audio(MediaSource(str(tmp_path / "a.wav"))) as mix:
        assert stem.length_samples == 2 * RATE
        assert np.array_equal(stem.read(0, RATE) * 2, mix.read(RATE * 9 // 2, RATE * 11 // 2))
    assert not list((tmp_path / "a stems").glob(".*")), "no partial file stays"


def test_the_chosen_layer_is_drawn(open_panel: OpenPanel, tmp_path: Path) -> None:
    panel = open_panel(tones(tmp_path / "a.wav")).ready()
    panel.session.settings.model = "noop"
    panel.separate("beep")
    panel.until(lambda: len(panel.playback.levels) == 3)
    drawn: list[float] = []
    panel.playback.waveform_ready.connect(lambda picture: drawn.append(float(picture.high.max())))
    panel.key(Qt.Key_2)
    panel.until(lambda: drawn and 0.13 < drawn[-1] < 0.18)
    panel.key(Qt.Key_1)
    panel.until(lambda: 0.27 < drawn[-1] < 0.36)
