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
from stemline_bridge.stem_names import REQUEST

_LONGEST_PROMPT = 200
_SHOWN = 60
_TYPO_CUTOFF = 0.84
_SLIP_CUTOFF = 0.94
_SHORTEST_TYPO = 5
_NEGATIONS = frozenset(("but", "except", "without", "no", "not", "non", "minus", "excluding", "besides"))
_ARTICLES = frozenset(("a", "an", "the"))
_GENERAL = frozenset(("music", "instrument", "animal", "sound effect"))
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

    `confidence` 0..1 is that of the words alone: 1 for a phrase of the table. A word that `is_weak` gives way to any
    other in the same prompt.
    """

    sound: str
    kind: str
    classes: tuple[str, ...]
    confidence: float
    is_weak: bool = False


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
    found = _exact(words) or _misspelt(words, _SLIP_CUTOFF)
    if found is None and _NEGATIONS.isdisjoint(words.split()):
        head = _PLACE.split(words)[0]
        named = _named(head) or [hit for hit in _named(words) if not hit.is_weak]
        found = _the_one(named, text) or _misspelt(words, _TYPO_CUTOFF)
    if found is None or found.kind == "none":
        raise _unknown(words, text)
    return found


def normalise(text: str) -> str:
    """Lower case without punctuation, orders ("remove the ...") and articles."""
    found = re.findall(r"[a-z0-9]+", re.sub("['’]s?\\b", " ", text.lower()).replace("&", " and "))
    words = " ".join(word for word in found if word not in _ARTICLES)
    for prefix in (REQUEST, _LEAD):
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
            for phrase in (*listed.split(", "), sound):
                table.setdefault(phrase.rstrip("?"), replace(meaning, is_weak=phrase.endswith("?")))
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


def _the_one(found: list[Match], text: str) -> Match | None:
    """The one sound that is meant of those a longer prompt names. Raises UsageError where it is several."""
    strong = [hit for hit in found if not hit.is_weak and hit.kind != "none"]
    sounds = {hit.sound: hit for hit in strong or found}
    narrower = {sound: hit for sound, hit in sounds.items() if sound not in _GENERAL}
    if {hit.kind for hit in narrower.values()} == {hit.kind for hit in sounds.values()}:
        sounds = narrower  # "guitar music" is a guitar
    wider = {name for hit in sounds.values() for name in hit.classes[1:]}
    sounds = {sound: hit for sound, hit in sounds.items() if not wider.intersection(hit.classes[:1])} or sounds
    if len(sounds) > 1:  # "acoustic guitar strumming" has come down to one
        raise UsageError(
            f"{_shown(text)} names several sounds: {', '.join(sounds)}.",
            code=Code.PROMPT_UNKNOWN,
            advice="Ask for one at a time.",
        )
    return next((replace(hit, confidence=0.8) for hit in sounds.values()), None)


def _named(words: str) -> list[Match]:
    """What all the phrases in a longer prompt mean. Longer phrases go first and use up their words."""
    left, found = words.split(), []
    for size in range(min(4, len(left)), 0, -1):
        for start in range(len(left) - size + 1):
            piece = left[start : start + size]
            hit = _exact(" ".join(piece)) if "" not in piece else None
            if hit is not None:
                found.append(hit)
                left[start : start + size] = [""] * size
    return found


def _misspelt(words: str, cutoff: float) -> Match | None:
    """The nearest phrase. Slips of the fingers leave the first letter, and short words are too near to each other."""
    if len(words) < _SHORTEST_TYPO:
        return None
    alike = [phrase for phrase in phrases() if phrase[0] == words[0]]
    near = difflib.get_close_matches(words, alike, n=1, cutoff=cutoff)
    return replace(phrases()[near[0]], confidence=0.6) if near else None


def _unknown(words: str, text: str) -> UsageError:
    if not _NEGATIONS.isdisjoint(words.split()):
        advice = "Ask for what you want to be gone: the residual holds everything else."
    else:
        known = [phrase for phrase, meaning in phrases().items() if meaning.kind != "none"]
        near = difflib.get_close_matches(words, known, n=3, cutoff=0.5)
        listed = ", ".join(f'"{phrase}"' for phrase in near) or '"speech", "music", "dog barking", "rain"'
        advice = f"The nearest it knows: {listed}. Or mark where the sound is."
    return UsageError(f"{_shown(text)} is no sound this model knows.", code=Code.PROMPT_UNKNOWN, advice=advice)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
