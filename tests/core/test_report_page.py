"""The report in a real browser: clips play at one playhead, and the review is stored and exported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from core.browser import CHROMIUM, Page, headless_page
from core.test_report import a_result
from stemline.clips import MediaSource, SampleRange, TimeRange
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.report import Delivery, render_page, report_of, write_previews
from stemline.workflow import ClipOutcome, Hooks, Notice, RunSettings

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium to open the page")
RATE = 48_000
NAMES = ["one", '=cmd "x"', "<img src=x onerror=window.hacked=1>"]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with headless_page() as page:
        yield page


def tone(path: Path, hertz: float) -> Path:
    with open_writer(path, AudioFormat(SampleFormat.WAV24, RATE, 1)) as writer:
        writer.write((0.3 * np.sin(2 * np.pi * hertz * np.arange(4 * RATE) / RATE)).astype(np.float32)[None])
    return path


def a_clip(folder: Path, number: int) -> ClipOutcome:
    base = a_result(folder).clips[0]
    media = tone(folder / f"media {number}.wav", 300)
    place = replace(
        base.place,
        source=MediaSource(str(media)),
        file_range=SampleRange(0, 4 * RATE),
        clip_range=SampleRange(RATE, 3 * RATE),
        record_range=TimeRange(Fraction(2 * number), Fraction(2 * number + 2)),
        frame_rate=Fraction(25),
        drop_frame=False,
    )
    stem = replace(base.stems[0], path=str(tone(folder / f"stem #{number}.wav", 200)), found=number != 1)
    return replace(
        base,
        clip_id=str(number),
        name=NAMES[number],
        track=f"A{number + 1}",
        record_start=str(2 * number),
        length_samples=4 * RATE,
        stems=(stem,),
        residual=str(tone(folder / f"residual {number}.wav", 100)),
        place=place,
    )


@pytest.fixture
def report(tmp_path: Path) -> Path:
    clips = tuple(a_clip(tmp_path, number) for number in range(3))
    notices = (Notice(NAMES[1], "dialogue", "NOT_FOUND", "dialogue was not heard.", "1"),)
    result = replace(a_result(tmp_path), clips=clips, notices=notices, notes=())
    previews = write_previews(clips, tmp_path / "report.previews", Hooks(lambda progress: None, lambda: False))
    text = render_page(report_of("film.otio", result, (), RunSettings(tmp_path), Delivery(previews=previews)))
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


COUNT = "document.getElementById('count').textContent"
NOW = "document.querySelector('.current .tools .time').textContent"
PRESSED = "document.querySelector('.current .sound button[aria-pressed=true]').textContent"
PLAY = "document.querySelector('.current .tools button').textContent"
FILTER = "document.getElementById('filter')"
SHOWN = "[...document.querySelectorAll('.clip:not([hidden]) h3')].map(each => each.textContent)"


def test_the_sounds_of_a_clip_share_one_playhead(page: Page, report: Path) -> None:
    page.open(report)
    page.press("ArrowDown")
    page.press(" ")
    page.wait_for(f"{NOW} > '01:00:00:10'")
    page.press("2")
    assert page.run(PRESSED).startswith("dialogue")
    page.wait_for(f"{NOW} > '01:00:00:20'")
    page.press("3")
    page.wait_for(
        "document.querySelector('.current .tools button').textContent === 'Play'"
    )  # stops where the clip ends
    assert page.run(NOW) in ("01:00:02:00", "01:00:02:01", "01:00:02:02")
    page.run("document.querySelectorAll('.wave')[1].dispatchEvent(new MouseEvent('click', {clientX: 0}))")
    assert page.run(NOW).startswith(("00:59:59", "01:00:00"))
    assert page.run("document.querySelectorAll('.sound button:disabled').length") == 0


def test_a_review_is_stored_filtered_and_exported(page: Page, report: Path) -> None:
    page.open(report)
    for key in ("ArrowDown", "a", "ArrowDown", "ArrowDown", "r"):
        page.press(key)
    page.run("document.querySelector('.current textarea').value = '=1+1, \"loud\"'")
    page.run("document.querySelector('.current textarea').dispatchEvent(new Event('input'))")
    page.open(report)
    assert page.run(COUNT) == "4 of 4 clips · 1 approved · 1 to redo"
    for shown, names in {"missing": [NAMES[1]], "redo": [NAMES[1]], "approved": [NAMES[0]]}.items():
        page.run(f"{FILTER}.value = '{shown}'; {FILTER}.dispatchEvent(new Event('change'))")
        assert page.run(SHOWN) == names
    page.run("URL.createObjectURL = blob => { blob.text().then(text => { window.saved = text; }); return '#'; }")
    page.run("document.getElementById('csv').click()")
    page.wait_for("window.saved !== undefined")
    rows = list(csv.DictReader(io.StringIO(page.run("window.saved"))))
    written = {row["clip"]: row for row in rows}
    assert written["one"]["review"] == "approved"
    assert written['\'=cmd "x"']["comment"] == '\'=1+1, "loud"'
    assert written['\'=cmd "x"']["warnings"] == "dialogue was not heard."


def test_names_of_clips_run_no_script(page: Page, report: Path) -> None:
    page.open(report)
    assert page.run("window.hacked") is None
    assert page.run("document.querySelectorAll('img').length") == 0
    assert NAMES[2] in page.run(SHOWN)
