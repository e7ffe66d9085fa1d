"""Prompts: their values on a timeline and in samples, and the rules for texts, names and times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from stemline.clips import MediaFacts, SampleRange, TimeRange
from stemline.errors import Code, UsageError
from stemline.timebase import parse_timecode
from stemline_bridge.stem_names import StemNameError, clean_stem_name, stem_name_from_text

MAX_TEXT_CHARACTERS = 1000
_NUMBER = re.compile(r"^\d{1,9}(\.\d{1,12})?$")


@dataclass(frozen=True, slots=True)
class SamplePrompt:
    """What to separate from one piece of sound, from the plan to the engine.

    Attributes:
        text: Words for the sound, such as "dog barking"; may be empty.
        plus: Spans in which the sound is heard, in samples of the piece.
        minus: Spans in which it is not.
        mask: Name of the picture track on the server that shows the sound's source; empty for none.
    """

    text: str = ""
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()
    mask: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the prompt describes no sound."""
        return not (self.text or self.plus or self.minus or self.mask)


@dataclass(frozen=True, slots=True)
class TimelinePrompt:
    """What to separate, with spans in seconds of the host's timeline (of a plain file: of the file).

    The text is brought into one line. Raises UsageError for a text that is too long or holds control characters, and
    for a span that does not end after it starts.

    Attributes:
        text: Words for the sound; may be empty.
        plus: Spans in which the sound is heard.
        minus: Spans in which it is not.
        mask: Name of a mask that shows the sound's source in the picture; empty for none.
    """

    text: str = ""
    plus: tuple[TimeRange, ...] = ()
    minus: tuple[TimeRange, ...] = ()
    mask: str = ""

    def __post_init__(self) -> None:
        """Clean the text and check the spans. Raises UsageError."""
        object.__setattr__(self, "text", clean_text(self.text) if self.text.strip() else "")
        if any(span.duration <= 0 for span in (*self.plus, *self.minus)):
            raise UsageError("A span must end after it starts.")

    @property
    def is_empty(self) -> bool:
        """Whether the prompt describes no sound."""
        return not (self.text or self.plus or self.minus or self.mask)


@dataclass(frozen=True, slots=True)
class StemRequest:
    """A stem to make: its name and its prompt. Raises UsageError for a name that cannot be used and an empty prompt."""

    name: str
    prompt: TimelinePrompt

    def __post_init__(self) -> None:
        """Clean the name and check that the prompt is not empty. Raises UsageError."""
        object.__setattr__(self, "name", clean_name(self.name))
        if self.prompt.is_empty:
            raise UsageError(
                f"The stem {self.name!r} has no prompt.",
                code=Code.PROMPT_EMPTY,
                advice="Name the sound, or mark where it is heard.",
            )


def distinct_stems(stems: Sequence[StemRequest]) -> tuple[StemRequest, ...]:
    """Return the stems. Raises UsageError unless there is at least one and every name is used once."""
    if not stems:
        raise UsageError(
            "No stem was asked for.", code=Code.PROMPT_EMPTY, advice="Name what to separate: --stem NAME=TEXT."
        )
    seen: set[str] = set()
    for stem in stems:
        if stem.name.lower() in seen:
            raise UsageError(f"Duplicate stem name {stem.name!r}.", advice="Give every stem its own name.")
        seen.add(stem.name.lower())
    return tuple(stems)


def clean_text(text: str) -> str:
    """Return the text in one line of single spaces.

    Raises:
        UsageError: It is empty (PROMPT_EMPTY), too long (PROMPT_TOO_LONG) or holds control characters.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UsageError(
            f"A prompt may have {MAX_TEXT_CHARACTERS} characters; this one has {len(text)}.",
            code=Code.PROMPT_TOO_LONG,
            advice="Name the sound in a few words, such as 'dog barking'.",
        )
    line = " ".join(unicodedata.normalize("NFC", text).split())
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in line):
        raise UsageError("A prompt cannot hold control characters.", advice="Type plain words.")
    if not line:
        raise UsageError(
            "The prompt is empty.", code=Code.PROMPT_EMPTY, advice="Name what to separate, such as 'speech'."
        )
    return line


def clean_name(name: str) -> str:
    """Return a stem name as `clean_stem_name` gives it. Raises UsageError when it cannot be one."""
    try:
        return clean_stem_name(name)
    except StemNameError as error:
        raise UsageError(str(error), advice=error.advice) from error


def name_from_text(text: str) -> str:
    """Return a stem name for a prompt without one: the first words of its sound. Raises UsageError for a bad prompt."""
    return stem_name_from_text(clean_text(text))


@dataclass(frozen=True, slots=True)
class TimePoint:
    """A time in a file as typed: seconds from its start, or a label of its timecode."""

    seconds: Fraction | None
    timecode: str = ""

    def resolve(self, facts: MediaFacts) -> Fraction:
        """Return the seconds from the first sample.

        Raises:
            UsageError: It is a timecode, and the file has no frame rate.
        """
        if self.seconds is not None:
            return self.seconds
        if facts.frame_rate is None:
            raise UsageError(
                f"{self.timecode} is a timecode, but this file has no frame rate.",
                advice="Give seconds from the file's start.",
            )
        label = self.timecode.replace(":", ";") if facts.drop_frame and ";" not in self.timecode else self.timecode
        head, _, frames = label.rpartition(";") if ";" in label else label.rpartition(":")
        separator = ";" if ";" in label else ":"
        frame = parse_timecode(f"{head.replace(';', ':')}{separator}{frames}", facts.frame_rate)
        return frame / facts.frame_rate - facts.timecode_sample / facts.sample_rate


def parse_time(text: str) -> TimePoint:
    """Read seconds such as `12.5`, or a timecode such as `10:00:12:05`. Raises UsageError."""
    text = text.strip()
    if _NUMBER.match(text):
        return TimePoint(Fraction(text))
    if text.count(":") + text.count(";") == 3 and len(text) <= 16:
        return TimePoint(None, text)
    raise UsageError(f"{text[:40]!r} is not a time.", advice="Give seconds (12.5) or source timecode (HH:MM:SS:FF).")


def merge_ranges(spans: list[TimeRange]) -> tuple[TimeRange, ...]:
    """Return the same times as disjoint ranges in order."""
    merged: list[TimeRange] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = TimeRange(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)
