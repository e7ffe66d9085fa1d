"""Map the text of a prompt to a sound that the engine knows.

The table `phrases.tsv` lists all known phrases, and `translations` names the sounds in five other languages. Other
words may mean one of these sounds (module `meanings`). One wrong letter in a word is corrected, unless the word is an
English word (`look_alikes.txt`). Any other text is refused with related sounds. A match that is not exact says so.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from stemline.errors import Code, UsageError
from stemline_bridge.stem_names import REQUEST
from stemline_server.engines.base import KnownSound
from stemline_server.engines.embedded.meanings import meaning_of, related_to, singulars
from stemline_server.engines.embedded.translations import (
    has_other_letters,
    is_foreign,
    sounds_in,
    translations,
    whole_sound,
)

_MAX_CHARACTERS = 200
_MAX_QUOTED_CHARACTERS = 60
_MIN_TYPO_CHARACTERS = 5
_MIN_COMPACT_CHARACTERS = 8
_MIN_SPELLING_SIMILARITY = 0.85
_PARTIAL_CONFIDENCE, _MEANING_CONFIDENCE, _TYPO_CONFIDENCE = 0.8, 0.7, 0.6
_NEGATIONS = frozenset(("but", "except", "without", "no", "not", "non", "minus", "excluding", "besides"))
_ARTICLES = frozenset(("a", "an", "the", "my", "your", "his", "her", "its", "our", "their"))
_NEUTRAL_WORD = re.compile(
    "someone|somebody|person|people|playing|making|being|nearby|passing|running|heavy|small|big|old|young|soft|sad|happy|"
    "lead|two|three|many|few|lots|some|more|other|background|annoying|sounds?|noise|audio|of|by|and"
)
"""Matches words that do not change which sound a known phrase names."""
_GENERIC_SOUNDS = frozenset(("music", "instrument", "animal", "sound effect"))
_LISTED_KINDS = frozenset(("voice", "music", "none"))
"""Kinds of which people list several without "and": "guitar drums"."""
_JOINED = re.compile(r"[,&+/]|\b(?:and|or|with)\b", re.IGNORECASE)
_PREFIX = re.compile(
    r"^(?:(?:all|any|some|every|this|that|these|those|my|his|her|their|our|of|loud|quiet|distant|"
    r"constant|annoying|unwanted|single|several|many|sound|sounds|noise|noises|recording|audio|track) )+"
)
_PREPOSITION = re.compile(
    r" (?:on|off|in|into|at|by|over|under|behind|with|while|during|from|through|outside|inside|near)(?: |$)"
)
_VERB_ENDINGS = ("ing", "ed")
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
        is_substitute: Whether words of the prompt were replaced, corrected or left out to find the sound.
        reason: Why another word was taken for this sound, for users, such as "'labrador' is a kind of it"; else empty.
    """

    sound: str
    kind: str
    classes: tuple[str, ...]
    confidence: float
    is_weak: bool = False
    is_substitute: bool = False
    reason: str = ""


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
    if not words and not has_other_letters(text):
        raise UsageError(
            "The prompt does not name a sound.",
            code=Code.PROMPT_EMPTY,
            advice='Name one sound, such as "speech", or mark where it occurs.',
        )
    if is_foreign(text):
        match = _exact(words) or _match_foreign(text)
    else:
        match = _exact(words) or _match_foreign(text, whole=True)
        corrected = _corrected(words)
        if match is None and corrected == words:
            match = _match(words, text) or _match_foreign(text)
        elif match is None:
            match = _match_foreign(text) or _match(corrected, text)
            match = match and replace(match, confidence=_TYPO_CONFIDENCE, is_substitute=True)
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


def _match_foreign(text: str, *, whole: bool = False) -> SoundMatch | None:
    """Return the sound that a text of another language names, as a whole or with further words.

    Raises:
        UsageError: The text names several sounds (PROMPT_UNKNOWN).
    """
    sound = whole_sound(text)
    if sound or whole:
        return phrases()[sound] if sound else None
    match = _single_sound([phrases()[sound] for sound in sounds_in(text)], text)
    return match and replace(match, is_substitute=True)


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
    meant = _meant(words, matches, must_be_whole=True) or _meant(head, matches)
    if meant is not None:
        return meant
    if not matches:
        matches, left_out = _contained(words)
        matches = [hit for hit in matches if not hit.is_weak]
    named = _last_of_two(head, matches) if _JOINED.search(text) is None else None
    match = named or _single_sound(matches, text)
    if match is None:
        return None
    is_exact = all(map(_NEUTRAL_WORD.fullmatch, left_out)) and not _overrules(match, matches)
    return replace(match, is_substitute=not is_exact)


