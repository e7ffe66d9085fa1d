# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of stems to make at once: each has its words and its marked marks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stemline.clips import Prompt, StemRequest
from stemline.errors import UsageError
from stemline.prompts import checked_requests, clean_name, clean_text, name_from_text
from stemline_panel.model.marks import MarkSet, Sign


@dataclass(slots=True)
class StemEntry:
    """One line of the list. Without a name of its own a stem is called after its words."""

    text: str = ""
    own_name: str = ""
    marks: MarkSet = field(default_factory=MarkSet)

    @property
    def empty(self) -> bool:
        return not self.text.strip() and not len(self.marks)

    @property
    def name(self) -> str:
        if self.own_name.strip():
            return self.own_name.strip()
        try:
            return name_from_text(self.text) if self.text.strip() else "marked sound"
        except UsageError:
            return "stem"

    @property
    def summary(self) -> str:
        """In words: "rain", "rain, marked 2 times", "marked sound"."""
        marks = len(self.marks)
        times = {0: "", 1: "marked once"}.get(marks, f"marked {marks} times")
        return ", ".join(part for part in (self.text.strip(), times) if part) or "nothing yet"

    def request(self) -> StemRequest:
        """Raises UsageError for words or a name that no run could take."""
        text = clean_text(self.text) if self.text.strip() else ""
        prompt = Prompt(text, self.marks.ranges(Sign.PLUS), self.marks.ranges(Sign.MINUS))
        return StemRequest(clean_name(self.name), prompt)


class StemList:
    """At least one entry, one of which is edited."""

    def __init__(self) -> None:
        self._entries = [StemEntry()]
        self._current = 0

    def __iter__(self) -> Iterator[StemEntry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def current(self) -> StemEntry:
        return self._entries[self._current]

    @property
    def current_index(self) -> int:
        return self._current

    def select(self, index: int) -> None:
        self._current = min(max(0, index), len(self._entries) - 1)

    def add(self, text: str = "") -> None:
        """A further stem, which is edited from here on. An empty current one is used first."""
        if not self.current.empty:
            self._entries.append(StemEntry())
            self._current = len(self._entries) - 1
        self.current.text = text

    def remove(self, index: int) -> None:
        del self._entries[index]
        if not self._entries:
            self._entries.append(StemEntry())
        self.select(self._current - (index < self._current))

    def replace(self, stems: Sequence[tuple[str, str]]) -> None:
        """A preset: (name, words) of each stem. Marked marks of the edited stem stay with the first."""
        marks = self.current.marks
        self._entries = [StemEntry(text, name if name != text else "") for name, text in stems] or [StemEntry()]
        self._entries[0].marks = marks
        self._current = 0

    def take(self, stems: Sequence[StemRequest]) -> None:
        """The stems of a job that was asked for before."""
        self.replace([(stem.name, stem.prompt.text) for stem in stems])
        for entry, stem in zip(self._entries, stems, strict=False):
            entry.marks = MarkSet()
            for sign, ranges in ((Sign.PLUS, stem.prompt.plus), (Sign.MINUS, stem.prompt.minus)):
                for mark in ranges:
                    entry.marks.add(sign, mark.start, mark.end)

    def requests(self) -> tuple[StemRequest, ...]:
        """What to ask for; entries that say nothing are left out. Raises UsageError when nothing is left."""
        return checked_requests([entry.request() for entry in self._entries if not entry.empty])

    @property
    def has_request(self) -> bool:
        """Whether anything is typed or marked."""
        return any(not entry.empty for entry in self._entries)

    def clear_marks(self) -> None:
        """Takes all marks off, for good: undoing brings none back."""
        for entry in self._entries:
            entry.marks = MarkSet()
