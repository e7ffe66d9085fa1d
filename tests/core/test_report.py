"""The report: names from the edit are escaped, waveforms are to scale, and a browser plays and reviews the clips."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from stemline.clips import MediaSource, SampleRange, Skip, TimeRange
from stemline.errors import Code
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.report import Delivery, render_page, report_of, write_previews
from stemline.report.page import clock, packed_wave, page_data, script_json
from stemline.workflow import ClipOutcome, ClipPlace, Hooks, Notice, Null, RunResult, RunSettings, StemOutcome

HOSTILE = '<script>alert("x")</script> \u202e & "quoted".wav'


def a_result(folder: Path) -> RunResult:
    stem = StemOutcome("dialogue", HOSTILE, str(folder / "stems" / HOSTILE), True, 0.9, HOSTILE, (0, 500, 1000))
    clip = ClipOutcome(
        clip_id="c",
        name=HOSTILE,
        track=HOSTILE,
        record_start="1001/30",
        media=f"/media/{HOSTILE}",
        sample_rate=48000,
        channels=2,
        length_samples=96000,
        seed=0,
        model="noop",
        null=Null(0.0, -240.0),
        stems=(stem,),
        residual=str(folder / "stems" / "r.wav"),
        mix_waveform=(1000, 1000, 1000),
        residual_waveform=(1000, 500, 0),
        reused=False,
        engine_s=0.5,
        elapsed_s=1.0,
        place=ClipPlace(
            MediaSource(f"/media/{HOSTILE}"),
            SampleRange(0, 96000),
            SampleRange(24000, 72000),
            TimeRange(Fraction(1001, 30), Fraction(1031, 30)),
            Fraction(3600),
            Fraction(30000, 1001),
            drop_frame=True,
        ),
    )
    skip = Skip(HOSTILE, "A1", Fraction(1, 3), Code.MEDIA_MISSING, f"There is no file {HOSTILE}.")
    return RunResult(
        clips=(clip,),
        skipped=(skip,),
        failed=(),
        notices=(Notice(HOSTILE, "dialogue", "X", HOSTILE, "c"),),
        tracks=("dialogue A1",),
        output=str(folder / HOSTILE),
        notes=(HOSTILE,),
        model="noop",
        audio_s=2.0,
        elapsed_s=1.0,
        engine_s=0.5,
    )


def shown_data(page: str) -> dict[str, Any]:
    """Return the data of the page's script, as a browser reads it."""
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert text is not None
    data: dict[str, Any] = json.loads(text[1])
    return data


def test_names_are_escaped_and_links_encoded(tmp_path: Path) -> None:
    settings = RunSettings(output_dir=tmp_path)
    report = report_of(HOSTILE, a_result(tmp_path), (StemRequest("dialogue", TimelinePrompt(HOSTILE)),), settings)
    page = render_page(report)
    assert page.count("<script") == 2
    assert "alert(" not in re.sub(r'<script type="application/json".*?</script>|&#34;|alert\(&#34;', "", page)
    for link in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert not set(link) & set("<> &")
    clips = shown_data(page)["clips"]
    assert [clip["name"] for clip in clips] == [HOSTILE, HOSTILE]
    assert report["clips"][0]["speed"] == 4.0
    assert report["result"]["clips"] == {"total": 2, "separated": 1, "reused": 0, "skipped": 1, "failed": 0}


def test_a_clip_has_the_timecode_of_the_edit_and_its_own_length(tmp_path: Path) -> None:
    report = report_of("edit.otio", a_result(tmp_path), (), RunSettings(output_dir=tmp_path))
    clip = page_data(report)["clips"][0]
    assert clip["timecode"] == "01:00:33;10"
    assert (clip["head_s"], clip["length_s"], clip["file_s"]) == (0.5, 1.0, 2.0)
    assert clip["warnings"] == [{"code": "X", "text": HOSTILE}]


