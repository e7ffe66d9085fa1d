"""Map the text of a prompt to a sound that the engine knows.

The table `phrases.tsv` lists all known phrases, and `translations.tsv` names the sounds in five other languages. One
wrong letter in a word is corrected, unless the word is an English word (`look_alikes.txt`). Any other text is refused
with related sounds (`related.tsv`). A match that leaves out or corrects words of the prompt says so.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from stemline.errors import Code, UsageError
from stemline_bridge.stem_names import REQUEST
from stemline_server.engines.base import KnownSound

_MAX_CHARACTERS = 200
_MAX_QUOTED_CHARACTERS = 60
_MIN_TYPO_CHARACTERS = 5
_MIN_SPELLING_SIMILARITY = 0.8
_PARTIAL_CONFIDENCE, _TYPO_CONFIDENCE = 0.8, 0.6
_NEGATIONS = frozenset(("but", "except", "without", "no", "not", "non", "minus", "excluding", "besides"))
_ARTICLES = frozenset(("a", "an", "the"))
_NEUTRAL_WORD = re.compile(
    "someone|somebody|person|people|playing|making|being|nearby|passing|running|heavy|small|big|old|young|soft|sad|happy|"
    "lead|two|three|many|few|lots|some|more|other|background|annoying|sounds?|noise|audio|of|by|and"
)
"""Matches words that do not change which sound a known phrase names."""
_GENERIC_SOUNDS = frozenset(("music", "instrument", "animal", "sound effect"))
_PREFIX = re.compile(
    r"^(?:(?:all|any|some|every|this|that|these|those|my|his|her|their|our|of|loud|quiet|distant|"
    r"constant|annoying|unwanted|single|several|many|sound|sounds|noise|noises|recording|audio|track) )+"
)
_PREPOSITION = re.compile(
    r" (?:on|in|into|at|by|over|under|behind|with|while|during|from|through|outside|inside|near) "
)
_FOREIGN_ARTICLE = re.compile(r"^(?:l'|(?:der|die|das|den|ein|eine|le|la|les|un|une|des|el|los|las|una|unos) )")
_FOREIGN_SOUND = re.compile(
    r"^(?:(?:le |un )?(?:bruits?|sons?) (?:de |du |des |d')|(?:el |un )?(?:ruidos?|sonidos?) (?:de |del ))|"
    r"(?:の音|の声|的声音|的聲音|声音|聲音)$"
)
"""Words for "the sound of" around a phrase."""
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
        is_substitute: Whether words of the prompt were corrected or left out to find the sound.
    """

    sound: str
    kind: str
    classes: tuple[str, ...]
    confidence: float
    is_weak: bool = False
    is_substitute: bool = False


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
    if not words and not _has_other_letters(text):
        raise UsageError(
            "The prompt does not name a sound.",
            code=Code.PROMPT_EMPTY,
            advice='Name one sound, such as "speech", or mark where it occurs.',
        )
    match = _translated(text) if _has_other_letters(text) else _exact(words) or _translated(text)
    if match is None:
        corrected = _corrected(words)
        match = _match(corrected, text)
        if match is not None and corrected != words:
            match = replace(match, confidence=_TYPO_CONFIDENCE, is_substitute=True)
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


def _translated(text: str) -> SoundMatch | None:
    """Return the sound that a text in German, French, Spanish, Japanese or Chinese names as a whole."""
    folded = " ".join(re.findall(r"[\w']+", unicodedata.normalize("NFKC", text).casefold().replace("’", "'")))
    bare = _FOREIGN_SOUND.sub("", folded)
    for form in (folded, _FOREIGN_ARTICLE.sub("", folded), bare, _FOREIGN_ARTICLE.sub("", bare)):
        if form in translations():
            return translations()[form]
    return None


def _has_other_letters(text: str) -> bool:
    """Return whether a text has letters that English words do not have."""
    return any(letter.isalpha() and not letter.isascii() for letter in text)


@cache
def translations() -> dict[str, SoundMatch]:
    """Return the sound that each phrase of another language names. A phrase that is English, too, is left out."""
    table: dict[str, SoundMatch] = {}
    for line in files(__package__).joinpath("translations.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            sound, *languages = line.split("\t")
            for phrase in (one for listed in languages for one in listed.split(", ")):
                table.setdefault(unicodedata.normalize("NFKC", phrase).casefold(), phrases()[sound])
    return table


def _match(words: str, text: str) -> SoundMatch | None:
    """Return the sound of normalised words: of all words, else of a known phrase in them.

    Raises:
        UsageError: The words name several sounds (PROMPT_UNKNOWN).
    """
    exact = _exact(words)
    if exact is not None or not _NEGATIONS.isdisjoint(words.split()):
        return exact
    head = _PREPOSITION.split(words)[0]
    matches, left_out = _contained(head)
    if not matches:
        matches, left_out = _contained(words)
        matches = [hit for hit in matches if not hit.is_weak]
    match = _single_sound(matches, text)
    return match and replace(match, is_substitute=not all(map(_NEUTRAL_WORD.fullmatch, left_out)))


def _exact(words: str) -> SoundMatch | None:
    for candidate in _variants(words):
        if candidate in phrases():
            return phrases()[candidate]
    return _phrases_in_singular().get(_in_singular(words))


def _variants(words: str) -> tuple[str, ...]:
    """Return a phrase, the phrase without a suffix such as "sound", and both with the last word in the singular."""
    trimmed = _SUFFIX.sub("", words)
    return tuple(dict.fromkeys(form for base in (words, trimmed) for form in (base, *_singulars(base))))


def _singulars(words: str) -> tuple[str, ...]:
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    return tuple(words[: -len(plural)] + singular for plural, singular in endings if words.endswith(plural))


@cache
def _phrases_in_singular() -> dict[str, SoundMatch]:
    """Return the sound of each phrase of several words, by the phrase with all words in the singular."""
    table: dict[str, SoundMatch] = {}
    for phrase, match in phrases().items():
        if " " in phrase:
            table.setdefault(_in_singular(phrase), match)
    return table


def _in_singular(words: str) -> str:
    return " ".join(word.removesuffix("s") for word in words.split())


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
            f"{quoted(text)} names several sounds: {', '.join(sounds)}.",
            code=Code.PROMPT_UNKNOWN,
            advice="Ask for one sound at a time.",
        )
    return next((replace(hit, confidence=_PARTIAL_CONFIDENCE) for hit in sounds.values()), None)


