"""What takes the place of a removed stem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction

from stemline.errors import UsageError
from stemline.fill import check_room
from stemline.options import FILL_PLACES, MAX_TAKES, check_choice
from stemline.prompts import clean_text, parse_time

MAX_GAIN_DB = 24.0
_MAX_NUDGE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """What takes the place of a removed stem: room tone, learnt where the stem is silent, a file, or a generated sound.

    The fill is a separate file and track. It is not part of the sum that gives back the mix.

    Attributes:
        path: A file with audio; empty for room tone. A file shorter than three seconds is played once on each event,
            from onset to onset; a longer one is ambience.
        words: Words for a sound that a generator of the server makes; empty for none.
        instead: Fade the residual down where the stem sounds, so that nothing of the stem is heard; False leaves the
            residual as it is and adds the fill. None is True for room tone and False for anything else.
        gain_db: Gain of the fill, at most 24 dB. At 0 dB a file has the loudness of the removed stem.
        at: Where a file or a generated sound is heard: "onset" once on each event, "span" where the stem sounds, "clip"
            throughout; "auto" is "onset" for files shorter than three seconds, else "span".
        nudge_s: Seconds by which a file or a generated sound is late; negative for early.
        match_eq: How much of the stem's equalisation a file or a generated sound takes, 0 to 1.
        room: Room of a file or a generated sound: "small", "medium", "large", or the path of an impulse response.
        room_from: Where the room alone is heard, to learn room tone there: start and end in seconds from the start of
            the file, or of the timeline of an edit. It serves all clips of the media that is heard there. None learns
            it in the pauses of the stem.
        duck: Name of a stem under which the fill is lowered; empty for none.
        duck_db: Gain of the fill under that stem.
        generator: Id of the generator for `words`; empty for the server's default.
        vary: Make the sound a variation of the removed stem: above 0 (nearly the stem) to 1 (free). None makes it from
            words alone.
        takes: How many sounds to make from the words, each a file and a track; the first is enabled.

    Raises:
        UsageError: A value that no run accepts.

    Examples:
        >>> import stemline
        >>> settings = stemline.Settings(replace={"dialogue": stemline.Replace()})
        >>> settings.replace["dialogue"].fades_residual
        True
        >>> cafe = stemline.Replace(words="gentle cafe ambience", duck="dialogue", takes=3)
    """

    path: str = ""
    words: str = ""
    instead: bool | None = None
    gain_db: float = 0.0
    at: str = "auto"
    nudge_s: float = 0.0
    match_eq: float = 0.0
    room: str = ""
    room_from: tuple[Fraction, Fraction] | None = None
    duck: str = ""
    duck_db: float = -6.0
    generator: str = ""
    vary: float | None = None
    takes: int = 1

    def __post_init__(self) -> None:
        """Clean the words and check the values. Raises UsageError."""
        check_gain(self.gain_db, "the gain of a fill")
        check_gain(self.duck_db, "the gain of a fill under a stem")
        check_choice("at", self.at, FILL_PLACES)
        if self.path and self.words:
            raise UsageError("A file and words cannot take the same place.", advice="Give one of the two.")
        if self.words:
            object.__setattr__(self, "words", clean_text(self.words))
        if not abs(self.nudge_s) <= _MAX_NUDGE_S:
            raise UsageError(f"A fill can be nudged by up to {_MAX_NUDGE_S:g} seconds, not {self.nudge_s:g}.")
        if not 0 <= self.match_eq <= 1:
            raise UsageError(f"match_eq lies from 0 to 1, not {self.match_eq:g}.")
        if self.vary is not None and not (self.words and 0 < self.vary <= 1):
            raise UsageError("vary needs words, and lies above 0 and up to 1.")
        if not 1 <= self.takes <= MAX_TAKES:
            raise UsageError(f"takes lies from 1 to {MAX_TAKES}, not {self.takes}.")
        if self.takes > 1 and not self.words:
            raise UsageError("Only sounds from words have several takes.", advice="Leave out takes.")
        check_room(self.room)
        if self.room_from is not None:
            object.__setattr__(self, "room_from", _marked(self.room_from))
            if self.path or self.words:
                raise UsageError("room_from is for room tone alone.", advice="Leave it out for a file or words.")

    @property
    def fades_residual(self) -> bool:
        """Whether the residual is faded down where the stem sounds."""
        return not (self.path or self.words) if self.instead is None else self.instead

    def further_options(self) -> dict[str, object]:
        """Return the options beyond path, words, instead and gain that differ from their defaults, for records."""
        apart = ("path", "words", "instead", "gain_db", "takes")
        changed = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in apart}
        options = {name: value for name, value in changed.items() if value != getattr(_DEFAULTS, name)}
        if self.room_from is not None:
            options["room_from"] = [str(time) for time in self.room_from]
        if not self.duck:
            options.pop("duck_db", None)
        return options


def parse_room_range(text: str) -> tuple[Fraction, Fraction]:
    """Return start and end of a range such as `12..15.5`, in seconds, for `Replace.room_from`. Raises UsageError."""
    start, dots, end = text.partition("..")
    times = (parse_time(start).seconds, parse_time(end).seconds) if dots else (None, None)
    if times[0] is None or times[1] is None:
        raise UsageError(f"{text[:80]!r} is not START..END in seconds.", advice="For example 12..15.5.")
    return _marked((times[0], times[1]))


def _marked(times: Sequence[Fraction | float]) -> tuple[Fraction, Fraction]:
    """Return start and end as exact seconds. Raises UsageError."""
    try:
        start, end = (Fraction(str(time)) for time in times)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise UsageError(
            "The range of the room tone takes start and end in seconds.", advice="For example 12 and 15.5."
        ) from error
    if not 0 <= start < end:
        raise UsageError("The range of the room tone must start at 0 or later, and end after it starts.")
    return start, end


def check_gain(gain_db: float, what: str, *, silence: bool = False) -> None:
    """Raise UsageError for a gain that is not a number of dB up to 24; minus infinity only with `silence`."""
    if math.isnan(gain_db) or gain_db > MAX_GAIN_DB or (gain_db == -math.inf and not silence):
        raise UsageError(f"{what[:1].upper()}{what[1:]} must be a number of dB up to {MAX_GAIN_DB:g}, not {gain_db}.")


_DEFAULTS = Replace()
