"""Prompts: their values on a timeline and in samples, and the rules for texts, names and times."""

from __future__ import annotations

import math
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
class Box:
    """A box around the source of a sound in one frame. The object is followed from there through its shot.

    Attributes:
        x: Left edge, in pixels of the upright picture, or in per cent of its width.
        y: Upper edge, in pixels or in per cent of its height.
        width: Width of the box.
        height: Height of the box.
        time: When that frame is shown, in seconds: of a file from its start, of an edit from the start of its timeline.
        percent: Whether the four numbers are per cent.

    Raises:
        UsageError: The box is empty or lies outside any picture.

    Examples:
        >>> import stemline
        >>> stemline.Box(10, 20, 30, 40, time=2.5, percent=True).time
        Fraction(5, 2)
    """

    x: Fraction
    y: Fraction
    width: Fraction
    height: Fraction
    time: Fraction = Fraction(0)
    percent: bool = False

    def __init__(
        self,
        x: float | Fraction,
        y: float | Fraction,
        width: float | Fraction,
        height: float | Fraction,
        *,
        time: float | Fraction = 0,
        percent: bool = False,
    ) -> None:
        """Make the numbers exact and check them."""
        names = ("x", "y", "width", "height", "time")
        for name, value in zip(names, (x, y, width, height, time), strict=True):
            if not math.isfinite(value):
                raise UsageError(f"The {name} of a box must be a number, not {value}.")
            object.__setattr__(self, name, Fraction(str(value)) if isinstance(value, float) else Fraction(value))
        object.__setattr__(self, "percent", percent)
        if min(self.x, self.y, self.time) < 0 or min(self.width, self.height) <= 0:
            raise UsageError("A box needs a position of 0 or more and a size above 0.", advice="Give X,Y,WIDTH,HEIGHT.")
        if percent and (self.x + self.width > 100 or self.y + self.height > 100):
            raise UsageError(
                "A box cannot reach past 100 % of the picture.", advice="Give X,Y,WIDTH,HEIGHT in per cent."
            )


@dataclass(frozen=True, slots=True)
class Mask:
    """Masks of the source of a sound, frame by frame: white where the object is.

    Attributes:
        path: A film, a folder of numbered pictures, a still picture, or "alpha" for the alpha channel of the media. For
            an edit: a folder that holds one of these for each clip, by the clip's name.
        start: When its first frame is shown, in seconds of the media. None is the first frame of the file, and in an
            edit the first frame of the clip.
        media: Path of the media that it belongs to; empty for any.

    Examples:
        >>> import stemline
        >>> stemline.Prompt("dog barking", mask=stemline.Mask("mattes/dog")).mask.path
        'mattes/dog'
    """

    path: str
    start: Fraction | None = None
    media: str = ""

    def __post_init__(self) -> None:
        """Check the path."""
        if not self.path.strip() or "\0" in self.path:
            raise UsageError("A mask needs the path of a film or a folder.", advice="For example mattes/dog.mov.")


@dataclass(frozen=True, slots=True)
class TimelinePrompt:
    """What to separate, with spans in seconds of the host's timeline (of a plain file: of the file).

    The text is brought into one line. Raises UsageError for a text that is too long or holds control characters, and
    for a span that does not end after it starts.

    Attributes:
        text: Words for the sound; may be empty.
        plus: Spans in which the sound is heard.
        minus: Spans in which it is not.
        box: A box around the source of the sound in one frame.
        mask: Masks of the source of the sound.
    """

    text: str = ""
    plus: tuple[TimeRange, ...] = ()
    minus: tuple[TimeRange, ...] = ()
    box: Box | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        """Clean the text and check the spans. Raises UsageError."""
        object.__setattr__(self, "text", clean_text(self.text) if self.text.strip() else "")
        if any(span.duration <= 0 for span in (*self.plus, *self.minus)):
            raise UsageError("A span must end after it starts.")

    @property
    def is_empty(self) -> bool:
        """Whether the prompt describes no sound."""
        return not (self.text or self.plus or self.minus or self.has_picture)

    @property
    def has_picture(self) -> bool:
        """Whether the prompt shows the source of the sound in the picture."""
        return self.box is not None or self.mask is not None


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
