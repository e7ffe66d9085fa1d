"""Run all estimators that the prompts of a request need, each once, and align their blocks."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from stemline_server.engines.base import AudioSource, Control, EngineRequest, Waveform
from stemline_server.engines.embedded.auto_marks import AutoMarks
from stemline_server.engines.embedded.background import BackgroundSource, SpeechVerifier
from stemline_server.engines.embedded.deepfilter import SpeechSource
from stemline_server.engines.embedded.dialogue import DialogueSource, RefinedSpeech, VocalsReferee
from stemline_server.engines.embedded.fusion import Estimates
from stemline_server.engines.embedded.net_separator import Gate, NetQuery, NetSeparation, NetSeparator
from stemline_server.engines.embedded.routing import Route
from stemline_server.engines.embedded.rumble import RumbleFreeSource
from stemline_server.engines.embedded.span_context import span_contexts
from stemline_server.engines.embedded.span_nmf import SpeechReference, TargetKind, separate_spans
from stemline_server.engines.embedded.vocals import VocalsSource
from stemline_server.engines.embedded.voice_activity import VoiceDetector

_BLOCK_SAMPLES = 48_000
_MIX, _SPEECH, _VOCALS = "mix", "speech", "vocals"
_AUTO_MARKS = "automatic marks"
_WITHOUT_SPEECH, _WITHOUT_DIALOGUE = "without speech", "without dialogue"

Key = TypeVar("Key", bound=Hashable)
Blocks = Mapping[Hashable, Waveform]


@dataclass(frozen=True, slots=True)
class VoiceSources:
    """Hold the voice estimates of one mix.

    Attributes:
        speech: The speech by DeepFilterNet3.
        vocals: The voices by Spleeter; None if it is not installed or not needed.
        detector: The voice detector; None if it is not installed.
        refined: The speech with DTLN; None if it is not installed or not needed.
    """

    speech: SpeechSource
    vocals: VocalsSource | None
    detector: VoiceDetector | None = None
    refined: RefinedSpeech | None = None


@dataclass(frozen=True, slots=True)
class _NetRow:
    """Locate the net's target for a prompt: a row of the stream `stream`, separated from the stream `net_input`."""

    stream: Hashable
    row: int
    separation: NetSeparation
    net_input: Hashable


