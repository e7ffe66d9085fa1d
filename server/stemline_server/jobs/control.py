"""The control through which an engine reports on the jobs of a group."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from stemline.errors import Cancelled
from stemline.v1 import separation_pb2 as pb
from stemline_server.engines.base import Finding
from stemline_server.jobs.claims import Group
from stemline_server.jobs.events import EventHub

_REPORT_EVERY_S = 0.1
_STAGES = {pb.JOB_KIND_GENERATE: "generating", pb.JOB_KIND_SUGGEST: "listening"}


@dataclass(slots=True)
class Outcome:
    """What the engine reported about one prompt."""

    finding: Finding = field(default_factory=lambda: Finding(found=True, confidence=0.0))
    warnings: list[pb.Warning] = field(default_factory=list)


class GroupControl:
    """The control of one run of a group. `stop` may be called from any thread; the engine notices at its next step."""

    def __init__(self, group: Group, hub: EventHub) -> None:
        """Report to the watchers of `hub`."""
        self.group = group
        self.outcomes = [Outcome() for _ in group.keys]
        self._hub = hub
        self._stopped = threading.Event()
        self._reported_s = 0.0
        self._stage = _STAGES.get(group.jobs[0].kind, "separating")

    @property
    def is_stopped(self) -> bool:
        """Return whether the engine's next step raises Cancelled."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Make the engine's next step raise Cancelled."""
        self._stopped.set()

    def stage(self, name: str) -> None:
        """Report what happens before the engine's own steps. Raises Cancelled."""
        if self._stopped.is_set():
            raise Cancelled
        self._hub.report(self.group.jobs, pb.Progress(stage=name))

    def step(self, done: int, total: int) -> None:
        """Report progress, at most a few times a second. Raises Cancelled."""
        if self._stopped.is_set():
            raise Cancelled
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = now_s
            fraction = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
            self._hub.report(self.group.jobs, pb.Progress(fraction=fraction, stage=self._stage))

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Add a warning to the stem of a prompt."""
        self.outcomes[prompt].warnings.append(pb.Warning(code=code, message=message))

    def find(self, prompt: int, finding: Finding) -> None:
        """Take the engine's finding about a prompt."""
        self.outcomes[prompt].finding = finding
