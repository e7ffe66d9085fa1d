"""Sessions of a panel on clips of a host, without a display."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from stemline.clips import ClipRange, MediaSource, TimeRange
from stemline.hosts.base import HostCapabilities, ReadClips, WriteOptions
from stemline.workflow import RunResult
from stemline_panel.model.request import Outcome, RunRequest
from stemline_panel.model.session import Session
from stemline_panel.model.settings import PanelSettings

HOST = HostCapabilities("Fake", "1", disables_clips=True, removes_results=True)


def clip(number: int = 1, start: int = 10, end: int = 20) -> ClipRange:
    record = TimeRange(Fraction(start), Fraction(end))
    source = TimeRange(Fraction(1), Fraction(1 + end - start))
    return ClipRange(f"c{number}", "talk.mov", "A1", MediaSource("/m/talk.mov"), source, record, Fraction(25))


def session(*clips: ClipRange) -> Session:
    made = Session(PanelSettings(), Path("/film/stems"), host=HOST, server_ready=True, apply_words="Apply to Fake")
    made.show(ReadClips(clips or (clip(),)))
    return made


def outcome(request: RunRequest) -> Outcome:
    result = RunResult((), (), (), (), (), "", (), "noop", 1.0, 1.0, 1.0)
    return Outcome(request, result, (), WriteOptions())
