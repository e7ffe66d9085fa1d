"""The report: names from the edit are escaped, and waveforms show the measured peaks."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from stemline.clips import Skip
from stemline.errors import Code
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.report import render_page, report_of
from stemline.report.page import clock, wave_path
from stemline.workflow import ClipOutcome, Notice, Null, RunResult, RunSettings, StemOutcome

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
    )
    skip = Skip(HOSTILE, "A1", Fraction(1, 3), Code.MEDIA_MISSING, f"There is no file {HOSTILE}.")
    return RunResult(
        clips=(clip,),
        skipped=(skip,),
        failed=(),
        notices=(Notice(HOSTILE, "dialogue", "X", HOSTILE),),
        tracks=("dialogue A1",),
        output=str(folder / HOSTILE),
        notes=(HOSTILE,),
        model="noop",
        audio_s=2.0,
        elapsed_s=1.0,
        engine_s=0.5,
    )


def test_names_are_escaped_and_links_encoded(tmp_path: Path) -> None:
    settings = RunSettings(output_dir=tmp_path)
    report = report_of(HOSTILE, a_result(tmp_path), (StemRequest("dialogue", TimelinePrompt(HOSTILE)),), settings)
    page = render_page(report)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 5
    for link in re.findall(r'(?:href|src)="([^"]*)"', page):
        assert not set(link) & set("<> &")
    assert report["clips"][0]["speed"] == 4.0
    assert report["result"]["clips"] == {"total": 2, "separated": 1, "reused": 0, "skipped": 1, "failed": 0}


def test_waveforms_are_drawn_to_scale() -> None:
    assert wave_path((1000, 500), 1000) == "M0.0,0.0 L300.0,12.0 L300.0,36.0 L0.0,48.0 Z"
    assert wave_path((), 1) == ""


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
