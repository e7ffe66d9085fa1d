"""Runs a tagger or the finder of turns: adapts the sound to its rate, and returns what it hears as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stemline_server.engines.base import AudioSource, Control
from stemline_server.pipeline.resample import ResampledSource, Resampler
from stemline_server.pipeline.task import TAGGERS, TURNS, Models, Sink
from stemline_server.pipeline.views import FoldDown


@dataclass(frozen=True, slots=True)
class Tagging:
    """A sound, and the id of the tagger that listens to it, as work for the process of the taggers."""

    tagger: str
    sound: AudioSource

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return the sound."""
        return (self.sound,)

    def run(self, models: Models, control: Control, sinks: Sequence[Sink]) -> Any:
        """Return [prompt, [[start, end, likelihood], ...]] for each sound that is heard, the likeliest first.

        Spans are in samples of the sound. Raises as `Tagger.tag`.
        """
        tagger = models.use(TAGGERS + self.tagger).tagger
        rate = tagger.info.sample_rate or self.sound.sample_rate
        control.step(0, 1)
        tags = tagger.tag(_mono(self.sound, rate), control.step)
        return [[tag.prompt, [self._span(span, rate) for span in tag.spans]] for tag in tags]

    def _span(self, span: Any, rate: int) -> list[float]:
        """Return a span on the grid of the sound, rounded outward, and its likelihood."""
        media_rate = self.sound.sample_rate
        start_sample = int(span.range.start_sample) * media_rate // rate
        end_sample = min(-(-int(span.range.end_sample) * media_rate // rate), self.sound.length_samples)
        return [start_sample, end_sample, float(span.likelihood)]


@dataclass(frozen=True, slots=True)
class TurnSearch:
    """A sound and marked voices, whose turns are to be found, as work for the process of the taggers.

    Attributes:
        sound: The sound.
        rate: Sample rate at which the finder listens, and at which the spans of the voices count.
        voices: Voices as the finder takes them.
    """

    sound: AudioSource
    rate: int
    voices: tuple[Any, ...]

    @property
    def audio(self) -> Sequence[AudioSource]:
        """Return the sound."""
        return (self.sound,)

    def run(self, models: Models, control: Control, sinks: Sequence[Sink]) -> Any:
        """Return the voices and the overlaps, in samples at `rate`. Raises as the finder.

        A voice is [name, centroid, [[start, end], ...]], an overlap [start, end].
        """
        finder = models.use(TURNS).finder
        found = finder.find(_mono(self.sound, self.rate), self.voices, control.step)
        voices = [
            [turns.name, [float(value) for value in turns.centroid], _pairs(turns.spans)] for turns in found.voices
        ]
        return {"voices": voices, "overlaps": _pairs(found.overlaps)}


def _pairs(spans: Sequence[Any]) -> list[list[int]]:
    return [[int(span.start_sample), int(span.end_sample)] for span in spans]


def _mono(sound: AudioSource, rate: int) -> AudioSource:
    """Return the fold-down of a sound at a sample rate."""
    mono = FoldDown(sound)
    return mono if mono.sample_rate == rate else ResampledSource(mono, Resampler(mono.sample_rate, rate))