class EstimatorSet:
    """Hold the streams of all estimators that the routes of a request use.

    Streams are lazy; unused ones are never computed.
    """

    def __init__(
        self,
        request: EngineRequest,
        routes: Sequence[Route],
        voices: VoiceSources,
        net: NetSeparator | None,
        control: Control,
    ) -> None:
        """Create the streams without computing anything yet.

        Args:
            request: The request.
            routes: The route of each prompt.
            voices: Voice estimates of the request's audio.
            net: The net; None if no route needs it.
            control: Receives the progress of the net.
        """
        self._routes = routes
        self._gate = net.gate if net is not None else Gate()
        self._length = request.audio.length_samples
        self._voices = voices
        self._streams: dict[Hashable, Iterator[Waveform]] = {_MIX: _blocks_of(request.audio)}
        self._net_rows: dict[int, _NetRow] = {}
        self._rumble_free: RumbleFreeSource | None = None
        dialogue: AudioSource = voices.refined or voices.speech
        net_inputs: dict[Hashable, AudioSource] = {_MIX: request.audio}
        if net is not None:
            needs_speech = any(route.speech or route.without_speech or route.uses_spans for route in routes)
            verifier = SpeechVerifier(request.audio, voices.speech, net, control, needs_speech, voices.detector)
            confirmed = verifier.confirmed_speech()
            if voices.vocals is not None:
                referee = VocalsReferee(request.audio, voices.speech, voices.refined, voices.vocals, net, control)
                dialogue = DialogueSource(dialogue, voices.vocals, referee.decisions())
            without_speech = BackgroundSource(request.audio, voices.speech, confirmed)
            net_inputs[_WITHOUT_SPEECH] = without_speech
            without_dialogue = BackgroundSource(request.audio, dialogue, confirmed)
            net_inputs[_WITHOUT_DIALOGUE] = self._rumble_free = RumbleFreeSource(without_dialogue)
            for place, audio in net_inputs.items():
                self._add_net(net, place, audio, control)
            self._add_auto_marks(net, without_speech, request.seed, control)
        if any(route.speech or route.without_speech for route in routes):
            self._streams[_SPEECH] = _blocks_of(dialogue)
        if voices.vocals is not None and any(route.vocals or route.without_vocals for route in routes):
            self._streams[_VOCALS] = _blocks_of(voices.vocals)
        for number, route in enumerate(routes):
            if route.uses_spans:
                speech = dialogue if route.span_target is TargetKind.SPEECH else voices.speech
                self._streams[number] = self._nmf_blocks(request, route, SpeechReference(speech, route.span_target))

    def _nmf_blocks(self, request: EngineRequest, route: Route, reference: SpeechReference) -> Iterator[Waveform]:
        spans = (route.minus, ()) if route.is_inverted else (route.plus, route.minus)
        contexts = span_contexts(*spans, self._length)
        return separate_spans(request.audio, contexts, request.seed, self._voices.speech.tick, reference)

    def _add_net(self, net: NetSeparator, net_input: Hashable, audio: AudioSource, control: Control) -> None:
        """Add one stream of the net for all prompts that search in the same input."""
        routes = {n: one for n, one in enumerate(self._routes) if one.net_class and _net_input_of(one) == net_input}
        if routes:
            queries = [NetQuery(one.net_class, one.plus, one.minus) for one in routes.values()]
            separation = net.separate(audio, queries, control)
            stream = ("net", net_input)
            self._streams[stream] = iter(separation)
            self._net_rows |= {number: _NetRow(stream, row, separation, net_input) for row, number in enumerate(routes)}
            if isinstance(audio, BackgroundSource | RumbleFreeSource):
                self._streams[net_input] = _background_blocks(audio)

    def _add_auto_marks(self, net: NetSeparator, audio: AudioSource, seed: int, control: Control) -> None:
        """Add one stream of automatic marks for each class that is asked for by name alone and gains by them."""
        for number, route in enumerate(self._routes):
            if route.gains_from_auto_marks:
                marks = AutoMarks(audio, net, route.net_class, seed, control, self._voices.speech.tick)
                self._streams[_AUTO_MARKS, number] = marks.blocks()

    def blocks(self) -> Iterator[tuple[int, Blocks]]:
        """Yield the position of each block's first sample and the block of every stream."""
        start = 0
        for blocks in aligned_blocks(self._streams, self._length):
            yield start, blocks
            start += blocks[_MIX].shape[-1]

    def estimates(self, number: int, blocks: Blocks, start_sample: int) -> Estimates:
        """Return the estimates that prompt `number` uses from a block of all streams."""
        route, net_row = self._routes[number], self._net_rows.get(number)
        net_input = blocks[_MIX][0], np.zeros(blocks[_MIX].shape[1], np.float32)
        if net_row and net_row.net_input != _MIX:
            net_input = blocks[net_row.net_input][0], blocks[net_row.net_input][1]
        return Estimates(
            start_sample,
            mix=blocks[_MIX][0],
            speech=blocks[_SPEECH][0] if route.speech or route.without_speech else None,
            vocals=blocks[_VOCALS][0] if route.vocals or route.without_vocals else None,
            net=blocks[net_row.stream][net_row.row] if net_row else None,
            net_input=net_input[0],
            speech_removed=net_input[1],
            nmf=blocks[number][0] if route.uses_spans else None,
            auto_marked=blocks.get((_AUTO_MARKS, number)),
        )

    def is_absent(self, number: int) -> bool:
        """Return whether the sound of prompt `number`, asked for by name alone, is absent from the latest block."""
        net_row = self._net_rows.get(number)
        if net_row is None or self._routes[number].uses_spans:
            return False
        return bool(net_row.separation.evidence.window_presence[net_row.row] < self._gate.absent_below)

    def has_rumble(self, number: int) -> bool:
        """Return whether rumble was found in the blocks so far together with the sound of prompt `number`."""
        net_row = self._net_rows.get(number)
        is_searched = net_row is not None and net_row.net_input == _WITHOUT_DIALOGUE
        return is_searched and self._rumble_free is not None and self._rumble_free.has_rumble

    def certainty(self, number: int) -> float | None:
        """Return the certainty, 0..1, that the sound of prompt `number` occurs in the blocks so far.

        Returns:
            None if the prompt has spans but no name.
        """
        route, net_row = self._routes[number], self._net_rows.get(number)
        if route.speech or route.without_speech:
            return self._voices.speech.confidence
        if route.vocals and self._voices.vocals is not None:
            return self._voices.vocals.confidence
        if not route.net_class:
            return None
        if net_row is None:
            return 0.0
        evidence = net_row.separation.evidence
        if route.is_rough:
            return float(evidence.presence[net_row.row])
        return self._gate.probability(float(evidence.share[net_row.row]))


def _net_input_of(route: Route) -> Hashable:
    """Return where the net searches for the sound of a route: for voices in the whole mix."""
    if route.is_voice:
        return _MIX
    return _WITHOUT_DIALOGUE if route.is_music else _WITHOUT_SPEECH


def aligned_blocks(streams: Mapping[Key, Iterator[Waveform]], length_samples: int) -> Iterator[dict[Key, Waveform]]:
    """Cut the blocks of several streams to equal lengths.

    Args:
        streams: Streams of blocks [rows, samples]. Each yields at least `length_samples`.
        length_samples: Length of all streams.

    Yields:
        The next samples of each stream, as many as the shortest pending block has.
    """
    pending: dict[Key, Waveform] = {}
    done = 0
    while done < length_samples:
        for key, stream in streams.items():
            if key not in pending or not pending[key].shape[-1]:
                pending[key] = next(stream)
        samples = min((block.shape[-1] for block in pending.values()), default=length_samples - done)
        yield {key: block[..., :samples] for key, block in pending.items()}
        pending = {key: block[..., samples:] for key, block in pending.items()}
        done += samples


def _blocks_of(audio: AudioSource) -> Iterator[Waveform]:
    for start in range(0, audio.length_samples, _BLOCK_SAMPLES):
        yield audio.read(start, min(start + _BLOCK_SAMPLES, audio.length_samples))


def _background_blocks(background: BackgroundSource | RumbleFreeSource) -> Iterator[Waveform]:
    """Yield blocks [2, samples]: the background, and the share of the speech that was removed from it (0..1)."""
    for start in range(0, background.length_samples, _BLOCK_SAMPLES):
        end = min(start + _BLOCK_SAMPLES, background.length_samples)
        yield np.stack([background.read(start, end)[0], background.removed_share(start, end)])
