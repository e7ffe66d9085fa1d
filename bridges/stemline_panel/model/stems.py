# SPDX-License-Identifier: GPL-3.0-or-later
"""The stems of the next run, each with its prompt text and its marks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stemline.errors import UsageError
from stemline.prompts import Box, Mask, StemRequest, TimelinePrompt, distinct_stems, name_from_text
from stemline.workflow.replacing import Replace
from stemline_panel.model.formatting import translate
from stemline_panel.model.marks import Mark, MarkSet, Sign
from stemline_panel.model.picture_marks import MarkedObject

_SOUNDS = "voice|speech|vocals|singing|laughter|scream|lines|dialogue"
_GENERAL = frozenset((
    "a", "an", "the", "any", "some", "all", "one", "two", "people", "men", "women", "children", "man", "woman", "boy",
    "girl", "child", "baby", "crowd", "speaker", "singer", "narrator", "announcer", "actor", "actress", "everyone",
    "someone", "god", "male", "female",
))  # fmt: skip
_OF = re.compile(rf"\b(?:{_SOUNDS}) of (\w+)", re.IGNORECASE)
_OWNED = re.compile(rf"\b(\w+)['\u2019]s? (?:{_SOUNDS})\b", re.IGNORECASE)
_TITLED = re.compile(r"\b(?:mr|mrs|ms|dr|prof|president|senator|minister)\.? (\w+)", re.IGNORECASE)
_SAYING = re.compile(r"\b([A-Z]\w+) (?:speaking|talking|singing|shouting|laughing|crying)\b")


@dataclass(slots=True)
class StemEntry:
    """One stem of the list.

    Its name is `custom_name` if the user typed one, else `preset_name` while the text is the preset's, else made from
    the text. `fill` is what takes its place, None for nothing. `marked` has the marks in the picture from which `box`
    or `mask` was made in this window.
    """

    text: str = ""
    custom_name: str = ""
    preset_name: str = ""
    preset_text: str = ""
    marks: MarkSet = field(default_factory=MarkSet)
    fill: Replace | None = None
    box: Box | None = None
    mask: Mask | None = None
    marked: MarkedObject | None = None

    @property
    def empty(self) -> bool:
        """Whether it has neither text nor marks, and nothing in the picture."""
        return not self.text.strip() and not len(self.marks) and self.box is None and self.mask is None

    @property
    def lacks_words(self) -> bool:
        """Whether it shows an object in the picture and has nothing else."""
        return not self.empty and not self.text.strip() and not len(self.marks)

    @property
    def name(self) -> str:
        """The name of the stem, which becomes part of file and track names."""
        if self.custom_name.strip():
            return self.custom_name.strip()
        if self.preset_name and self.text.strip() == self.preset_text:
            return self.preset_name
        try:
            if self.text.strip():
                return name_from_text(self.text)
            return "marked sound" if len(self.marks) else "clicked sound" if self.box or self.mask else "marked sound"
        except UsageError:
            return "stem"

    @property
    def summary(self) -> str:
        """The stem in a few words, such as "rain", "rain, marked 2 times" or "marked once"."""
        marks = len(self.marks)
        many = translate("StemListView", "marked {count} times").format(count=marks)
        times = {0: "", 1: translate("StemListView", "marked once")}.get(marks, many)
        shown = translate("StemListView", "shown in the picture") if self.box or self.mask else ""
        return ", ".join(part for part in (self.text.strip(), times, shown) if part) or translate(
            "StemListView", "empty"
        )

    def request(self) -> StemRequest:
        """Return the request for this stem. Raises UsageError for a text or a name that no run accepts."""
        plus, minus = self.marks.ranges(Sign.PLUS), self.marks.ranges(Sign.MINUS)
        prompt = TimelinePrompt(self.text, plus, minus, None if self.mask else self.box, self.mask)
        return StemRequest(self.name, prompt)


@dataclass(frozen=True, slots=True)
class StemState:
    """One entry as it was at some time."""

    entry: tuple[str, str, str, str, Replace | None]
    marks: tuple[Mark, ...]
    box: Box | None = None
    mask: Mask | None = None
    marked: MarkedObject | None = None


class StemList:
    """At least one entry, one of which is edited."""

    def __init__(self) -> None:
        """Start with one empty entry."""
        self._entries = [StemEntry()]
        self._current = 0

    def __iter__(self) -> Iterator[StemEntry]:
        """Iterate over the entries in their order."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return the number of entries, empty ones included."""
        return len(self._entries)

    @property
    def current(self) -> StemEntry:
        """The entry that is edited."""
        return self._entries[self._current]

    @property
    def current_index(self) -> int:
        """The index of the entry that is edited."""
        return self._current

    @property
    def has_request(self) -> bool:
        """Whether any entry has text or marks."""
        return any(not entry.empty for entry in self._entries)

    def select(self, index: int) -> None:
        """Edit another entry."""
        self._current = min(max(0, index), len(self._entries) - 1)

    def add(self, text: str = "") -> None:
        """Add an entry and edit it; an empty current entry is used first."""
        if not self.current.empty:
            self._entries.append(StemEntry())
            self._current = len(self._entries) - 1
        self.current.text = text

    def remove(self, index: int) -> None:
        """Remove an entry."""
        del self._entries[index]
        if not self._entries:
            self._entries.append(StemEntry())
        self.select(self._current - (index < self._current))

    def rename(self, index: int, name: str) -> None:
        """Give an entry a name of the user's choice; an empty name follows the text again."""
        if index < len(self._entries):
            self._entries[index].custom_name = name

    def replace(self, stems: Sequence[tuple[str, str]]) -> None:
        """Load (name, text) of each stem. The marks of the edited entry move to the first.

        The names belong to these texts: an entry whose text is changed gets a name that fits it.
        """
        marks = self.current.marks
        entries = [StemEntry(text, "", name if name != text else "", text.strip()) for name, text in stems]
        self._entries = entries or [StemEntry()]
        self._entries[0].marks = marks
        self._current = 0

    def set_fill(self, index: int, fill: Replace | None) -> None:
        """Put something in the place of an entry's sound, or nothing with None."""
        if index < len(self._entries):
            self._entries[index].fill = fill

    def fill_of(self, index: int) -> Replace | None:
        """Return what takes the place of an entry's sound."""
        return self._entries[index].fill if index < len(self._entries) else None

    def name_of(self, index: int) -> str:
        """Return the name of an entry; empty where there is none."""
        return self._entries[index].name if index < len(self._entries) and not self._entries[index].empty else ""

    def load(self, stems: Sequence[StemRequest], fills: Mapping[str, Replace]) -> None:
        """Load the stems and marks of an earlier run, and what took their place by stem name."""
        self.replace([(stem.name, stem.prompt.text) for stem in stems])
        for entry, stem in zip(self._entries, stems, strict=False):
            entry.marks, entry.fill = MarkSet(), fills.get(stem.name)
            for sign, ranges in ((Sign.PLUS, stem.prompt.plus), (Sign.MINUS, stem.prompt.minus)):
                for part in ranges:
                    entry.marks.add(sign, part.start, part.end)
            entry.box, entry.mask = stem.prompt.box, stem.prompt.mask

    def requests(self) -> tuple[StemRequest, ...]:
        """Return the requests of all entries that are not empty. Raises UsageError if there is none."""
        return distinct_stems([entry.request() for entry in self._entries if not entry.empty])

    def fills(self) -> dict[str, Replace]:
        """Return what takes the place of the requested stems, by stem name."""
        return {entry.name: entry.fill for entry in self._entries if not entry.empty and entry.fill is not None}

    def state(self) -> tuple[StemState, ...]:
        """Return all entries as they are now."""
        return tuple(
            StemState(
                (one.text, one.custom_name, one.preset_name, one.preset_text, one.fill),
                tuple(one.marks),
                one.box,
                one.mask,
                one.marked,
            )
            for one in self._entries
        )

    def restore(self, state: Sequence[StemState], current: int) -> None:
        """Take over an earlier state, and edit one of its entries."""
        self._entries = []
        for one in state:
            text, custom_name, preset_name, preset_text, fill = one.entry
            marks = MarkSet()
            marks.restore(one.marks)
            entry = StemEntry(text, custom_name, preset_name, preset_text, marks, fill, one.box, one.mask, one.marked)
            self._entries.append(entry)
        self.select(current)

    def clear_marks(self) -> None:
        """Delete all marks; this cannot be undone."""
        for entry in self._entries:
            entry.marks = MarkSet()
            entry.box = entry.mask = entry.marked = None


def names_person(text: str) -> bool:
    """Return whether a prompt probably names one person. Nothing is looked up, and no sound is compared."""
    found = (match[1] for pattern in (_OF, _OWNED, _TITLED, _SAYING) for match in pattern.finditer(text))
    return any(word.casefold() not in _GENERAL for word in found)
