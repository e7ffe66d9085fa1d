"""Joins several passes of an engine over one task into one report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stemline_server.engines.base import Control, Finding


@dataclass
class Passes:
    """Progress of all passes as one; at the end one finding for each prompt, and the warnings of that pass."""

    control: Control
    passes: int
    current: int = 0
    _warned: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict)
    _findings: dict[int, tuple[int, Finding]] = field(default_factory=dict)

    def step(self, done: int, total: int) -> None:
        """Report the progress of the current pass as a part of the whole. Raises Cancelled."""
        self.control.step(self.current * total + done, self.passes * total)

    def warn(self, prompt: int, code: str, message: str) -> None:
        """Note a warning of the current pass."""
        self._warned.setdefault((self.current, prompt), {})[code] = message

    def find(self, prompt: int, finding: Finding) -> None:
        """Note a finding of the current pass. A sound that is in any of the channels is found."""
        _, best = self._findings.get(prompt, (0, None))
        if best is None or (finding.found, finding.confidence) > (best.found, best.confidence):
            self._findings[prompt] = self.current, finding

    def tell(self, prompts: int, notes: tuple[tuple[str, str], ...]) -> None:
        """Report the findings, each with `notes`. A prompt that no pass reported on was not found."""
        for number in range(prompts):
            of_pass, found = self._findings.get(number, (0, Finding(found=False, confidence=0.0)))
            for code, message in self._warned.get((of_pass, number), {}).items():
                self.control.warn(number, code, message)
            self.control.find(number, replace(found, notes=(*found.notes, *notes)))
