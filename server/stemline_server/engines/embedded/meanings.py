"""Look up which sound a word means that is no phrase of the engine, such as "chihuahua" for a dog.

`meanings.tsv` is written by hand; `wordnet_kinds.tsv` lists hyponyms of the sounds in WordNet 3.0 (Miller, 1995). Words
near no sound have suggestions: `related.tsv`, written by hand, and `wordnet_related.tsv`. Nearest neighbours of a small
sentence embedding were measured and rejected: for rare words they follow the spelling, such as "harpoon" to "harp".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeVar

T = TypeVar("T")

_MAX_WORDS = 3
_RELATIONS = {"a kind of": "is a kind of it", "a source of": "makes this sound", "similar to": "sounds similar"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """The sound that a word means.

    Attributes:
        word: The word or words.
        sound: Name of the sound, as in `phrases.tsv`.
        relation: How the word belongs to the sound, for users: "is a kind of it".
    """

    word: str
    sound: str
    relation: str


def meaning_of(words: str) -> Meaning | None:
    """Return the meaning of the last words of a text, the longest known ones, or None.

    Args:
        words: Words in lower case, separated by spaces.
    """
    listed = words.split()
    for count in range(min(_MAX_WORDS, len(listed)), 0, -1):
        found = _lookup(" ".join(listed[-count:]), _meanings())
        if found is not None:
            return found
    return None


def related_to(words: str) -> tuple[str, ...]:
    """Return phrases of related sounds for words that mean no known sound: those of the last word that has some."""
    for word in reversed(words.split()):  # "electric kettle": the last word is the noun
        found = _lookup(word, related_phrases())
        if found is not None:
            return found
    return ()


@cache
def related_phrases() -> dict[str, tuple[str, ...]]:
    """Return the suggested phrases for each word that means no known sound."""
    rows = (*_rows("wordnet_related.tsv"), *_rows("related.tsv"))  # the hand-written ones win
    return {word: tuple(suggested.split(", ")) for suggested, words in rows for word in words.split(", ")}


def singulars(words: str) -> tuple[str, ...]:
    """Return the forms of words whose plural a text may be."""
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    return tuple(words[: -len(plural)] + singular for plural, singular in endings if words.endswith(plural))


@cache
def _meanings() -> dict[str, Meaning]:
    rows = (*_rows("wordnet_kinds.tsv"), *_rows("meanings.tsv"))  # the hand-written ones win
    return {
        word: Meaning(word, sound, _RELATIONS[relation])
        for sound, relation, words in rows
        for word in words.split(", ")
    }


def _lookup(words: str, table: dict[str, T]) -> T | None:
    return next((table[form] for form in (words, *singulars(words)) if form in table), None)


def _rows(name: str) -> list[list[str]]:
    lines = files(__package__).joinpath(name).read_text("utf-8").splitlines()
    return [line.split("\t") for line in lines if line and not line.startswith("#")]
