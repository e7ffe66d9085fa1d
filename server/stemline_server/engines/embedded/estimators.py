"""Everything that the prompts of one request need, each worked out once and brought to blocks of equal length."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stemline_server.engines.base import AudioSource, Control, EngineRequest, Waveform
from stemline_server.engines.embedded.background import Dialogue, Judge, Rest
from stemline_server.engines.embedded.fusion import Heard
from stemline_server.engines.embedded.lockstep import in_step
from stemline_server.engines.embedded.net_separator import Net, NetQuery, Separation, likely
from stemline_server.engines.embedded.routing import Route
from stemline_server.engines.embedded.span_context import scenes_of
from stemline_server.engines.embedded.span_nmf import About, Beside, marked_blocks
from stemline_server.engines.embedded.speech import Speech
from stemline_server.engines.embedded.vocals import Vocals

_BLOCK_SAMPLES = 48_000
_MIX, _SPEECH, _VOCALS, _REST, _BED = "mix", "speech", "vocals", "rest", "bed"

_ABSENT = 0.1
"""Presence in a window. Measured on packages held out from training: the net is less sure of a fifth of the animals and
effects and a tenth of the music and ambience that are not there, and of one in 500 of all sounds that are."""

Parts = Mapping[Hashable, Waveform]


@dataclass(frozen=True, slots=True)
class Voices:
    """What takes voices out of a sound: DeepFilterNet3, and Spleeter where it is installed and wanted."""

    speech: Speech
    vocals: Vocals | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where the net's answer to a prompt is: which stream, and which of its rows; and where it was looked for."""

    stream: Hashable
    row: int
    separation: Separation
    searched: Hashable


class Means:
    """The streams behind `routes`. What nobody asks for is not worked out."""

    def __init__(
        self, request: EngineRequest, routes: Sequence[Route], voices: Voices, net: Net | None, control: Control
    ) -> None:
        self._routes = routes
        self._length = request.audio.length_samples
        self._voices = voices
        self._streams: dict[Hashable, Iterator[Waveform]] = {_MIX: _read_through(request.audio)}
        self._asked: dict[int, _Asked] = {}
        places: dict[Hashable, AudioSource] = {_MIX: request.audio}
        dialogue: AudioSource = voices.speech
        if net is not None:
            judge = Judge(request.audio, voices.speech, net, control)
            spoken = judge.spoken()
            places |= {_REST: Rest(request.audio, voices.speech, spoken)}
            if voices.vocals is not None:
                dialogue = Dialogue(voices.speech, voices.vocals, judge.before_music())
            places |= {_BED: Rest(request.audio, dialogue, spoken)}
            for place, audio in places.items():
                self._ask(net, place, audio, control)
        if any(chosen.speech or chosen.not_speech for chosen in routes):
            self._streams[_SPEECH] = _read_through(dialogue)
        if voices.vocals is not None and any(chosen.vocals or chosen.not_vocals for chosen in routes):
            self._streams[_VOCALS] = _read_through(voices.vocals)
        for number, chosen in enumerate(routes):
            if chosen.marked:
                beside = Beside(dialogue if chosen.about is About.SPEECH else voices.speech, chosen.about)
                self._streams[number] = self._marked(request, chosen, beside)

    def _marked(self, request: EngineRequest, chosen: Route, beside: Beside) -> Iterator[Waveform]:
        marks = (chosen.minus, ()) if chosen.inverted else (chosen.plus, chosen.minus)
        scenes = scenes_of(*marks, self._length)
        return marked_blocks(request.audio, scenes, request.seed, self._voices.speech.tick, beside)

    def _ask(self, net: Net, place: Hashable, audio: AudioSource, control: Control) -> None:
        """The net, at once for all prompts whose sound is looked for in the same place."""
        asked = {n: one for n, one in enumerate(self._routes) if one.net_class and _place_of(one) == place}
        if asked:
            queries = [NetQuery(one.net_class, one.plus, one.minus) for one in asked.values()]
            separation = net.separate(audio, queries, control)
            stream = ("net", place)
            self._streams[stream] = iter(separation)
            self._asked |= {number: _Asked(stream, row, separation, place) for row, number in enumerate(asked)}
            if isinstance(audio, Rest):
                self._streams[place] = _with_share_taken(audio)

    def in_step(self) -> Iterator[tuple[int, Parts]]:
        """Where each block begins, and what every stream says of it."""
        start = 0
        for parts in in_step(self._streams, self._length):
            yield start, parts
            start += parts[_MIX].shape[-1]

    def heard(self, number: int, parts: Parts, start_sample: int) -> Heard:
        """What of a block concerns prompt `number`."""
        chosen, asked = self._routes[number], self._asked.get(number)
        searched = parts[_MIX][0], np.zeros(parts[_MIX].shape[1], np.float32)
        if asked and asked.searched != _MIX:
            searched = parts[asked.searched][0], parts[asked.searched][1]
        return Heard(
            start_sample,
            mix=parts[_MIX][0],
            speech=parts[_SPEECH][0] if chosen.speech or chosen.not_speech else None,
            vocals=parts[_VOCALS][0] if chosen.vocals or chosen.not_vocals else None,
            net=parts[asked.stream][asked.row] if asked else None,
            searched=searched[0],
            speech_taken=searched[1],
            marked=parts[number][0] if chosen.marked else None,
        )

    def is_absent(self, number: int) -> bool:
        """Whether the sound of prompt `number`, asked by name alone, is not there in the block that was last given."""
        chosen, asked = self._routes[number], self._asked.get(number)
        if asked is None or chosen.marked:
            return False
        return bool(asked.separation.heard.presence_now[asked.row] < _ABSENT)

    def sure(self, number: int) -> float | None:
        """How sure, so far, what prompt `number` asked by name is that its sound is there; None where nothing was."""
        chosen, asked = self._routes[number], self._asked.get(number)
        if chosen.speech or chosen.not_speech:
            return self._voices.speech.confidence
        if chosen.vocals and self._voices.vocals is not None:
            return self._voices.vocals.confidence
        if not chosen.net_class:
            return None
        if asked is None:
            return 0.0
        heard = asked.separation.heard
        return float(heard.presence[asked.row]) if chosen.is_rough else likely(float(heard.share[asked.row]))


def _place_of(chosen: Route) -> Hashable:
    """Where the net looks for the sound of a prompt: voices in all of the mix."""
    if chosen.is_voice:
        return _MIX
    return _BED if chosen.is_music else _REST


def _read_through(audio: AudioSource) -> Iterator[Waveform]:
    for start in range(0, audio.length_samples, _BLOCK_SAMPLES):
        yield audio.read(start, min(start + _BLOCK_SAMPLES, audio.length_samples))


def _with_share_taken(rest: Rest) -> Iterator[Waveform]:
    """Blocks [2, n]: the rest, and how much of the speech was taken from it (0..1)."""
    for start in range(0, rest.length_samples, _BLOCK_SAMPLES):
        end = min(start + _BLOCK_SAMPLES, rest.length_samples)
        yield np.stack([rest.read(start, end)[0], rest.taken(start, end)])
