"""What a user types about a sound, checked once, before anything else sees it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from stemline.clips import MediaFacts, StemRequest, TimeRange
from stemline.errors import Code, UsageError
from stemline.timebase import parse_timecode
from stemline_bridge.stem_names import StemNameError, clean_stem_name, stem_name_from_text

MAX_TEXT_CHARACTERS = 1000
_NUMBER = re.compile(r"^\d{1,9}(\.\d{1,12})?$")


def clean_text(text: str) -> str:
    """The prompt in one line of single spaces.

    Raises UsageError when nothing is left, it is too long, or it holds control characters.
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
            "The prompt is empty.", code=Code.PROMPT_EMPTY, advice="Say what to pull out, such as 'speech'."
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
    """A place in a file as typed: seconds from its start, or a label of its timecode."""

    seconds: Fraction | None
    timecode: str = ""

    def resolve(self, facts: MediaFacts) -> Fraction:
        """Seconds from the first sample.

        Raises UsageError when a timecode is given and the file has no frame rate to read it by.
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
    """Seconds such as `12.5`, or a timecode such as `10:00:12:05`."""
    text = text.strip()
    if _NUMBER.match(text):
        return TimePoint(Fraction(text))
    if text.count(":") + text.count(";") == 3 and len(text) <= 16:
        return TimePoint(None, text)
    raise UsageError(f"{text[:40]!r} is not a time.", advice="Give seconds (12.5) or source timecode (HH:MM:SS:FF).")


def merge_ranges(spans: list[TimeRange]) -> tuple[TimeRange, ...]:
    """The same times as disjoint ranges in order."""
    merged: list[TimeRange] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end:
            merged[-1] = TimeRange(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def checked_requests(stems: Sequence[StemRequest]) -> tuple[StemRequest, ...]:
    """The stems with their names and texts as `clean_name` and `clean_text` give them.

    Raises UsageError for what they refuse, and unless there is at least one stem, every name stands once, every prompt
    says something and every span ends after it starts.
    """
    if not stems:
        raise UsageError(
            "No stem was asked for.", code=Code.PROMPT_EMPTY, advice="Say what to pull out: --stem NAME=TEXT."
        )
    seen: set[str] = set()
    checked = tuple(_checked(stem) for stem in stems)
    for stem in checked:
        if stem.name.lower() in seen:
            raise UsageError(f"The stem name {stem.name!r} stands twice.", advice="Give every stem its own name.")
        seen.add(stem.name.lower())
    return checked


def _checked(stem: StemRequest) -> StemRequest:
    name, prompt = clean_name(stem.name), stem.prompt
    if not (prompt.text.strip() or prompt.plus or prompt.minus):
        raise UsageError(
            f"The stem {name!r} has no prompt.",
            code=Code.PROMPT_EMPTY,
            advice="Say what it is, or mark where it sounds.",
        )
    if any(span.duration <= 0 for span in (*prompt.plus, *prompt.minus)):
        raise UsageError(f"A span of the stem {name!r} must end after it starts.")
    return StemRequest(name, replace(prompt, text=clean_text(prompt.text) if prompt.text.strip() else ""))
