"""The estimate counts the bytes that a run writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from runs.conftest import noise
from stemline.clips import MediaSource
from stemline.hosts.plain_files import PlainFile
from stemline.media import media_facts
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunSettings, prepare
from stemline.workflow.estimate import estimate


@pytest.mark.parametrize(
    ("bits", "chosen", "width"), [(24, None, 3), (32, None, 4), (32, "wav24", 3), (24, "wav32f", 4)]
)
def test_the_disk_is_checked_for_the_format_that_is_written(
    bits: int, chosen: str | None, width: int, tmp_path: Path
) -> None:
    source = MediaSource(str(noise(tmp_path / "take.wav", seconds=1.0, bits=bits)))
    host = PlainFile(source, media_facts(source), None, None)
    settings = RunSettings(tmp_path, sample_format=chosen)
    prepared = prepare(host, [StemRequest("a", TimelinePrompt("x"))], settings)
    (segment,) = prepared.plan.segments
    assert estimate(prepared, settings).output_bytes == segment.range.length * 2 * width * 2
