"""Ask the server which sounds a model knows by name, and how it understands prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from stemline.client.link import Link
from stemline.v1 import vocabulary_pb2 as pb


class PromptStatus(Enum):
    """How a model understands the text of a prompt.

    Examples:
        >>> import stemline
        >>> stemline.PromptStatus("known").name
        'KNOWN'
    """

    KNOWN = "known"
    SUBSTITUTED = "substituted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PromptCheck:
    """How a model understands the text of a prompt.

    Attributes:
        text: The text.
        status: KNOWN; SUBSTITUTED where words were replaced, corrected or left out; REFUSED where a run needs marked
            spans or another text.
        sound: The sound that the text is taken for; empty for refused texts and for models that take any words.
        code: Code of the refusal, such as "PROMPT_UNKNOWN"; else empty.
        message: One sentence for the user; empty for known texts.
        advice: What to do about a refusal.
        proposals: Texts that the model knows, to use instead.

    Examples:
        >>> import stemline
        >>> check = stemline.check_prompt("speech")
        >>> check.status.value
        'known'
    """

    text: str
    status: PromptStatus
    sound: str = ""
    code: str = ""
    message: str = ""
    advice: str = ""
    proposals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownSound:
    """A sound that a model knows by name.

    Attributes:
        name: Text of a prompt that asks for it.
        kind: Kind of sound, such as "voice", "music" or "animal".
        phrases: Other texts that ask for it, in several languages.

    Examples:
        >>> import stemline
        >>> speech = stemline.known_sounds(model="embedded").sounds[0]
        >>> speech.name, speech.kind, "dialogue" in speech.phrases
        ('speech', 'voice', True)
    """

    name: str
    kind: str = ""
    phrases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownSounds:
    """The sounds that a model knows by name.

    Attributes:
        model: Id of the model.
        any_words: Whether the model takes any words; it lists no sounds then.
        sounds: The sounds.

    Examples:
        >>> import stemline
        >>> stemline.known_sounds(model="noop").any_words
        True
    """

    model: str
    any_words: bool
    sounds: tuple[KnownSound, ...]


_STATUS = {
    pb.PromptCheck.STATUS_KNOWN: PromptStatus.KNOWN,
    pb.PromptCheck.STATUS_SUBSTITUTED: PromptStatus.SUBSTITUTED,
    pb.PromptCheck.STATUS_REFUSED: PromptStatus.REFUSED,
}


def check_prompts(link: Link, texts: Sequence[str], model: str) -> tuple[PromptCheck, ...]:
    """Return how a model understands each text. Raises StemlineError."""
    request = pb.CheckPromptsRequest(model=model, texts=texts)
    response = link.call(lambda stubs: stubs.vocabulary.CheckPrompts, request)
    return tuple(map(_check_of, response.checks))


def known_sounds(link: Link, model: str) -> KnownSounds:
    """Return the sounds that a model knows by name. Raises StemlineError."""
    response = link.call(lambda stubs: stubs.vocabulary.ListSounds, pb.ListSoundsRequest(model=model))
    sounds = (KnownSound(one.name, one.kind, tuple(one.phrases)) for one in response.sounds)
    return KnownSounds(response.model, response.any_words, tuple(sounds))


def _check_of(message: pb.PromptCheck) -> PromptCheck:
    return PromptCheck(
        text=message.text,
        status=_STATUS.get(message.status, PromptStatus.KNOWN),
        sound=message.sound,
        code=message.code,
        message=message.message,
        advice=message.advice,
        proposals=tuple(message.proposals),
    )
