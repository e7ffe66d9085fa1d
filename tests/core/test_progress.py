"""Progress of a run: how far it is, and how fast."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
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


def test_progress_ends_at_one_and_has_a_speed(prepared: Prepared) -> None:
    seen: list[Progress] = []
    meter = Meter(prepared, seen.append)
    (segment,) = prepared.plan.segments
    for stem in ("a", "b"):
        for fraction in (0.5, 0.25, 1.0):
            meter.job(segment.extent, stem, fraction, "separating")
    meter.segment(segment)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert all(progress.speed > 0 for progress in seen)


def test_reused_files_do_not_count_as_work(prepared: Prepared) -> None:
    seen: list[Progress] = []
    meter = Meter(prepared, seen.append)
    (segment,) = prepared.plan.segments
    meter.leave_out(segment)
    assert [(progress.fraction, progress.speed) for progress in seen] == [(1, 0)]
