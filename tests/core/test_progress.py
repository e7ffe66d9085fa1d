"""Progress of a run: how far it is, and how fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
from stemline.plan import Part, undivided
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import Prepared, RunSettings, prepare
from stemline.workflow.progress import Meter
from stemline.workflow.results import Progress


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    source = MediaSource(str(noise(tmp_path / "take.wav")))
    host = PlainFile(source, media_facts(source), None, None)
    return prepare(
        host, [StemRequest("a", TimelinePrompt("x")), StemRequest("b", TimelinePrompt("y"))], RunSettings(tmp_path)
    )


def parts_of(prepared: Prepared) -> list[Part]:
    return [Part(undivided(job.extent), job.stem, job.prompt) for job in prepared.plan.jobs]


def test_progress_ends_at_one_and_has_a_speed(prepared: Prepared) -> None:
    seen: list[Progress] = []
    (segment,) = prepared.plan.segments
    parts = parts_of(prepared)
    meter = Meter(prepared.facts, {segment: parts}, seen.append)
    for part in parts:
        for fraction in (0.5, 0.25, 1.0):
            meter.job(part, fraction, "separating")
    meter.segment(segment)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(progress.speed > 0 for progress in seen)


def test_reused_files_do_not_count_as_work(prepared: Prepared) -> None:
    seen: list[Progress] = []
    (segment,) = prepared.plan.segments
    meter = Meter(prepared.facts, {segment: parts_of(prepared)}, seen.append)
    meter.leave_out(segment)
    assert [(progress.fraction, progress.speed) for progress in seen] == [(1, 0)]


def test_mixing_is_part_of_the_work(prepared: Prepared) -> None:
    seen: list[Progress] = []
    (segment,) = prepared.plan.segments
    meter = Meter(prepared.facts, {segment: parts_of(prepared)}, seen.append, sets=2)
    for part in parts_of(prepared):
        meter.job(part, 1.0, "separating")
    meter.segment(segment, 0.5)
    meter.segment(segment)
    assert seen[-1].fraction < 1, "the mix is not written yet"
    assert seen[-1].left_s is not None
    meter.segment(segment, 1.0, "mixing")
    assert seen[-1].fraction == 1
    assert seen[-1].left_s == 0