def _contained(words: str) -> tuple[list[SoundMatch], list[str]]:
    """Return the sounds of all phrases in a longer text and the words that no phrase has.

    Longer phrases are matched first and consume their words.
    """
    remaining, matches = words.split(), []
    for size in range(min(4, len(remaining)), 0, -1):
        for start in range(len(remaining) - size + 1):
            piece = remaining[start : start + size]
            hit = _exact(" ".join(piece)) if "" not in piece else None
            if hit is not None:
                matches.append(hit)
                remaining[start : start + size] = [""] * size
    return matches, [word for word in remaining if word]


def _corrected(words: str) -> str:
    """Return words with typing errors corrected."""
    return " ".join(map(_corrected_word, words.split()))


def _corrected_word(word: str) -> str:
    """Return the nearest known word that differs in one letter from an unknown word, or the word itself.

    Typing errors rarely change the first letter, short words are too similar to each other, and an English word is no
    typing error: "belly" is not "bell".
    """
    known = _known_words()
    singulars = (word, *_singulars(word))
    if len(word) < _MIN_TYPO_CHARACTERS or any(one in known or one in _look_alikes() for one in singulars):
        return word
    slips = sorted(other for other in known if other[0] == word[0] and _is_one_slip(word, other))
    return next(iter(difflib.get_close_matches(word, slips, n=1)), word)


def _is_one_slip(word: str, other: str) -> bool:
    """Return whether one letter is missing, added or wrong, or two neighbours are swapped."""
    if abs(len(word) - len(other)) > 1:
        return False
    short, long = sorted((word, other), key=len)
    at = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) < len(long):
        return short[at:] == long[at + 1 :]
    swapped = long[at : at + 2][::-1] == short[at : at + 2] and short[at + 2 :] == long[at + 2 :]
    return short[at + 1 :] == long[at + 1 :] or swapped


@cache
def _known_words() -> frozenset[str]:
    """Return all words of the phrases that are long enough to be corrected to."""
    words = {word for phrase in phrases() for word in phrase.split()}
    return frozenset(word for word in words if len(word) >= _MIN_TYPO_CHARACTERS)


@cache
def _look_alikes() -> frozenset[str]:
    """Return English words that differ in one letter from a known word."""
    lines = files(__package__).joinpath("look_alikes.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


@cache
def related_phrases() -> dict[str, tuple[str, ...]]:
    """Return phrases of related sounds for words that name no known sound."""
    table: dict[str, tuple[str, ...]] = {}
    for line in files(__package__).joinpath("related.tsv").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            suggested, words = line.split("\t")
            table |= dict.fromkeys(words.split(", "), tuple(suggested.split(", ")))
    return table


def _suggestions(words: str) -> tuple[str, ...]:
    """Return known phrases near an unknown text: related sounds, else similar spellings, else common sounds."""
    for word in reversed(words.split()):  # "electric kettle": the last word is the noun
        for form in (word, *_singulars(word)):
            if form in related_phrases():
                return related_phrases()[form]
    known = [phrase for phrase, hit in phrases().items() if hit.kind != "none" and phrase[0] == words[:1]]
    alike = difflib.get_close_matches(words, known, n=3, cutoff=_MIN_SPELLING_SIMILARITY)
    return tuple(alike) or ("speech", "music", "dog barking", "rain")


def proposals(text: str) -> tuple[str, ...]:
    """Return known phrases for an unknown text: the sounds that it names, else related sounds, else common ones."""
    words = normalise(text)
    named = [hit for hit in _contained(_corrected(words))[0] if hit.kind != "none"]
    strong = [hit for hit in named if not hit.is_weak]
    return tuple(dict.fromkeys(hit.sound for hit in strong or named)) or _suggestions(words)


def known_sounds() -> tuple[KnownSound, ...]:
    """Return all sounds in the order of the table, with their phrases in all languages."""
    listed: dict[str, tuple[str, list[str]]] = {}
    for phrase, hit in (*phrases().items(), *translations().items()):
        if hit.kind != "none" and not hit.is_weak:
            _, spellings = listed.setdefault(hit.sound, (hit.kind, []))
            spellings += [phrase] if phrase != hit.sound else []
    return tuple(KnownSound(name, kind, tuple(spellings)) for name, (kind, spellings) in listed.items())


def _unknown(words: str, text: str) -> UsageError:
    if not _NEGATIONS.isdisjoint(words.split()):
        advice = "Ask for the sound that you want to remove: the residual holds everything else."
    else:
        listed = ", ".join(f'"{phrase}"' for phrase in _suggestions(words))
        advice = f"The nearest sounds it knows: {listed}. Or mark where the sound occurs."
    return UsageError(f"This model doesn't know {quoted(text)}.", code=Code.PROMPT_UNKNOWN, advice=advice)


def quoted(text: str) -> str:
    """Return a text in quotation marks, shortened if it is long."""
    return repr(text if len(text) <= _MAX_QUOTED_CHARACTERS else f"{text[:_MAX_QUOTED_CHARACTERS]}…")
