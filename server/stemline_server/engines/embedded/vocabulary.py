"""Map the text of a prompt to a sound that the engine knows.

The table `phrases.tsv` lists all known phrases. Any other text is refused with the nearest known phrases.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from stemline.errors import Code, UsageError
from stemline_bridge.stem_names import REQUEST

_MAX_CHARACTERS = 200
_MAX_QUOTED_CHARACTERS = 60
_TYPO_SIMILARITY = 0.84
_SLIP_SIMILARITY = 0.94
_MIN_TYPO_CHARACTERS = 5
_NEGATIONS = frozenset(("but", "except", "without", "no", "not", "non", "minus", "excluding", "besides"))
_ARTICLES = frozenset(("a", "an", "the"))
_GENERIC_SOUNDS = frozenset(("music", "instrument", "animal", "sound effect"))
_PREFIX = re.compile(
    r"^(?:(?:all|any|some|every|this|that|these|those|my|his|her|their|our|of|loud|quiet|distant|"
    r"constant|annoying|unwanted|single|several|many|sound|sounds|noise|noises|recording|audio|track) )+"
)
_PREPOSITION = re.compile(
    r" (?:on|in|into|at|by|over|under|behind|with|while|during|from|through|outside|inside|near) "
)
_SUFFIX = re.compile(
    r"(?: (?:please|sound|sounds|noise|noises|audio|track|only|in the background|in background|in the distance|"
    r"from the background|from the recording|from the mix|from this clip|effect|effects|sfx|fx))+$"
)


@dataclass(frozen=True, slots=True)
class SoundMatch:
    """Describe the sound that a text names.

    Attributes:
        sound: Name of the sound: the first column of the table.
        kind: Kind of sound, such as "voice", "music", "animal", "effect" or "ambience"; "none" for phrases that name
            no sound.
        classes: Classes of the net for this sound, best first.
        confidence: Certainty of the match, 0..1; 1 for a phrase of the table.
        is_weak: Whether the phrase gives way to any other sound in the same prompt.
    """

    sound: str
    kind: str
    classes: tuple[str, ...]
    confidence: float
    is_weak: bool = False


def match_sound(text: str) -> SoundMatch:
    """Return the sound that a text names.

    Args:
        text: Text of a prompt.

    Returns:
        The sound. Misspelt phrases and longer texts that contain one known phrase have a lower confidence.

    Raises:
        UsageError: The text is empty, too long, unknown or names several sounds (PROMPT_EMPTY, PROMPT_TOO_LONG,
            PROMPT_UNKNOWN).
    """
    if len(text) > _MAX_CHARACTERS:
        raise UsageError(
            f"The prompt has {len(text)} characters; {_MAX_CHARACTERS} are allowed.",
            code=Code.PROMPT_TOO_LONG,
            advice='Name one sound in a word or two, such as "speech" or "dog barking".',
        )
    words = normalise(text)
    if not words and not any(letter.isalpha() and not letter.isascii() for letter in text):
        raise UsageError(
            "The prompt does not name a sound.",
            code=Code.PROMPT_EMPTY,
            advice='Name one sound, such as "speech", or mark where it occurs.',
        )
    match = _exact(words) or _misspelt(words, _SLIP_SIMILARITY)
    if match is None and _NEGATIONS.isdisjoint(words.split()):
        head = _PREPOSITION.split(words)[0]
        matches = _contained(head) or [hit for hit in _contained(words) if not hit.is_weak]
        match = _single_sound(matches, text) or _misspelt(words, _TYPO_SIMILARITY)
    if match is None or match.kind == "none":
        raise _unknown(words, text)
    return match


def normalise(text: str) -> str:
    """Return a text in lower case without punctuation, articles and requests such as "remove the"."""
    found = re.findall(r"[a-z0-9]+", re.sub("['’]s?\\b", " ", text.lower()).replace("&", " and "))
    words = " ".join(word for word in found if word not in _ARTICLES)
    for prefix in (REQUEST, _PREFIX):
        words = prefix.sub("", f"{words} ").strip() or words
    return words


@cache
def phrases() -> dict[str, SoundMatch]:
    """Return the sound that each known phrase names."""
    table: dict[str, SoundMatch] = {}
    for line in files(__package__).joinpath("phrases.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            sound, kind, classes, listed = line.split("\t")
            match = SoundMatch(sound, kind, tuple(filter(None, classes.split(", "))), 1.0)
            for phrase in (*listed.split(", "), sound):
                table.setdefault(phrase.rstrip("?"), replace(match, is_weak=phrase.endswith("?")))
    return table


def _exact(words: str) -> SoundMatch | None:
    for candidate in _variants(words):
        if candidate in phrases():
            return phrases()[candidate]
    return None


def _variants(words: str) -> tuple[str, ...]:
    """Return a phrase, the phrase without a suffix such as "sound", and both with the last word in the singular."""
    trimmed = _SUFFIX.sub("", words)
    return tuple(dict.fromkeys(form for base in (words, trimmed) for form in (base, *_singulars(base))))


def _singulars(words: str) -> tuple[str, ...]:
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    return tuple(words[: -len(plural)] + singular for plural, singular in endings if words.endswith(plural))


def _single_sound(matches: list[SoundMatch], text: str) -> SoundMatch | None:
    """Return the one sound that a longer text means, or None if it contains none.

    Raises:
        UsageError: The text names several sounds (PROMPT_UNKNOWN).
    """
    strong = [hit for hit in matches if not hit.is_weak and hit.kind != "none"]
    sounds = {hit.sound: hit for hit in strong or matches}
    specific = {sound: hit for sound, hit in sounds.items() if sound not in _GENERIC_SOUNDS}
    if {hit.kind for hit in specific.values()} == {hit.kind for hit in sounds.values()}:
        sounds = specific  # "guitar music" is a guitar
    broader = {name for hit in sounds.values() for name in hit.classes[1:]}
    sounds = {sound: hit for sound, hit in sounds.items() if not broader.intersection(hit.classes[:1])} or sounds
    if len(sounds) > 1:  # "acoustic guitar strumming" is a single sound by now
        raise UsageError(
            f"{_quoted(text)} names several sounds: {', '.join(sounds)}.",
            code=Code.PROMPT_UNKNOWN,
            advice="Ask for one sound at a time.",
        )
    return next((replace(hit, confidence=0.8) for hit in sounds.values()), None)


def _contained(words: str) -> list[SoundMatch]:
    """Return the sounds of all phrases in a longer text. Longer phrases are matched first and consume their words."""
    remaining, matches = words.split(), []
    for size in range(min(4, len(remaining)), 0, -1):
        for start in range(len(remaining) - size + 1):
            piece = remaining[start : start + size]
            hit = _exact(" ".join(piece)) if "" not in piece else None
            if hit is not None:
                matches.append(hit)
                remaining[start : start + size] = [""] * size
    return matches


def _misspelt(words: str, similarity: float) -> SoundMatch | None:
    """Return the sound of the most similar phrase with the same first letter, or None.

    Typing errors rarely change the first letter, and short words are too similar to each other.
    """
    if len(words) < _MIN_TYPO_CHARACTERS:
        return None
    candidates = [phrase for phrase in phrases() if phrase[0] == words[0]]
    nearest = difflib.get_close_matches(words, candidates, n=1, cutoff=similarity)
    return replace(phrases()[nearest[0]], confidence=0.6) if nearest else None


def _unknown(words: str, text: str) -> UsageError:
    if not _NEGATIONS.isdisjoint(words.split()):
        advice = "Ask for the sound that you want to remove: the residual holds everything else."
    else:
        known = [phrase for phrase, match in phrases().items() if match.kind != "none"]
        nearest = difflib.get_close_matches(words, known, n=3, cutoff=0.5)
        listed = ", ".join(f'"{phrase}"' for phrase in nearest) or '"speech", "music", "dog barking", "rain"'
        advice = f"The nearest sounds it knows: {listed}. Or mark where the sound occurs."
    return UsageError(f"This model doesn't know {_quoted(text)}.", code=Code.PROMPT_UNKNOWN, advice=advice)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[:_MAX_QUOTED_CHARACTERS]}…")