def _meant(words: str, matches: list[SoundMatch], *, must_be_whole: bool = False) -> SoundMatch | None:
    """Return the sound that the last words of a text mean, or None. Verbs that name no sound may follow them.

    Args:
        words: Normalised words.
        matches: Sounds that phrases in the text name. One word gives way to them, unless they are weak: a "paper
            shredder" is a machine, and "laughing clown" is laughter.
        must_be_whole: Whether only a meaning of all words counts.
    """
    listed = words.split()
    while listed:
        meaning = meaning_of(" ".join(listed))
        if meaning is not None:
            is_phrase = " " in meaning.word
            gives_way = any(not hit.is_weak or meaning.sound == "speech" for hit in matches)
            if (gives_way and not is_phrase) or (must_be_whole and len(meaning.word.split()) < len(listed)):
                return None
            return replace(
                phrases()[meaning.sound],
                confidence=_MEANING_CONFIDENCE,
                is_weak=False,
                is_substitute=True,
                reason=f"{meaning.word!r} {meaning.relation}",
            )
        last = listed.pop()
        if must_be_whole or not (_NEUTRAL_WORD.fullmatch(last) or last.endswith(_VERB_ENDINGS)):
            return None
    return None


def _exact(words: str) -> SoundMatch | None:
    for candidate in _variants(words):
        if candidate in phrases():
            return phrases()[candidate]
    compact = words.replace(" ", "")
    if len(compact) >= _MIN_COMPACT_CHARACTERS and compact in _compact_phrases():
        return _compact_phrases()[compact]
    return _phrases_in_singular().get(_in_singular(words))


def _variants(words: str) -> tuple[str, ...]:
    """Return a phrase, the phrase without a suffix such as "sound", and both with the last word in the singular."""
    trimmed = _SUFFIX.sub("", words)
    return tuple(dict.fromkeys(form for base in (words, trimmed) for form in (base, *singulars(base))))


@cache
def _compact_phrases() -> dict[str, SoundMatch]:
    """Return the sound of each phrase, by the phrase without spaces: "leafblower"."""
    table: dict[str, SoundMatch] = {}
    for phrase, match in phrases().items():
        table.setdefault(phrase.replace(" ", ""), match)
    return table


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
            advice=f'Ask for one sound at a time, such as "{next(iter(sounds))}".',
        )
    return next((replace(hit, confidence=_PARTIAL_CONFIDENCE) for hit in sounds.values()), None)


def _last_of_two(words: str, matches: list[SoundMatch]) -> SoundMatch | None:
    """Return the sound of the last word if just one other sound is named before it: a "shotgun blast" is a blast."""
    last = _exact(words.rsplit(maxsplit=1)[-1])
    strong = [hit for hit in matches if not hit.is_weak] or matches
    others = {hit.sound for hit in strong if last and hit.sound != last.sound}
    if last is None or words.endswith("ing") or last not in strong or last.kind in _LISTED_KINDS or len(others) != 1:
        return None
    return replace(last, confidence=_PARTIAL_CONFIDENCE)


def _overrules(match: SoundMatch, matches: list[SoundMatch]) -> bool:
    """Return whether other sounds of the same text give way to a sound. Persons and generic sounds do not count."""
    ignored = {match.sound, *match.classes, "speech", *_GENERIC_SOUNDS}
    return any(hit.sound not in ignored and match.sound not in hit.classes for hit in matches if hit.kind != "none")


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
    forms = (word, *singulars(word))
    is_word = any(one in known or one in _look_alikes() for one in forms) or meaning_of(word) or related_to(word)
    if len(word) < _MIN_TYPO_CHARACTERS or is_word:
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


def _suggestions(words: str) -> tuple[str, ...]:
    """Return known phrases near an unknown text: related sounds, else similar spellings, else common sounds."""
    related = related_to(words)
    if related:
        return related
    known = [phrase for phrase, hit in phrases().items() if hit.kind != "none" and phrase[0] == words[:1]]
    alike = []
    if words not in _look_alikes():
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
    translated = {phrase: phrases()[sound] for phrase, sound in translations().items() if phrase not in phrases()}
    for phrase, hit in (*phrases().items(), *translated.items()):
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
