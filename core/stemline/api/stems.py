"""Stems as callers ask for them: names, prompts and spans."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

from stemline.clips import MediaFacts, TimeRange
from stemline.errors import Code, UsageError
from stemline.prompts import (
    Box,
    Mask,
    StemRequest,
    TimelinePrompt,
    clean_name,
    clean_text,
    distinct_stems,
    merge_ranges,
    name_from_text,
    parse_time,
)
from stemline.workflow.recorded_prompts import read_recorded_stems

Time: TypeAlias = Fraction | float | str
"""Seconds as a number or text such as "12.5", or the source timecode of a file, such as "10:00:12:05"."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in which a sound is heard, or is not.

    For a file, times count from its first sample, or are source timecode. For an edit, they are seconds from the start
    of its timeline. Floats are read as the decimal number that they print, so that 0.1 is exactly 1/10.

    Attributes:
        start: First moment, a `Fraction` of a second unless it is timecode.
        end: First moment after the span.
        sounds: True where the sound is heard, False where it is not.

    Raises:
        UsageError: A time is malformed, or the span ends before it starts.

    Examples:
        >>> import stemline
        >>> stemline.Span(1.5, "2.25")
        Span(start=Fraction(3, 2), end=Fraction(9, 4), sounds=True)
    """

    start: Time
    end: Time
    sounds: bool = True

    def __post_init__(self) -> None:
        """Make the times exact."""
        start, end = exact_time(self.start), exact_time(self.end)
        if isinstance(start, Fraction) and isinstance(end, Fraction) and end <= start:
            raise UsageError("A span must end after it starts.", advice="Give the start first, in seconds.")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "end", end)

    def resolve(self, facts: MediaFacts | None) -> TimeRange:
        """Return exact seconds; timecode is read by `facts`. Raises UsageError where there are none."""
        span = TimeRange(resolve_time(self.start, facts), resolve_time(self.end, facts))
        if span.duration <= 0:
            raise UsageError("A span must end after it starts.", advice="Give the start first, in seconds.")
        return span


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to pull out: words, spans, the source of the sound in the picture, or several of these.

    Attributes:
        text: Words for the sound, such as "speech" or "dog barking".
        spans: Where the sound is heard and where it is not.
        box: A box around what makes the sound, in one frame.
        mask: Masks of what makes the sound; used in place of a box.

    Raises:
        UsageError: The text is too long or holds control characters.

    Examples:
        >>> import stemline
        >>> stemline.Prompt("dog  barking", [stemline.Span(3.5, 4.2)]).text
        'dog barking'
    """

    text: str = ""
    spans: Sequence[Span] = ()
    box: Box | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Clean the text."""
        object.__setattr__(self, "text", clean_text(self.text) if self.text.strip() else "")
        object.__setattr__(self, "spans", tuple(self.spans))


@dataclass(frozen=True, slots=True)
class Stem:
    """A named result of one prompt.

    Attributes:
        name: Name of the stem, used in file and track names. "residual" is reserved.
        prompt: What to pull out. Text becomes a `Prompt` of that text.

    Raises:
        UsageError: The name or the text cannot be used.

    Examples:
        >>> import stemline
        >>> stemline.Stem("dog", "dog barking").prompt.text
        'dog barking'
    """

    name: str
    prompt: Prompt = field(default_factory=Prompt)

    def __init__(self, name: str, prompt: Prompt | str) -> None:
        """Clean the name and make text a prompt."""
        object.__setattr__(self, "name", clean_name(name))
        object.__setattr__(self, "prompt", Prompt(prompt) if isinstance(prompt, str) else prompt)


Stems: TypeAlias = Mapping[str, str | Prompt] | Iterable[Stem | str] | Stem | str
"""Stems to make: names with their prompts, `Stem`s, or texts that name their stems themselves."""


def stem_list(stems: Stems) -> tuple[Stem, ...]:
    """Return every form of `stems` as `Stem`s. Raises UsageError."""
    if isinstance(stems, Mapping):
        return tuple(Stem(name, prompt) for name, prompt in stems.items())
    if isinstance(stems, str | Stem):
        stems = (stems,)
    return tuple(Stem(name_from_text(stem), stem) if isinstance(stem, str) else stem for stem in stems)


def recorded_stems(edit: str | os.PathLike[str]) -> tuple[Stem, ...]:
    """Return the stems that an edit of Stemline's names, with words, marks, boxes and masks, to run them again.

    The box and the masks of a stem come back as they were given. A mask that was recorded by name alone
    (`Settings.record_paths`) is looked for beside the edit.

    Args:
        edit: Path of a `.stems.otio` file.

    Raises:
        EditError: The file is not an edit that Stemline wrote.
        UsageError: The words were recorded as hashes or not at all, or a mask is not there.

    Examples:
        >>> import stemline
        >>> result = stemline.separate_edit("edit.otio", {"dialogue": "speech"}, output="again")
        >>> [(stem.name, stem.prompt.text) for stem in stemline.recorded_stems(result.output)]
        [('dialogue', 'speech')]
    """
    return tuple(
        Stem(
            request.name,
            Prompt(
                request.prompt.text,
                [
                    *(Span(span.start, span.end) for span in request.prompt.plus),
                    *(Span(span.start, span.end, sounds=False) for span in request.prompt.minus),
                ],
                request.prompt.box,
                request.prompt.mask,
            ),
        )
        for request in read_recorded_stems(Path(edit).absolute())
    )


def requests_for(
    stems: Iterable[Stem], facts: MediaFacts | None = None, within: TimeRange | None = None
) -> tuple[StemRequest, ...]:
    """Return the stems with their spans in exact seconds.

    `facts` read source timecode; every span must touch `within`, the range that is separated. Raises UsageError.
    """

    def ranges(prompt: Prompt, *, sounds: bool) -> tuple[TimeRange, ...]:
        resolved = [span.resolve(facts) for span in prompt.spans if span.sounds is sounds]
        return merge_ranges([_inside(span, within) for span in resolved])

    return distinct_stems(
        [
            StemRequest(
                stem.name,
                TimelinePrompt(
                    stem.prompt.text,
                    ranges(stem.prompt, sounds=True),
                    ranges(stem.prompt, sounds=False),
                    stem.prompt.box,
                    stem.prompt.mask
                    if stem.prompt.mask is None or facts is None
                    else mask_from_start(stem.prompt.mask),
                ),
            )
            for stem in stems
        ]
    )


def mask_from_start(mask: Mask) -> Mask:
    """Return the mask of a file: its first picture is that of the file, unless it has another start."""
    return mask if mask.start is not None else Mask(mask.path, Fraction(0))


def exact_time(value: Time) -> Fraction | str:
    """Return exact seconds, or timecode as stripped text. Raises UsageError."""
    if isinstance(value, str):
        point = parse_time(value)
        return point.timecode if point.seconds is None else point.seconds
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"{value} is not a time.", advice="Give seconds from the start, 0 or more.")
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


def resolve_time(value: Time, facts: MediaFacts | None) -> Fraction:
    """Return seconds from the first sample. Raises UsageError for timecode without a file to read it by."""
    exact = exact_time(value)
    if isinstance(exact, Fraction):
        return exact
    if facts is None:
        raise UsageError(
            f"{exact} is timecode, which spans of an edit do not take.",
            advice="Give seconds from the start of the timeline.",
        )
    return parse_time(exact).resolve(facts)


def _inside(span: TimeRange, within: TimeRange | None) -> TimeRange:
    if within is not None and not span.overlaps(within):
        raise UsageError(
            f"The span {float(span.start):g}..{float(span.end):g} lies outside the range that is separated, "
            f"{float(within.start):.3f} to {float(within.end):.3f} s.",
            code=Code.MEDIA_OUT_OF_RANGE,
            advice="Mark where the sound is, in seconds from the start of the file.",
        )
    return span
