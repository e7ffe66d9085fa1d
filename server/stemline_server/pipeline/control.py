"""One control seen by several passes of an engine over the same task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from stemline_server.engines.base import Control, Finding


@dataclass
class Passes:
    """Progress of all passes as one, warnings once, and at the end one finding for each prompt."""

    control: Control
    passes: int
    current: int = 0
    _warned: set[tuple[int, str]] = field(default_factory=set)
    _findings: dict[int, Finding] = field(default_factory=dict)

    def step(self, done: int, total: int) -> None:
        self.control.step(self.current * total + done, self.passes * total)

    def warn(self, prompt: int, code: str, message: str) -> None:
        if (prompt, code) not in self._warned:
            self._warned.add((prompt, code))
            self.control.warn(prompt, code, message)

    def find(self, prompt: int, finding: Finding) -> None:
        """A sound is found when it is in any of the channels."""
        best = self._findings.get(prompt)
        if best is None or (finding.found, finding.confidence) > (best.found, best.confidence):
            self._findings[prompt] = finding

    def tell(self, prompts: int, notes: tuple[tuple[str, str], ...]) -> None:
        """Passes on what was found, and `notes` with it; a prompt that no pass spoke of was not found."""
        for number in range(prompts):
            found = self._findings.get(number, Finding(found=False, confidence=0.0))
            self.control.find(number, replace(found, notes=(*found.notes, *notes)))
