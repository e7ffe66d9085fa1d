"""What words of a prompt mean: the class of sound they are taken for.

The table `phrases.tsv` is all that is known. Anything else is refused by name, with the nearest words that would do.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from stemline.errors import Code, UsageError

_LONGEST_PROMPT = 200
_SHOWN = 60
_TYPO_CUTOFF = 0.84
_ARTICLES = frozenset(("a", "an", "the"))
_GENERAL = frozenset(("music", "instrument", "animal", "sound effect"))
_ORDER = re.compile(
    r"^(?:please |can you |could you |i want to |i want |just |only )*"
    r"(?:(?:remove|isolate|extract|separate|keep|delete|mute|solo|reduce|suppress|clean up|clean|get rid of|"
    r"take out|pull out|take away|get|give me|find|hear|filter out|cut|cut out) )?(?:out |away |only |just )*"
)
_LEAD = re.compile(
    r"^(?:(?:all|any|some|every|this|that|these|those|my|his|her|their|our|of|loud|quiet|distant|"
    r"constant|annoying|unwanted|single|several|many|sound|sounds|noise|noises|recording|audio|track) )+"
)
_PLACE = re.compile(r" (?:on|in|into|at|by|over|under|behind|with|while|during|from|through|outside|inside|near) ")
_TAIL = re.compile(
    r"(?: (?:please|sound|sounds|noise|noises|audio|track|only|in the background|in background|in the distance|"
    r"from the background|from the recording|from the mix|from this clip|effect|effects|sfx|fx))+$"
)


@dataclass(frozen=True, slots=True)
class Match:
    """`sound` is the row of the table, `classes` what of the net serves it, best first.

    `confidence` 0..1 is that of the words alone: 1 for a phrase of the table.
    """

    sound: str
    kind: str
    classes: tuple[str, ...]
    confidence: float


def match(text: str) -> Match:
    """The class that the words name. Raises UsageError (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNKNOWN)."""
    if len(text) > _LONGEST_PROMPT:
        raise UsageError(
            f"The prompt is {len(text)} characters long.",
            code=Code.PROMPT_TOO_LONG,
            advice='Name one sound in a word or two, such as "speech" or "dog barking".',
        )
    words = normalise(text)
    if not words and not any(letter.isalpha() and not letter.isascii() for letter in text):
        raise UsageError(
            "The prompt names no sound.",
            code=Code.PROMPT_EMPTY,
            advice='Name one sound, such as "speech", or mark where it is.',
        )
    head = _PLACE.split(words)[0]
    return (
        _exact(words) or _contained(head, text) or _contained(words, text) or _misspelt(words) or _unknown(words, text)
    )


def normalise(text: str) -> str:
    """Lower case without punctuation, orders ("remove the ...") and articles."""
    found = re.findall(r"[a-z0-9]+", text.lower().replace("'s", " ").replace("’s", " "))
    words = " ".join(word for word in found if word not in _ARTICLES)
    for prefix in (_ORDER, _LEAD):
        words = prefix.sub("", f"{words} ").strip() or words
    return words


@cache
def phrases() -> dict[str, Match]:
    """Every known phrase and what it means."""
    table: dict[str, Match] = {}
    for line in files(__package__).joinpath("phrases.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            sound, kind, classes, listed = line.split("\t")
            meaning = Match(sound, kind, tuple(filter(None, classes.split(", "))), 1.0)
            table |= {phrase: meaning for phrase in (sound, *listed.split(", ")) if phrase not in table}
    return table


def _exact(words: str) -> Match | None:
    for candidate in _forms(words):
        if candidate in phrases():
            return phrases()[candidate]
    return None


def _forms(words: str) -> tuple[str, ...]:
    """The words themselves, without a tail such as "sound", and each with its last word in the singular."""
    trimmed = _TAIL.sub("", words)
    return tuple(dict.fromkeys(form for base in (words, trimmed) for form in (base, *_singulars(base))))


def _singulars(words: str) -> tuple[str, ...]:
    ends = (("ies", "y"), ("es", ""), ("s", ""))
    return tuple(words[: -len(end)] + other for end, other in ends if words.endswith(end))


def _contained(words: str, text: str) -> Match | None:
    """The one class whose phrases stand inside a longer prompt. Longer phrases go first and use up their words."""
    left = words.split()
    found: dict[str, Match] = {}
    for size in range(min(4, len(left)), 0, -1):
        for start in range(len(left) - size + 1):
            piece = left[start : start + size]
            hit = _exact(" ".join(piece)) if "" not in piece else None
            if hit is not None:
                found[hit.sound] = hit
                left[start : start + size] = [""] * size
    narrower = {sound: hit for sound, hit in found.items() if sound not in _GENERAL}
    if {hit.kind for hit in narrower.values()} == {hit.kind for hit in found.values()}:
        found = narrower  # "guitar music" is a guitar
    if len(found) > 1:
        raise UsageError(
            f"{_shown(text)} names several sounds: {', '.join(found)}.",
            code=Code.PROMPT_UNKNOWN,
            advice="Ask for one at a time.",
        )
    return next((replace(hit, confidence=0.8) for hit in found.values()), None)


def _misspelt(words: str) -> Match | None:
    near = difflib.get_close_matches(words, phrases(), n=1, cutoff=_TYPO_CUTOFF)
    return replace(phrases()[near[0]], confidence=0.6) if near else None


def _unknown(words: str, text: str) -> Match:
    near = difflib.get_close_matches(words, phrases(), n=3, cutoff=0.5)
    known = ", ".join(f'"{phrase}"' for phrase in near) or '"speech", "music", "dog barking", "rain"'
    raise UsageError(
        f"{_shown(text)} is no sound this model knows.",
        code=Code.PROMPT_UNKNOWN,
        advice=f"The nearest it knows: {known}. Or mark where the sound is.",
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
