"""Rules for stem names, and for the request phrases around a sound ("remove the rain")."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator

RESIDUAL = "residual"
"""The reserved name of what remains of the mix when all stems are taken out."""
MAX_NAME_CHARACTERS = 64
_MAX_DERIVED_CHARACTERS = 32
_FALLBACK = "stem"

REQUEST = re.compile(
    r"^(?:please |can you |could you |i want to |i want |just |only )*"
    r"(?:(?:remove|isolate|extract|separate|keep|delete|mute|solo|reduce|suppress|clean up|clean|get rid of|"
    r"take out|pull out|take away|get|give me|find|hear|filter out|cut|cut out) )?(?:out |away |only |just )*"
)
"""A request phrase before the sound, in lower case; each word ends with a space."""
_REMOVAL = re.compile(
    r"^(?:please |can you |could you |i want to |just )*"
    r"(?:remove|delete|mute|kill|reduce|suppress|get rid of|take out|take away|filter out|cut out|turn down) "
)
_ARTICLE = re.compile(r"^(?:the|a|an) ")


class StemNameError(ValueError):
    """A text that cannot be a stem name. `advice` says what can."""

    def __init__(self, message: str, advice: str) -> None:
        """Make an error with advice."""
        super().__init__(message)
        self.advice = advice


def is_letter(character: str) -> bool:
    """Return whether a character is a letter, a digit, or a combining mark, without which many scripts lose words."""
    return character.isalnum() or unicodedata.category(character) in ("Mn", "Mc")


def numbered(name: str, separator: str = "-") -> Iterator[str]:
    """Return a name, then the name with 2, 3 and so on behind it: "cut", "cut-2", "cut-3" ..."""
    yield name
    yield from (f"{name}{separator}{number}" for number in itertools.count(2))


def clean_stem_name(name: str) -> str:
    """Return `name` in composed form (NFC) with single spaces: safe as a track name and as part of a file name.

    Raises:
        StemNameError: The name is empty, too long, reserved, or has a character that some file system refuses.
    """
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or len(clean) > MAX_NAME_CHARACTERS:
        raise StemNameError(
            f"A stem name must have 1 to {MAX_NAME_CHARACTERS} characters.", "Use a word such as 'dialogue'."
        )
    if clean.casefold() == RESIDUAL:
        raise StemNameError(f"The stem name '{RESIDUAL}' is reserved.", "Choose another stem name.")
    if clean.startswith(".") or not all(is_letter(character) or character in " -_." for character in clean):
        raise StemNameError(
            f"The stem name {clean!r} has characters that file names can't have.",
            "Use letters, digits, spaces, '-', '_' and '.'.",
        )
    return clean


def stem_name_from_text(text: str) -> str:
    """Return a stem name for a prompt without one: the first whole words of its sound, up to 32 characters.

    "Remove the rain" gives "rain"; a text without a letter gives "stem".
    """
    sound = sound_in(unicodedata.normalize("NFC", text))
    words = "".join(character if is_letter(character) or character in "-_" else " " for character in sound).split()
    name = ""
    for word in words:
        if name and len(name) + 1 + len(word) > _MAX_DERIVED_CHARACTERS:
            break
        name = f"{name} {word}".strip()
    name = name[:MAX_NAME_CHARACTERS].strip() or _FALLBACK
    return f"{name} {_FALLBACK}" if name.casefold() == RESIDUAL else name


def sound_in(text: str) -> str:
    """Return the prompt without its request phrase: "Remove the rain" gives "rain".

    A text that is nothing but a request phrase is returned whole.
    """
    words = " ".join(text.split())
    request = REQUEST.match(f"{words} ".lower())
    rest = words[request.end() :] if request else words
    article = _ARTICLE.match(rest.lower())
    return rest[article.end() :] if article else rest or words


def asks_to_remove(text: str) -> bool:
    """Return whether the prompt asks to remove the sound: then the residual is the result."""
    return _REMOVAL.match(f"{' '.join(text.split())} ".lower()) is not None
