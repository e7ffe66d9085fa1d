"""Everything that the prompts of one request need, each worked out once and brought to blocks of equal length."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stemline_server.engines.base import AudioSource, Control, EngineRequest, Waveform
from stemline_server.engines.embedded.combine import Heard
from stemline_server.engines.embedded.lockstep import in_step
from stemline_server.engines.embedded.marked import Beside, marked_blocks
from stemline_server.engines.embedded.net import Net, NetQuery, Separation
from stemline_server.engines.embedded.rest import Rest
from stemline_server.engines.embedded.routes import Route
from stemline_server.engines.embedded.scenes import scenes_of
from stemline_server.engines.embedded.speech import Speech

_BLOCK_SAMPLES = 48_000
_MIX, _SPEECH, _REST = "mix", "speech", "rest"

Parts = Mapping[Hashable, Waveform]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where the net's answer to a prompt is: which stream, and which of its rows."""

    stream: Hashable
    row: int
    separation: Separation


class Means:
    """The streams behind `routes`. What nobody asks for is not worked out."""

    def __init__(
        self, request: EngineRequest, routes: Sequence[Route], speech: Speech, net: Net | None, control: Control
    ) -> None:
        self._routes = routes
        self._length = request.audio.length_samples
        self._streams: dict[Hashable, Iterator[Waveform]] = {_MIX: _read_through(request.audio)}
        self._asked: dict[int, _Asked] = {}
        if any(chosen.speech or chosen.not_speech for chosen in routes):
            self._streams[_SPEECH] = _read_through(speech)
        for number, chosen in enumerate(routes):
            if chosen.marked:
                marks = (chosen.minus, ()) if chosen.inverted else (chosen.plus, chosen.minus)
                scenes = scenes_of(*marks, self._length)
                beside = Beside(speech, chosen.about)
                self._streams[number] = marked_blocks(request.audio, scenes, request.seed, speech.tick, beside)
        if net is not None:
            rest = Rest(request.audio, speech, net, control)
            self._ask(net, request.audio, True, control)
            self._ask(net, rest, False, control)
            if any(not one.is_voice for one in (routes[number] for number in self._asked)):
                self._streams[_REST] = _with_share_taken(rest)

    def _ask(self, net: Net, audio: AudioSource, voices: bool, control: Control) -> None:
        """The net for all prompts that name voices, or for all others, at once."""
        asked = {n: one for n, one in enumerate(self._routes) if one.net_class and one.is_voice == voices}
        if asked:
            queries = [NetQuery(one.net_class, one.plus, one.minus) for one in asked.values()]
            separation = net.separate(audio, queries, control)
            stream = ("net", voices)
            self._streams[stream] = iter(separation)
            self._asked |= {number: _Asked(stream, row, separation) for row, number in enumerate(asked)}

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
        if asked and not chosen.is_voice:
            searched = parts[_REST][0], parts[_REST][1]
        return Heard(
            start_sample,
            mix=parts[_MIX][0],
            speech=parts[_SPEECH][0] if chosen.speech or chosen.not_speech else None,
            net=parts[asked.stream][asked.row] if asked else None,
            searched=searched[0],
            speech_taken=searched[1],
            marked=parts[number][0] if chosen.marked else None,
        )

    def presence(self, number: int) -> float:
        """How sure the net is, so far, that the sound of prompt `number` is there; 0 where it was not asked."""
        asked = self._asked.get(number)
        return float(asked.separation.presence[asked.row]) if asked else 0.0


def _read_through(audio: AudioSource) -> Iterator[Waveform]:
    for start in range(0, audio.length_samples, _BLOCK_SAMPLES):
        yield audio.read(start, min(start + _BLOCK_SAMPLES, audio.length_samples))


def _with_share_taken(rest: Rest) -> Iterator[Waveform]:
    """Blocks [2, n]: the rest, and how much of the speech was taken from it (0..1)."""
    for start in range(0, rest.length_samples, _BLOCK_SAMPLES):
        end = min(start + _BLOCK_SAMPLES, rest.length_samples)
        yield np.stack([rest.read(start, end)[0], rest.taken(start, end)])
