"""Which of the engine's means serve a prompt."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.span_nmf import About
from stemline_server.engines.embedded.spleeter_weights import how_to_get_it
from stemline_server.engines.embedded.vocabulary import Match, match

_GOES_ON = ("music", "ambience")
"""Kinds of sound that rarely pause: what is marked as not being them disturbs them."""
_ROUGH = ("voice", "animal", "effect")
_BY_SPLEETER = ("vocals", "instrumental")
_TOO_LITTLE_UNMARKED = 12_000


@dataclass(frozen=True, slots=True)
class Route:
    """A prompt and what serves it.

    `speech` takes the speech itself, `not_speech` everything else, and so do `vocals` and `not_vocals` with voices
    before music; `net_class` asks the net ("" for not), which hears voices in the whole and all others in what is left
    without speech, of which `is_music` has its own, and is `is_rough` about some.
    `marked` finds what sounds in `plus`; with `inverted` what `minus` marks is taken away from the rest. `about` is
    what the words say of what is marked.
    """

    matched: str
    confidence: float
    speech: bool = False
    not_speech: bool = False
    vocals: bool = False
    not_vocals: bool = False
    net_class: str = ""
    is_voice: bool = False
    is_music: bool = False
    is_rough: bool = False
    marked: bool = False
    inverted: bool = False
    about: About = About.NOTHING
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()

    @property
    def wants_vocals(self) -> bool:
        """Whether it is served better with Spleeter than without."""
        by_net = self.is_music and bool(self.net_class)
        return any((self.speech, self.not_speech, self.vocals, self.not_vocals, by_net, self.about is About.SPEECH))


def route(prompt: EnginePrompt, net_classes: Container[str], *, has_vocals: bool = False) -> Route:
    """`has_vocals`: Spleeter's weights are there.

    Raises UsageError (PROMPT_EMPTY, PROMPT_TOO_LONG, PROMPT_UNKNOWN, PROMPT_UNSUPPORTED).
    """
    if not prompt.text.strip() and (prompt.plus or prompt.minus):
        return _spans_alone(prompt)
    try:
        sound = match(prompt.text)
    except UsageError as error:
        if error.code is Code.PROMPT_UNKNOWN and (prompt.plus or prompt.minus):
            return _spans_alone(prompt)  # the marks say enough
        raise
    if sound.sound == "speech" and prompt.plus:
        return Route("speech", sound.confidence, marked=True, about=About.SPEECH, plus=prompt.plus, minus=prompt.minus)
    if sound.sound == "speech":
        return Route("speech", sound.confidence, speech=True, plus=prompt.plus, minus=prompt.minus)
    net_class = next((name for name in sound.classes if name in net_classes), "")
    if has_vocals and sound.sound in _BY_SPLEETER:
        named = Route(sound.sound, sound.confidence, plus=prompt.plus, minus=prompt.minus)
        return replace(named, vocals=sound.sound == "vocals", not_vocals=sound.sound == "instrumental")
    if prompt.plus or (prompt.minus and sound.kind in _GOES_ON):
        about = About.NOTHING if sound.kind == "voice" or not prompt.plus else About.NOT_SPEECH
        named = replace(_spans_alone(prompt), matched=sound.sound, confidence=sound.confidence)
        return _in_manner_of(sound, replace(named, net_class=net_class, about=about))
    if sound.sound == "background":
        return Route("everything but speech", sound.confidence, not_speech=True, minus=prompt.minus)
    if net_class:
        named = Route(net_class, sound.confidence, net_class=net_class, minus=prompt.minus)
        return _in_manner_of(sound, named)
    raise _unsupported(sound, net_classes)


def settled(chosen: Route, length_samples: int) -> Route:
    """The same for a sound of a given length: marks that cover all of it tell nothing, and the words go alone."""
    marked = sum(span.length for span in chosen.plus)
    if not chosen.marked or chosen.inverted or chosen.minus or length_samples - marked > _TOO_LITTLE_UNMARKED:
        return chosen
    if chosen.about is About.SPEECH:
        return replace(chosen, marked=False, speech=True, about=About.NOTHING)
    return replace(chosen, marked=False, about=About.NOTHING) if chosen.net_class else chosen


def _in_manner_of(sound: Match, route: Route) -> Route:
    return replace(route, is_voice=sound.kind == "voice", is_music=sound.kind == "music", is_rough=sound.kind in _ROUGH)


def _spans_alone(prompt: EnginePrompt) -> Route:
    """Where only `minus` is marked, the target is what goes on all the time, and what is marked disturbs it."""
    inverted = not prompt.plus
    matched = "all but the marked sound" if inverted else "the marked sound"
    return Route(matched, 1.0, marked=True, inverted=inverted, plus=prompt.plus, minus=prompt.minus)


def _unsupported(sound: Match, net_classes: Container[str]) -> UsageError:
    if sound.sound == "vocals":
        return UsageError(
            "The embedded model cannot tell vocals from other music without an extra part.",
            code=Code.PROMPT_UNSUPPORTED,
            advice=how_to_get_it(),
        )
    known = "" if net_classes else 'By words it separates "speech" and "background noise". '
    return UsageError(
        f'The embedded model cannot find "{sound.sound}" by words alone.',
        code=Code.PROMPT_UNSUPPORTED,
        advice=f"{known}Mark where it sounds.",
    )
