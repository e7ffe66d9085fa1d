"""Choose the estimators that serve a prompt."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace

from stemline.clips import SampleRange
from stemline.errors import Code, UsageError
from stemline_server.engines.base import EnginePrompt
from stemline_server.engines.embedded.span_nmf import TargetKind
from stemline_server.engines.embedded.spleeter_weights import install_advice
from stemline_server.engines.embedded.vocabulary import SoundMatch, match_sound, quoted

_CONTINUOUS_KINDS = ("music", "ambience")
"""Kinds of sound that rarely pause. Minus spans mark the sounds that disturb them."""
_ROUGH_KINDS = ("voice", "animal", "effect")
_SPLEETER_SOUNDS = ("vocals", "instrumental")
_MIN_UNMARKED_SAMPLES = 12_000


@dataclass(frozen=True, slots=True)
class Route:
    """Describe which estimators serve a prompt. The target is the mean of their estimates.

    Attributes:
        matched: Name of the sound that the prompt was taken for.
        confidence: Certainty of that match, 0..1.
        substituted: Sentence that says how words of the prompt were corrected or left out; empty if they were not.
        speech: Use the speech estimate (over music averaged with Spleeter's voices).
        without_speech: Use the mix minus the speech estimate.
        vocals: Use Spleeter's voices.
        without_vocals: Use the mix minus Spleeter's voices.
        net_class: Class to ask the net for; empty to not use the net. The net searches for voices in the mix and for
            other sounds in the mix without speech.
        is_voice: Whether the sound is a voice.
        is_music: Whether the sound is music.
        is_rough: Whether the net is imprecise about this kind of sound.
        uses_spans: Use NMF with the marked spans.
        is_inverted: NMF separates what `minus` marks, and the target is the mix without it.
        span_target: What the text says about the marked sound.
        plus: Spans that contain the sound.
        minus: Spans that do not contain it.
    """

    matched: str
    confidence: float
    substituted: str = ""
    speech: bool = False
    without_speech: bool = False
    vocals: bool = False
    without_vocals: bool = False
    net_class: str = ""
    is_voice: bool = False
    is_music: bool = False
    is_rough: bool = False
    uses_spans: bool = False
    is_inverted: bool = False
    span_target: TargetKind = TargetKind.UNKNOWN
    plus: tuple[SampleRange, ...] = ()
    minus: tuple[SampleRange, ...] = ()

    @property
    def gains_from_auto_marks(self) -> bool:
        """Whether to mark the sound automatically: an animal or effect by name alone."""
        return bool(self.net_class) and self.is_rough and not self.is_voice and not (self.plus or self.minus)

    @property
    def benefits_from_speech_nets(self) -> bool:
        """Whether Spleeter and DTLN improve the result."""
        is_net_music = self.is_music and bool(self.net_class)
        is_marked_speech = self.span_target is TargetKind.SPEECH
        estimates = (self.speech, self.without_speech, self.vocals, self.without_vocals)
        return any((*estimates, is_net_music, is_marked_speech))


def choose_route(prompt: EnginePrompt, net_classes: Container[str], *, has_vocals: bool = False) -> Route:
    """Choose the estimators for a prompt.

    Args:
        prompt: The prompt.
        net_classes: Classes that the net knows.
        has_vocals: Whether Spleeter's weights are installed.

    Raises:
        UsageError: The prompt is empty, too long, unknown or needs an estimator that is missing (PROMPT_EMPTY,
            PROMPT_TOO_LONG, PROMPT_UNKNOWN, PROMPT_UNSUPPORTED).
    """
    if not prompt.text.strip() and (prompt.plus or prompt.minus):
        return _span_route(prompt)
    try:
        sound = match_sound(prompt.text)
    except UsageError as error:
        if error.code is Code.PROMPT_UNKNOWN and (prompt.plus or prompt.minus):  # the spans are sufficient
            sentence = f"This model doesn't know {quoted(prompt.text)}; it used only the marked spans."
            return replace(_span_route(prompt), substituted=sentence)
        raise
    route = _named_route(prompt, sound, net_classes, has_vocals=has_vocals)
    if not sound.is_substitute:
        return route
    reason = f" ({sound.reason})" if sound.reason else ""
    sentence = f"{quoted(prompt.text)} was taken for {route.matched}{reason}. If that is wrong, name another sound."
    return replace(route, substituted=sentence)


def _named_route(prompt: EnginePrompt, sound: SoundMatch, net_classes: Container[str], *, has_vocals: bool) -> Route:
    if sound.sound == "speech":
        named = Route("speech", sound.confidence, plus=prompt.plus, minus=prompt.minus)
        if prompt.plus:
            return replace(named, uses_spans=True, span_target=TargetKind.SPEECH)
        return replace(named, speech=True)
    net_class = next((name for name in sound.classes if name in net_classes), "")
    if has_vocals and sound.sound in _SPLEETER_SOUNDS:
        named = Route(sound.sound, sound.confidence, plus=prompt.plus, minus=prompt.minus)
        return replace(named, vocals=sound.sound == "vocals", without_vocals=sound.sound == "instrumental")
    if prompt.plus or (prompt.minus and sound.kind in _CONTINUOUS_KINDS):
        is_unknown = sound.kind == "voice" or not prompt.plus
        span_target = TargetKind.UNKNOWN if is_unknown else TargetKind.NOT_SPEECH
        named = replace(_span_route(prompt), matched=sound.sound, confidence=sound.confidence)
        return _with_kind(sound, replace(named, net_class=net_class, span_target=span_target))
    if sound.sound == "background":
        return Route("everything but speech", sound.confidence, without_speech=True, minus=prompt.minus)
    if net_class:
        named = Route(net_class, sound.confidence, net_class=net_class, minus=prompt.minus)
        return _with_kind(sound, named)
    raise _unsupported(sound, net_classes)


def without_full_spans(route: Route, length_samples: int) -> Route:
    """Return a route that ignores its plus spans if they cover nearly all audio and the text names a sound.

    Args:
        route: The route.
        length_samples: Length of the audio.
    """
    marked = sum(span.length for span in route.plus)
    has_background = length_samples - marked > _MIN_UNMARKED_SAMPLES
    if not route.uses_spans or route.is_inverted or route.minus or has_background:
        return route
    if route.span_target is TargetKind.SPEECH:
        return replace(route, uses_spans=False, speech=True, span_target=TargetKind.UNKNOWN)
    return replace(route, uses_spans=False, span_target=TargetKind.UNKNOWN) if route.net_class else route


def _with_kind(sound: SoundMatch, route: Route) -> Route:
    kind = sound.kind
    return replace(route, is_voice=kind == "voice", is_music=kind == "music", is_rough=kind in _ROUGH_KINDS)


def _span_route(prompt: EnginePrompt) -> Route:
    """Return the route of spans alone. With minus spans only, the target is a continuous sound that they disturb."""
    is_inverted = not prompt.plus
    matched = "all but the marked sound" if is_inverted else "the marked sound"
    return Route(matched, 1.0, uses_spans=True, is_inverted=is_inverted, plus=prompt.plus, minus=prompt.minus)


def _unsupported(sound: SoundMatch, net_classes: Container[str]) -> UsageError:
    if sound.sound == "vocals":
        return UsageError(
            "The embedded model needs the extra `vocals` to separate vocals.",
            code=Code.PROMPT_UNSUPPORTED,
            advice=install_advice(),
        )
    known = "" if net_classes else 'By name it separates "speech" and "background noise". '
    return UsageError(
        f'The embedded model cannot separate "{sound.sound}" by name.',
        code=Code.PROMPT_UNSUPPORTED,
        advice=f"{known}Mark where it occurs.",
    )
