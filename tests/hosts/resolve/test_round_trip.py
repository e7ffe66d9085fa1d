"""Quirk 18: the OTIO round trip for the free edition. Resolve takes what `--for resolve` writes, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hosts.otio.support import audio_track, clip, gap, media, save, separate
from hosts.resolve.fake_resolve import Fake, build
from hosts.resolve.fake_resolve.sound import track_sound
from hosts.resolve.harness import stubs
from stemline_otio import LinkRules, OtioTarget, open_edit
from stemline_otio.dialect import Dialect


def brought_in(folder: Path, cut: dict[str, Any], dialect: Dialect) -> tuple[Fake, Any]:
    """A film of two clips at ten hours of timecode, its stems, and what Resolve makes of the document."""
    media(folder / "voice.wav", 4, timecode_sample=36000 * 48000)
    first = clip("voice.wav", (900010, 20), 25, (900000, 100))
    edit = save(folder / "edit.otio", audio_track("", [gap(5, 25), first, clip("voice.wav", (900050, 30), 25, None)]))
    output = folder / "out" / "edit.stems.otio"
    separate(open_edit(edit, OtioTarget(output, dialect), LinkRules(folder)), output)
    fake = build(stubs(), cut)
    pool = fake.resolve().GetProjectManager().GetCurrentProject().GetMediaPool()
    timeline = pool.ImportTimelineFromFile(str(output))
    assert fake.referee.faults == []
    return fake, timeline


def test_stems_come_in_at_their_samples(folder: Path, cut: dict[str, Any]) -> None:
    fake, timeline = brought_in(folder, cut, Dialect.RESOLVE)
    assert timeline.GetTrackCount("audio") == 3
    assert fake.project is not None
    model = fake.project.timelines[-1]
    original, half, residual = (track_sound(model, track, 48000, with_disabled=True)[0] for track in model.audio)
    assert max(original) > 100_000
    assert [first + second for first, second in zip(half, residual, strict=True)] == original


def test_a_generic_otio_document_is_refused_by_resolve(folder: Path, cut: dict[str, Any]) -> None:
    assert brought_in(folder, cut, Dialect.GENERIC)[1] is None


@pytest.mark.parametrize("spoilt", ["global_start_time", "available_range", "Clip.2", "Audio 1"])
def test_each_part_of_the_resolve_dialect_is_needed(
    folder: Path, cut: dict[str, Any], spoilt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document with one thing spoilt is not taken any more."""
    taken = Path.read_text
    replacement = {"Clip.2": "Clip.1", "Audio 1": ""}.get(spoilt, "no such field")

    def spoiling(path: Path, encoding: str | None = None, errors: str | None = None) -> str:
        text = taken(path, encoding, errors)
        return text.replace(spoilt, replacement) if path.name == "edit.stems.otio" else text

    monkeypatch.setattr(Path, "read_text", spoiling)
    assert brought_in(folder, cut, Dialect.RESOLVE)[1] is None