def test_two_clips_of_one_name_have_their_own_warnings(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    other = replace(result.clips[0], clip_id="other")
    result = replace(result, clips=(result.clips[0], other))
    report = report_of("edit.otio", result, (), RunSettings(output_dir=tmp_path))
    assert [len(clip["warnings"]) for clip in page_data(report)["clips"]] == [1, 0, 1]


def test_waveforms_are_drawn_to_scale() -> None:
    assert list(base64.b64decode(packed_wave((1000, 500, 0), 1000))) == [255, 128, 0]
    assert list(base64.b64decode(packed_wave([0, 1000, 10, 0] * 120, 1000))) == [255, 3] * 120
    assert packed_wave((), 1) == ""


def test_data_cannot_end_its_script_element() -> None:
    hostile = "</script><!-- & \u2028"
    assert not set(script_json(hostile)) & set("<>&\u2028")
    assert json.loads(script_json(hostile)) == hostile


def test_seconds_are_shown_as_a_clock() -> None:
    assert clock(3727.5) == "1:02:07.50"


@pytest.mark.parametrize(("confidence", "word"), [(0.93, "dog, sure"), (0.3, "dog, unsure")])
def test_confidence_is_not_shown_as_a_certain_percentage(tmp_path: Path, confidence: float, word: str) -> None:
    result = a_result(tmp_path)
    stem = replace(result.clips[0].stems[0], matched="dog", confidence=confidence)
    result = replace(result, clips=(replace(result.clips[0], stems=(stem,)),))
    page = render_page(report_of("edit.otio", result, (), RunSettings(output_dir=tmp_path)))
    assert word in page
    assert "% sure" not in page


def test_a_report_of_500_clips_is_below_3_mb(tmp_path: Path) -> None:
    result = a_result(tmp_path)
    wave = tuple(range(600))
    stems = tuple(replace(result.clips[0].stems[0], stem=f"stem {n}", waveform=wave) for n in range(3))
    clip = replace(result.clips[0], stems=stems, mix_waveform=wave, residual_waveform=wave)
    clips = tuple(replace(clip, clip_id=f"c{n}") for n in range(500))
    notices = tuple(Notice(clip.name, "stem 0", "X", "stem 0 was not heard.", clip.clip_id) for clip in clips)
    result = replace(result, clips=clips, notices=notices)
    page = render_page(report_of("edit.otio", result, (), RunSettings(output_dir=tmp_path)))
    assert len(page.encode()) < 3_000_000


def test_a_preview_holds_the_sound_of_the_stem_files_at_its_place(tmp_path: Path) -> None:
    rate = 44_100
    time = np.arange(4 * rate) / rate
    sound = np.where((time >= 2) & (time < 2.5), 0.5 * np.sin(2 * np.pi * 440 * time), 0).astype(np.float32)
    media = tmp_path / "tone.wav"
    with open_writer(media, AudioFormat(SampleFormat.WAV24, rate, 2)) as writer:
        writer.write(np.stack([sound, sound]))
    whole = a_result(tmp_path).clips[0]
    place = replace(whole.place, source=MediaSource(str(media)), file_range=SampleRange(rate, 4 * rate))
    clip = replace(whole, sample_rate=rate, place=place)
    stages: list[str] = []
    hooks = Hooks(lambda progress: stages.append(progress.stage), lambda: False)
    previews = write_previews([clip], tmp_path / "previews", hooks)
    with av.open(str(previews[clip.residual])) as container:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(heard) == pytest.approx(3 * 48_000, abs=2)
    loud = np.flatnonzero(np.abs(heard) > 0.1)
    assert (loud[0] / 48_000, loud[-1] / 48_000) == pytest.approx((1, 1.5), abs=0.01)
    assert stages == ["writing previews"]
    assert write_previews([clip], tmp_path / "previews", hooks) == previews
    assert stages == ["writing previews"], "reused"
    report = report_of("edit.otio", a_result(tmp_path), (), RunSettings(tmp_path), Delivery(previews=previews))
    assert page_data(report)["clips"][0]["sounds"][0]["file"].startswith("previews/")


def test_a_run_goes_on_without_the_preview_of_lost_media_and_after_a_cancel(tmp_path: Path) -> None:
    clip = a_result(tmp_path).clips[0]
    hooks = Hooks(lambda progress: None, lambda: False)
    assert write_previews([clip], tmp_path / "previews", hooks) == {}
    media = tmp_path / "a.wav"
    with open_writer(media, AudioFormat(SampleFormat.WAV24, 48_000, 2)) as writer:
        writer.write(np.zeros((2, 96_000), np.float32))
    clip = replace(clip, place=replace(clip.place, source=MediaSource(str(media))))
    assert write_previews([clip], tmp_path / "previews", Hooks(lambda progress: None, lambda: True)) == {}
    assert not list((tmp_path / "previews").iterdir())
