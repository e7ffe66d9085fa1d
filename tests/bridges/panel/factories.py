"""Sessions, clips and outcomes of a panel on a host, without a display."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from stemline.clips import ClipRange, MediaSource, SampleRange, StemClip, StemTrack, TimeRange
from stemline.hosts.base import HostCapabilities, ReadClips, WriteOptions
from stemline.prompts import StemRequest, TimelinePrompt
from stemline.workflow import RunResult, RunSettings
from stemline_panel.model.request import RunOutcome, RunRequest
from stemline_panel.model.session import Session
from stemline_panel.model.settings import PanelSettings

HOST = HostCapabilities("Fake", "1", disables_clips=True, removes_results=True)


def clip(number: int = 1, start: int = 10, end: int = 20) -> ClipRange:
    record = TimeRange(Fraction(start), Fraction(end))
    source = TimeRange(Fraction(1), Fraction(1 + end - start))
    return ClipRange(f"c{number}", "talk.mov", "A1", MediaSource("/m/talk.mov"), source, record, Fraction(25))


def session(*clips: ClipRange) -> Session:
    made = Session(PanelSettings(), Path("/film/stems"), host=HOST, server_ready=True, apply_label="Apply to Fake")
    made.show(ReadClips(clips or (clip(),)))
    return made


def stems_of(shown: ClipRange, stem: Path, *, rate: int = 48000, audition: bool = False) -> RunOutcome:
    """Return a finished run on a clip, whose stem and residual are the same file."""
    request = RunRequest(
        (StemRequest("beep", TimelinePrompt("beep")),), (shown,), RunSettings(stem.parent / "out"), audition
    )
    samples = SampleRange(0, int(shown.record_range.duration * rate))
    tracks = tuple(
        StemTrack(
            f"{name} A1",
            name,
            "A1",
            0,
            1,
            True,
            (StemClip(shown.clip_id, name, str(stem), shown.record_range, Fraction(0), samples, rate),),
        )
        for name in ("beep", "residual")
    )
    return replace(outcome(request), tracks=tracks)


def outcome(request: RunRequest) -> RunOutcome:
    result = RunResult((), (), (), (), (), "", (), "noop", 1.0, 1.0, 1.0)
    return RunOutcome(request, result, (), WriteOptions())
