"""Ask the server what is heard in a media, and who speaks when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc

from stemline.client.link import Link, Stubs
from stemline.clips import SampleRange
from stemline.errors import Cancelled, StemlineError
from stemline.v1 import suggest_pb2

_Request = TypeVar("_Request", suggest_pb2.SuggestSoundsRequest, suggest_pb2.FindTurnsRequest)
_Response = TypeVar("_Response", suggest_pb2.SuggestSoundsResponse, suggest_pb2.FindTurnsResponse)
Progress = Callable[[float], None] | None
Asked = Callable[[], bool] | None


@dataclass(frozen=True, slots=True)
class Tagger:
    """A tagger of the server. `note` says what is missing, or what it can do."""

    id: str
    title: str
    revision: str
    available: bool
    note: str
    licence: str


@dataclass(frozen=True, slots=True)
class HeardSpan:
    """Samples of a media in which a sound is heard, and the probability that it occurs there."""

    range: SampleRange
    likelihood: float


@dataclass(frozen=True, slots=True)
class HeardSound:
    """A sound that a tagger heard in a media.

    Attributes:
        prompt: Words to ask for it.
        likelihood: Probability that it occurs, 0..1.
        spans: Where it is heard, in order of time.
    """

    prompt: str
    likelihood: float
    spans: tuple[HeardSpan, ...]


@dataclass(frozen=True, slots=True)
class HeardSounds:
    """What a tagger heard in a media: the likeliest sound first, the tagger's id, and its revision."""

    sounds: tuple[HeardSound, ...]
    tagger: str
    revision: str


@dataclass(frozen=True, slots=True)
class Voice:
    """A voice, by spans of a media in which it alone speaks, or by an embedding of an earlier answer.

    Attributes:
        name: Name of the voice.
        spans: In a request, where it is marked; in an answer, its turns.
        centroid: Its embedding.
    """

    name: str
    spans: tuple[SampleRange, ...] = ()
    centroid: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundTurns:
    """The turns of voices in a media, in the order of the request, and where two voices speak at once within them."""

    voices: tuple[Voice, ...]
    overlaps: tuple[SampleRange, ...] = ()


def voice_message(voice: Voice) -> suggest_pb2.MarkedVoice:
    """Convert a voice to its message. An embedding takes the place of spans."""
    spans = [
        suggest_pb2.SuggestedSpan(start_sample=span.start_sample, end_sample=span.end_sample) for span in voice.spans
    ]
    return suggest_pb2.MarkedVoice(name=voice.name, spans=spans, centroid=voice.centroid)


def turns_of(message: suggest_pb2.FoundTurns) -> FoundTurns:
    """Convert a message."""
    voices = (Voice(voice.name, _ranges_of(voice.turns), tuple(voice.centroid)) for voice in message.voices)
    return FoundTurns(tuple(voices), _ranges_of(message.overlaps))


def _ranges_of(spans: Iterable[suggest_pb2.SuggestedSpan]) -> tuple[SampleRange, ...]:
    return tuple(SampleRange(span.start_sample, span.end_sample) for span in spans)


def tagger_of(message: suggest_pb2.Tagger) -> Tagger:
    """Convert a message."""
    name = message.name.removeprefix("taggers/")
    return Tagger(name, message.title, message.revision, message.available, message.note, message.licence)


def heard_of(message: suggest_pb2.SuggestedSounds) -> HeardSounds:
    """Convert a message."""
    sounds = tuple(
        HeardSound(
            sound.prompt,
            sound.likelihood,
            tuple(HeardSpan(SampleRange(s.start_sample, s.end_sample), s.likelihood) for s in sound.spans),
        )
        for sound in message.sounds
    )
    return HeardSounds(sounds, message.tagger, message.revision)


def hear(link: Link, request: suggest_pb2.SuggestSoundsRequest, progress: Progress, cancelled: Asked) -> HeardSounds:
    """Return the sounds of a media. Raises StemlineError."""
    return heard_of(_last(link, lambda stubs: stubs.suggest.SuggestSounds, request, progress, cancelled).result)


def find_turns(link: Link, request: suggest_pb2.FindTurnsRequest, progress: Progress, cancelled: Asked) -> FoundTurns:
    """Return the turns of voices. Raises StemlineError."""
    return turns_of(_last(link, lambda stubs: stubs.suggest.FindTurns, request, progress, cancelled).result)


def _last(
    link: Link,
    method: Callable[[Stubs], grpc.UnaryStreamMultiCallable[_Request, _Response]],
    request: _Request,
    progress: Progress,
    cancelled: Asked,
) -> _Response:
    """Return the message with the result. A lost connection asks again: a suggestion is the same job then."""
    attempt = 0
    while True:
        stubs = link.stubs
        stream = method(stubs)(request, metadata=stubs.endpoint.metadata)
        try:
            for response in stream:
                if response.HasField("result"):
                    return response
                attempt = 0
                if progress is not None:
                    progress(response.fraction)
                if cancelled is not None and cancelled():
                    raise Cancelled
        except grpc.RpcError as error:
            attempt += 1
            link.recover(error, attempt, stubs)
        else:
            raise StemlineError("The server ended the call without a result.", advice="Run it again.")
        finally:
            stream.cancel()
