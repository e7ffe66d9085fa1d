"""Find the sounds that a German, French, Spanish, Japanese or Chinese text names, by the table `translations.tsv`."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from importlib.resources import files

_TELLING_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    der das dem ein eine einen einem und von vom im auf aus hinter vor ferne les un une du qui et dans avec à
    el los las una unos unas del lejos que sobre
    """,
    )
)
"""Function words that English prompts do not have."""
_OTHER_WORDS = frozenset(re.findall(r"\w+", "die den am bei mit zu le la des de sur sous au aux en loin lo y con"))
_PREPOSITION = re.compile(
    r" (?:im|in|am|an|auf|aus|bei|hinter|vor|mit|dans|sur|sous|au|aux|avec|en|à|a|con|sobre|bajo) "
)
_ARTICLE = re.compile(r"^(?:l'|(?:der|die|das|den|ein|eine|le|la|les|un|une|des|el|los|las|una|unos) )")
_SOUND_OF = re.compile(
    r"^(?:(?:le |un )?(?:bruits?|sons?) (?:de |du |des |d')|(?:el |un )?(?:ruidos?|sonidos?) (?:de |del ))|"
    r"(?:の音|の声|的声音|的聲音|声音|聲音)$"
)
"""Words for "the sound of" around a phrase."""
_GENERIC = frozenset(("speech", "noise"))
"""Sounds that give way to others in the same text: "犬の声" is a dog."""
_MAX_WORDS = 4


@cache
def translations() -> dict[str, str]:
    """Return the sound that each phrase of another language names."""
    table: dict[str, str] = {}
    for line in files(__package__).joinpath("translations.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            sound, *languages = line.split("\t")
            for phrase in (one for listed in languages for one in listed.split(", ")):
                table.setdefault(unicodedata.normalize("NFKC", phrase).casefold(), sound)
    return table


def is_foreign(text: str) -> bool:
    """Return whether a text has letters or function words that English texts do not have."""
    return has_other_letters(text) or not _TELLING_WORDS.isdisjoint(_folded(text).split())


def has_other_letters(text: str) -> bool:
    """Return whether a text has letters that English words do not have."""
    return any(letter.isalpha() and not letter.isascii() for letter in text)


def whole_sound(text: str) -> str:
    """Return the sound that a text names as a whole, or ""."""
    folded = _folded(text)
    bare = _SOUND_OF.sub("", folded)
    forms = (folded, _ARTICLE.sub("", folded), bare, _ARTICLE.sub("", bare))
    return next((translations()[form] for form in forms if form in translations()), "")


def sounds_in(text: str) -> tuple[str, ...]:
    """Return the sounds that phrases in a text name, in order; those before a preposition, if there are any."""
    folded = _folded(text)
    found = _sounds_in(_PREPOSITION.split(folded)[0]) or _sounds_in(folded)
    specific = [sound for sound in found if sound not in _GENERIC]
    return tuple(dict.fromkeys(specific or found))


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(re.findall(r"[\w']+(?:-[\w']+)*", plain))


def _sounds_in(folded: str) -> list[str]:
    if not folded.isascii() and any(ord(letter) > 0x2E7F for letter in folded):
        return _sounds_in_characters(folded)
    words: list[str] = _ARTICLE.sub("", folded).replace("d'", "d' ").replace("l'", "l' ").split()
    found: dict[int, str] = {}
    for size in range(min(_MAX_WORDS, len(words)), 0, -1):
        for start in range(len(words) - size + 1):
            piece = words[start : start + size]
            sound = translations().get(" ".join(piece).replace("' ", "'"), "")
            if sound and "" not in piece and not (size == 1 and piece[0] in _TELLING_WORDS | _OTHER_WORDS):
                found[start] = sound
                words[start : start + size] = [""] * size
    return [found[start] for start in sorted(found)]


def _sounds_in_characters(folded: str) -> list[str]:
    """Return the sounds of the longest phrases in a text of a language without spaces."""
    text, found = folded, dict[int, str]()
    for phrase in sorted(translations(), key=len, reverse=True):
        start = text.find(phrase)
        if start >= 0 and ord(phrase[0]) > 0x2E7F:
            found[start] = translations()[phrase]
            text = text.replace(phrase, " " * len(phrase), 1)
    return [found[start] for start in sorted(found)]
